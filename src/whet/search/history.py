"""What searchers read out of old trials: the quantile of a value, and a key that is equal for equal configurations.

Histories are not always tidy: a trial may have been enqueued by hand, or come from a sweep whose space has grown since. So these
functions take any mapping and never raise: what does not fit the space counts as absent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

from whet.parameters import Choice, Parameter
from whet.space import Space

__all__ = ["Key", "key", "thinned", "unit"]

Key = tuple[object, ...]
T = TypeVar("T")


def unit(parameter: Parameter, value: object) -> float:
    """Return the quantile of `value`, NaN where it does not fit."""
    if isinstance(parameter, Choice):
        return parameter.encode(value) if parameter.index(value) >= 0 else math.nan
    if isinstance(value, (int, float)) and value == value:
        return parameter.encode(value)
    return math.nan


def _label(parameter: Parameter, value: object) -> object:
    if isinstance(parameter, Choice):
        return parameter.index(value)
    if isinstance(value, float):
        return float(f"{value:.15g}")  # what went through text and back is still the same configuration
    return value if isinstance(value, int) else repr(value)


def key(space: Space, params: Mapping[str, object]) -> Key:
    """Return a hashable that two configurations share exactly if they are the same (floats: to 15 digits)."""
    return tuple(_label(p, params[name]) if name in params else None for name, p in space.parameters.items())


def thinned(ranked: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of what is ranked, in its order: a half of them the best ones, and an even choice of the others.

    Example:
        >>> thinned(range(10), 4)
        [0, 1, 2, 6]
    """
    if len(ranked) <= most:
        return list(ranked)
    near = most // 2
    stride = (len(ranked) - near) / (most - near)
    return [*ranked[:near], *(ranked[near + int(i * stride)] for i in range(most - near))]
