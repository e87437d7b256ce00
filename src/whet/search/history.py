"""What searchers read out of old trials: the quantile of a value, and a key that is equal for equal configurations.

Histories are not always tidy: a trial may have been enqueued by hand, or come from a sweep whose space has grown since. So these
functions take any mapping and never raise: what does not fit the space counts as absent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from whet.parameters import Choice, Parameter
from whet.space import Space

__all__ = ["Key", "key", "unit"]

Key = tuple[object, ...]


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
