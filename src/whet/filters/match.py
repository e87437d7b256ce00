"""What a filter says of a run, evaluated in Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from whet.filters.nodes import And, Column, Compare, Contains, Missing, Node, Not, Or, Tagged, Truth

__all__ = ["matches", "scalar"]


_EXACT = 2**53  # beyond, a float can't tell an integer from the next


def scalar(value: object) -> float | str | None:
    """Return what a filter sees of `value`: a finite number as precise as a 64-bit float, a text, or None.

    Example:
        >>> [scalar(v) for v in (True, 2, "adam", float("nan"), [1, 2], 10**400, 2**53 + 1)]
        [1, 2, 'adam', None, None, None, 9007199254740992.0]
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        try:
            return value if abs(value) <= _EXACT else float(value)
        except OverflowError:
            return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str) else None


def matches(node: Node | None, look: Callable[[Column], object], tags: tuple[str, ...]) -> bool:
    """Return whether a run is wanted; `look` returns what it has in a column."""
    match node:
        case None:
            return True
        case And(parts):
            return all(matches(part, look, tags) for part in parts)
        case Or(parts):
            return any(matches(part, look, tags) for part in parts)
        case Not(part):
            return not matches(part, look, tags)
        case Missing(which):
            return scalar(look(which)) is None
        case Truth(which):
            return bool(scalar(look(which)))
        case Tagged(tag):
            return tag in tags
        case Contains(which, part):
            value = scalar(look(which))
            return isinstance(value, str) and part in value
        case Compare(left, op, right):
            return _holds(scalar(look(left)), op, scalar(look(right) if isinstance(right, Column) else right))


def _holds(a: Any, op: str, b: Any) -> bool:
    if a is None or b is None or isinstance(a, str) is not isinstance(b, str):
        return False
    return bool({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b}[op])
