"""The store's verbs as a table: what the HTTP store calls and a server answers, read off the signatures in `base.py`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from whet.errors import StoreError
from whet.store import base
from whet.store.wire import decoder, encode, schema

__all__ = ["API_VERSION", "Verb", "verbs"]

API_VERSION = 2
"""What servers and their clients agree in. It grows when one of them could take the other's words for something else."""

_FACETS = {"sweeps": base.Sweeps, "trials": base.Trials, "runs": base.Runs}
_LOCKS = frozenset({"trials.turn"})  # no call with an answer
_READS = frozenset({"get", "find", "all", "former", "changes", "origins", "leases", "glance", "select", "projects", "shipped", "metrics", "artifacts", "table", "columns", "mark", "curves", "groups", "gains"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: `name` is facet and method, as in ``trials.add``.

    Args:
        params: What reads its parameters, in order, by name.
        schema: The JSON Schema of its arguments.
        needed: The parameters without a default.
        reads: It changes nothing, and so may be asked again.
    """

    name: str
    params: Mapping[str, Callable[[Any], Any]]
    schema: Mapping[str, Any]
    needed: frozenset[str]
    result: Callable[[Any], Any]
    reads: bool
    doc: str

    @property
    def is_kept(self) -> bool:
        """Whether it may be given a key, with which it is done once for good."""
        return "once" in self.params

    def arguments(self, args: tuple[object, ...], given: Mapping[str, object]) -> dict[str, object]:
        """Return a call's arguments as JSON knows them."""
        named = {**dict(zip(self.params, args, strict=False)), **given}
        return {name: encode(value) for name, value in named.items()}

    def read(self, body: object) -> dict[str, Any]:
        """Return the arguments in `body`, which came as JSON.

        Raises:
            StoreError: they are not as the verb wants them.
        """
        if not isinstance(body, dict):
            raise StoreError(
                f"{self.name}: got {body!r:.80}, wanted a mapping of its arguments", f"give {', '.join(self.params)}"
            )
        if unknown := body.keys() - self.params.keys():
            raise StoreError(
                f"{self.name} takes no {', '.join(sorted(map(str, unknown)))}", f"it takes {', '.join(self.params)}"
            )
        if missing := self.needed - body.keys():
            raise StoreError(f"{self.name} lacks {', '.join(sorted(missing))}", f"it takes {', '.join(self.params)}")
        given = {}
        for name, value in body.items():
            try:
                given[name] = self.params[name](value)
            except StoreError as error:
                raise StoreError(f"{self.name}: {name}: {error.problem}", error.fix) from None
        return given

    def do(self, store: base.Store, given: Mapping[str, Any]) -> Any:
        """Call the verb of `store` with these arguments, and return its result."""
        facet, _, method = self.name.partition(".")
        return getattr(getattr(store, facet), method)(**given)


@cache
def verbs() -> Mapping[str, Verb]:
    """Return all verbs by name."""
    found = {}
    for facet, kind in _FACETS.items():
        for method in sorted(kind.__abstractmethods__):
            name = f"{facet}.{method}"
            if name not in _LOCKS:
                found[name] = _verb(name, getattr(kind, method), method in _READS)
    return found


def _verb(name: str, function: Callable[..., Any], reads: bool) -> Verb:
    hints = typing.get_type_hints(function)
    params = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    needed = frozenset(p.name for p in params if p.default is p.empty)
    return Verb(
        name=name,
        params={p.name: decoder(hints[p.name]) for p in params},
        schema={
            "type": "object",
            "properties": {p.name: schema(hints[p.name]) for p in params},
            "required": sorted(needed),
            "additionalProperties": False,
        },
        needed=needed,
        result=decoder(hints["return"]),
        reads=reads,
        doc=inspect.getdoc(function) or "",
    )
