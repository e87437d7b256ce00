"""Parts of a configuration's parameters, changed while all else stays as it is written."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from whet.config.names import split
from whet.config.parse import parse
from whet.errors import UnknownName
from whet.parameters import identity

__all__ = ["with_parts"]


def with_parts(config: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return `config` with other parts of some of its parameters.

    What is equal stays the very value that it was: a client that knows no difference between 1 and 1.0 does not change a type by naming a value again.

    Args:
        config: A legal one, as a sweep file has it, its parameters under ``parameters``, perhaps nested.
        parts: By the parameters' dotted names: ``{"lr": {"max": 0.5}}``.

    Raises:
        UnknownName: there is no such parameter.

    Example:
        >>> config = {"method": "random", "program": "train.py", "parameters": {"lr": {"min": 0.1, "max": 1.0}}}
        >>> with_parts(config, {"lr": {"min": 0.01, "max": 1}})["parameters"]
        {'lr': {'min': 0.01, 'max': 1.0}}
    """
    known = parse(dict(config))
    made = copy.deepcopy(dict(config))
    for name, given in parts.items():
        if name not in known.problem.space:
            raise UnknownName.of("parameter", name, known.problem.space)
        *groups, last = split(name, known.nested)
        branch = made["parameters"]
        for group in groups:
            branch = branch[group]["parameters"]
        old = branch[last] if isinstance(branch[last], dict) else {}  # a bare value is a whole parameter
        branch[last] = old | {part: _kept(old.get(part), value) for part, value in given.items()}
    return made


def _kept(old: Any, new: Any) -> Any:
    if isinstance(old, list) and isinstance(new, list):
        there = {identity(one): one for one in old}
        return [there.get(identity(value), value) for value in new]
    return old if identity(old) == identity(new) else new
