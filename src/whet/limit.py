"""A limit: the bounds of a value that only a trial can tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

from whet.errors import ConfigError

__all__ = ["Limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What trials must keep about a value that only they can tell: a latency, the memory taken, the accuracy on other data.

    Args:
        name: Of the value: an attribute of the trial, one of the metrics, or ``seconds`` (how long it took; an attribute comes first).
        min, max: The least and the greatest value that keeps it, finite; at least one of them.

    Raises:
        ConfigError: no bound, one that is not finite, or min above max.

    Example:
        >>> print(Limit(name="latency_ms", max=20))
        latency_ms <= 20
    """

    name: str
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ConfigError(f"the limit {self.name} has no bound", "give min, max or both")
        for word, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and not math.isfinite(bound):
                raise ConfigError(f"the limit {self.name} has {word}={bound}", "give a finite number")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ConfigError(f"the limit {self.name} has min={self.min:.6g} above max={self.max:.6g}", "exchange them")

    def __str__(self) -> str:
        if self.min is not None and self.max is not None:
            return f"{self.min:.6g} <= {self.name} <= {self.max:.6g}"
        return f"{self.name} <= {self.max:.6g}" if self.max is not None else f"{self.name} >= {self.min:.6g}"

    def excess(self, value: float | None) -> float:
        """Return how far `value` is beyond the bounds: 0 where it keeps them, infinite where there is none."""
        if value is None or value != value:
            return math.inf
        above = 0.0 if self.max is None else value - self.max
        below = 0.0 if self.min is None else self.min - value
        return max(above, below, 0.0)
