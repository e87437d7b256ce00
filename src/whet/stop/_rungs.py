"""What the rung methods share: ladders of rungs, who stands where on one, and the checks of their knobs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from whet.errors import ConfigError

__all__ = ["Standing", "knob_flag", "knob_number", "knob_whole", "ladder", "ladder_down", "standing", "word"]


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


def knob_number(owner: str, name: str, value: object, low: float, high: float = math.inf) -> float:
    """Return the knob `value` if it is a finite number in [low, high].

    Raises:
        ConfigError: it is not.
    """
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fine or not low <= value <= high:  # type: ignore[operator]
        wanted = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ConfigError(f"{owner} has {name}={value!r}, not a number {wanted}", f"give {name} a number {wanted}")
    assert isinstance(value, (int, float))
    return value


def knob_whole(owner: str, name: str, value: object, low: int) -> int:
    """Return the knob `value` as an int if it is a whole number of at least `low`.

    Raises:
        ConfigError: it is not.
    """
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fine or int(value) != value or value < low:  # type: ignore[operator, call-overload]
        wanted = f"a whole number of at least {low}"
        raise ConfigError(f"{owner} has {name}={value!r}, not {wanted}", f"give {name} {wanted}")
    assert isinstance(value, (int, float))
    return int(value)


def knob_flag(owner: str, name: str, value: object) -> bool:
    """Return the knob `value` if it is true or false.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{owner} has {name}={value!r}, not true or false", f"give {name} true or false")
    return value
