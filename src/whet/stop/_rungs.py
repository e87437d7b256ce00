"""What the rung methods share: ladders of rungs, and who stands where on one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Standing", "ladder", "ladder_down", "standing", "word"]


def ladder(first: int, eta: float, up_to: int) -> list[int]:
    """Return the rungs first, first·eta, first·eta², … (rounded down) that are at most `up_to`."""
    rungs, rung = [], float(first)
    while rung < up_to + 1:
        rungs.append(int(rung))
        rung *= eta
    return rungs


def ladder_down(last: int, eta: float, count: int) -> list[int]:
    """Return the rungs last/eta, last/eta², … (rounded down), `count` of them or as many as are at least 1, ascending."""
    rungs, rung = [], float(last)
    for _ in range(count):
        rung /= eta
        if rung < 1:
            break
        rungs.append(int(rung))
    return rungs[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a loss does on a rung: `ahead` of the `num_others` there are strictly better."""

    ahead: int
    num_others: int

    @property
    def size(self) -> int:
        """How many stand on the rung, this one included."""
        return self.num_others + 1


def standing(loss: float, others: Sequence[float]) -> Standing:
    """Return how `loss`, a number, does among `others`, of which NaN is worse than any number."""
    return Standing(ahead=sum([other < loss for other in others]), num_others=len(others))


def word(value: float) -> str:
    """Return `value` as reasons show it, with four significant digits."""
    return "NaN" if math.isnan(value) else f"{value:.4g}"
