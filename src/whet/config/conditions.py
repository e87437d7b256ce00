"""`when:` in its two forms, the expression and the mapping, and `constraints:`."""

from __future__ import annotations

import keyword
import math
from collections.abc import Mapping

from whet.config.place import Place
from whet.config.read import kind
from whet.errors import ExpressionError
from whet.expression import Expression, parse

__all__ = ["condition", "expression"]


def expression(value: object, place: Place) -> Expression:
    """Return the expression that `value` at `place` is."""
    if not isinstance(value, str):
        raise place.error(
            f"got {kind(value)}, wanted text", "write an expression such as batch_size * accumulate <= 512"
        )
    try:
        return parse(value)
    except ExpressionError as error:
        raise place.wrap(error) from None


def condition(value: object, place: Place) -> Expression:
    """Return the expression that `value` (text, or a mapping of values by name of parameter) at `place` is.

    Example:
        >>> condition({"optimizer": ["sgd", "rmsprop"], "depth": 2}, Place())
        parse("optimizer in ['sgd', 'rmsprop'] and depth == 2")
    """
    if not isinstance(value, Mapping):
        return expression(value, place)
    if not value:
        raise place.error("the mapping is empty", "name a parameter and its value, such as {optimizer: sgd}")
    parts = []
    for name, wanted in value.items():
        if wanted == []:
            raise place.at(name).error(
                "the list is empty: the parameter would never exist", "give the values with which it does"
            )
        for option in wanted if isinstance(wanted, list) else [wanted]:
            if isinstance(option, (list, Mapping)):
                raise place.at(name).error(f"got {kind(option)}, wanted plain values", "write an expression instead")
        parts.append(f"{_named(name)} {'in' if isinstance(wanted, list) else '=='} {_written(wanted)}")
    return expression(" and ".join(parts), place)


def _written(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    return repr(value)


def _named(name: str) -> str:
    plain = all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))
    return name if plain else f"params[{name!r}]"
