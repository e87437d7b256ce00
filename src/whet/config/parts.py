"""Parts of a configuration's parameters, changed while all else stays as it is written."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from whet.errors import UnknownName

__all__ = ["with_parts"]


def with_parts(config: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return `config` with other parts of some of its parameters.

    What is equal stays the very value that it was: a client that knows no difference between 1 and 1.0 does not change a type by naming a value again.

    Args:
        config: As a sweep file has it, its parameters under ``parameters``, perhaps nested.
        parts: By the parameters' dotted names: ``{"lr": {"max": 0.5}}``.

    Raises:
        UnknownName: there is no such parameter.

    Example:
        >>> with_parts({"parameters": {"lr": {"min": 0.1, "max": 1.0}}}, {"lr": {"min": 0.01, "max": 1}})
        {'parameters': {'lr': {'min': 0.01, 'max': 1.0}}}
    """
    made = copy.deepcopy(dict(config))
    for name, given in parts.items():
        found = _find(made.get("parameters"), name)
        if found is None:
            raise UnknownName.of("parameter", name, _names(made.get("parameters"), ""))
        for part, value in given.items():
            found[part] = _kept(found.get(part), value)
    return made


def _find(parameters: Any, name: str) -> dict[str, Any] | None:
    if not isinstance(parameters, dict):
        return None
    if isinstance(whole := parameters.get(name), dict):
        return whole
    for key, inner in parameters.items():
        if name.startswith(f"{key}.") and isinstance(inner, dict):
            found = _find(inner.get("parameters"), name[len(key) + 1 :])
            if found is not None:
                return found
    return None


def _names(parameters: Any, head: str) -> list[str]:
    if not isinstance(parameters, dict):
        return []
    return [name for key, inner in parameters.items()
            for name in (_names(inner["parameters"], f"{head}{key}.") if isinstance(inner, dict) and "parameters" in inner else [f"{head}{key}"])]  # fmt: skip


def _kept(old: Any, new: Any) -> Any:
    if isinstance(old, list) and isinstance(new, list):
        return [next((one for one in old if _is_same(one, value)), value) for value in new]
    return old if _is_same(old, new) else new


def _is_same(old: Any, new: Any) -> bool:
    return isinstance(old, bool) is isinstance(new, bool) and bool(old == new)
