"""The next configuration near a good one: every parameter moves a little, or is drawn anew."""

from __future__ import annotations

import random
from collections.abc import Mapping

from whet.parameters import Choice, Float, Int, Parameter
from whet.space import Space

__all__ = ["perturbed"]

_TRIES = 30
_SHIFT = 0.1  # in the quantile, of a number that may be negative


def perturbed(
    space: Space, params: Mapping[str, object], rng: random.Random, *, factor: float = 1.2, resample: float = 0.25
) -> dict[str, object]:
    """Return a legal configuration in which each parameter of `params` has moved.

    A number is multiplied by `factor` or by 2 − `factor` (and moves by a step at least, where it has steps); one that may be negative shifts
    by a tenth of its distribution instead. An ordered choice goes to a neighbour, an unordered one stays. With probability `resample` any of them is drawn
    from its distribution. A parameter that becomes active is drawn. Where 30 tries break constraints, `params` stay.

    Args:
        space: Of `params`.
        params: Legal there.
        rng: What it is drawn from.
        factor: In (1, 2).
        resample: In [0, 1].
    """
    for _ in range(_TRIES):
        point = []
        for name, parameter in space.parameters.items():
            drawn, up, u = rng.random() < resample, rng.random() < 0.5, rng.random()
            point.append(u if drawn or name not in params else _moved(parameter, params[name], up, factor))
        found = space.decode(point)
        if not space.broken(found):
            return found
    return dict(params)


def _moved(parameter: Parameter, value: object, up: bool, factor: float) -> float:
    """Return the quantile of `value` after its move."""
    if isinstance(parameter, Choice):
        if not parameter.ordered:
            return parameter.encode(value)
        index = parameter.index(value) + (1 if up else -1)
        return parameter.encode(parameter.options[min(max(index, 0), len(parameter.options) - 1)])
    assert isinstance(parameter, (Float, Int))
    assert isinstance(value, (int, float))
    if parameter.low < 0:
        return min(max(parameter.encode(value) + (_SHIFT if up else -_SHIFT), 0.0), 1.0)
    away = value * (factor - 1.0 if up else 1.0 - factor)
    if parameter.step is not None and abs(away) < parameter.step:
        away = parameter.step if up else -parameter.step
    return parameter.encode(min(max(value + away, parameter.low), parameter.high))
