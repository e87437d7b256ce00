"""A parameter as the axis of somebody else's optimizer: what the bridges to Nevergrad and Ax have in common."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import final

from whet.parameters import Choice, Parameter
from whet.search.history import unit
from whet.space import Space

__all__ = ["Axis", "axes", "point", "values"]

_MOST_OPTIONS = 500  # beyond, an option's place is its quantile
_MOST_STEPS = 1000


@final
class Axis:
    """One parameter, as a number in [0, 1] or as the index of one of a few values.

    Numbers go by their quantile, so logarithms, shapes and odd grids are none of the optimizer's business; its own linear and logarithmic
    scales would give the same axis. Even grids, and choices of up to 500 options, go by index. Options of weight 0 are left out; other
    weights are not kept by an index. A parameter with a single value is no axis: `is_fixed`.

    Args:
        parameter: Of the space.

    Example:
        >>> from whet.space import Int
        >>> axis = Axis(Int(2, 8, step=2))
        >>> axis.size, axis.is_ordered, axis.decode(3), axis.encode(4)
        (4, True, 8, 1)
    """

    __slots__ = ("_indices", "_parameter", "is_fixed", "is_ordered", "size")

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self._indices: list[int] | None = None
        self.is_ordered = True
        """Whether neighbours among its values are alike."""
        self.size: int | None = None
        """How many values there are, if it goes by their index."""
        if isinstance(parameter, Choice):
            weights = parameter.weights or (1.0,) * len(parameter.options)
            indices = [i for i, weight in enumerate(weights) if weight > 0]
            if len(indices) <= _MOST_OPTIONS:
                self._indices, self.size, self.is_ordered = indices, len(indices), parameter.ordered
            self.is_fixed = len(indices) == 1
            return
        size = parameter.size
        is_even = not getattr(parameter, "log", False) and getattr(parameter, "shape", None) is None
        if size is not None and size <= _MOST_STEPS and is_even:
            self.size = size
        self.is_fixed = size == 1

    def decode(self, place: float) -> object:
        """Return the value at `place`: an index where there is a `size`, else a quantile."""
        if self.size is None:
            return self._parameter.decode(float(place))
        index = min(max(round(place), 0), self.size - 1)
        if self._indices is not None:
            assert isinstance(self._parameter, Choice)
            return self._parameter.options[self._indices[index]]
        return self._parameter.decode((index + 0.5) / self.size)

    def encode(self, value: object) -> int | float | None:
        """Return the place of `value`, or None where it does not fit."""
        if self._indices is not None:
            assert isinstance(self._parameter, Choice)
            index = self._parameter.index(value)
            return self._indices.index(index) if index in self._indices else None
        u = unit(self._parameter, value)
        if not 0.0 <= u <= 1.0:
            return None
        return u if self.size is None else min(int(u * self.size), self.size - 1)

    def draw(self, rng: random.Random) -> int | float:
        """Return a place drawn evenly."""
        u = rng.random()
        return u if self.size is None else int(u * self.size)


def axes(space: Space) -> dict[str, Axis]:
    """Return the axis of each parameter, by its name."""
    return {name: Axis(parameter) for name, parameter in space.parameters.items()}


def values(space: Space, known: Mapping[str, Axis], places: Mapping[str, float]) -> dict[str, object]:
    """Return the configuration at `places`; what does not exist there is left out. Constraints are not looked at."""
    found: dict[str, object] = {}
    for name in space.active_order:
        if space.is_active(name, found):
            found[name] = known[name].decode(places.get(name, 0))
    return {name: found[name] for name in space if name in found}


def point(known: Mapping[str, Axis], params: Mapping[str, object], rng: random.Random) -> dict[str, int | float]:
    """Return the places of a configuration on all axes that are not fixed; what is missing or does not fit is drawn.

    Args:
        rng: Of the trial, so that the same one always lies in the same place.
    """
    found = {}
    for name, axis in known.items():
        drawn = axis.draw(rng)
        place = axis.encode(params[name]) if name in params else None
        if not axis.is_fixed:
            found[name] = drawn if place is None else place
    return found
