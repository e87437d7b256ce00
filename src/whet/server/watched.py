"""A store with an ear: whoever changes a sweep through it, by whatever route, those who wait for the sweep get to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast, final

from whet.store.base import Runs, Store, Sweeps, Trials
from whet.store.files import Files
from whet.store.token import Tokens
from whet.store.verbs import Verb, verbs

__all__ = ["Watched"]

_SILENT = frozenset({"sweeps.create", "sweeps.drive", "sweeps.release", "trials.beat", "trials.take_over"})
"""Verbs that write, but change nothing that anybody waits for."""


@final
class Watched(Store):
    """Another store, which tells of each change of a sweep.

    Args:
        store: The store itself.
        heard: Called with the verb's name and the sweep's id once the verb is done.
    """

    def __init__(self, store: Store, heard: Callable[[str, str], None]) -> None:
        self._store = store
        self.url = store.url
        self.sweeps = cast(Sweeps, _facet(Sweeps, "sweeps", store, heard))
        self.trials = cast(Trials, _facet(Trials, "trials", store, heard))

    @property
    def runs(self) -> Runs:  # type: ignore[override]
        """Those of the store: nobody waits for a run."""
        return self._store.runs

    @property
    def tokens(self) -> Tokens:  # type: ignore[override]
        """Those of the store."""
        return self._store.tokens

    @property
    def files(self) -> Files:
        return self._store.files

    @property
    def env(self) -> Mapping[str, str]:
        return self._store.env

    def close(self) -> None:
        self._store.close()

    def __repr__(self) -> str:
        return repr(self._store)


def _facet(kind: type, name: str, store: Store, heard: Callable[[str, str], None]) -> object:
    """Return the facet with each changing verb told of."""
    methods: dict[str, Any] = {}
    for method in kind.__abstractmethods__:  # type: ignore[attr-defined]
        verb = verbs().get(f"{name}.{method}")
        act = _asking(store, name, method)
        if verb is not None and not verb.reads and verb.name not in _SILENT:
            act = _telling(verb, act, heard)
        methods[method] = staticmethod(act)
    return type(f"Watched{kind.__name__}", (kind,), methods)()


def _asking(store: Store, facet: str, method: str) -> Callable[..., Any]:
    def ask(*args: Any, **given: Any) -> Any:
        return getattr(getattr(store, facet), method)(*args, **given)

    return ask


def _telling(verb: Verb, act: Callable[..., Any], heard: Callable[[str, str], None]) -> Callable[..., Any]:
    first = next(iter(verb.params))  # the sweep's id, by either name

    def tell(*args: Any, **given: Any) -> Any:
        found = act(*args, **given)
        heard(verb.name, str(args[0] if args else given[first]))
        return found

    return tell
