"""The shapes that a parameter's distribution may have instead of the uniform one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from whet.errors import SpaceError

__all__ = ["Beta", "Normal"]

_EDGE = 1e-12  # quantiles nearer to 0 and 1 are infinite for practical purposes


@dataclass(frozen=True, slots=True)
class Normal:
    """A normal shape with mean `mu` and deviation `sigma` > 0, on the (log) scale of its parameter."""

    mu: float = 0.0
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mu) and math.isfinite(self.sigma) and self.sigma > 0):
            raise SpaceError(
                f"Normal(mu={self.mu}, sigma={self.sigma}) is no distribution", "give a finite mu and sigma > 0"
            )

    def cdf(self, t: float, low: float, high: float) -> float:
        """Return P(T < t); the bounds of the parameter play no part."""
        return 0.5 * (1.0 + math.erf((t - self.mu) / (self.sigma * math.sqrt(2.0))))

    def quantile(self, u: float, low: float, high: float) -> float:
        """Return the t with P(T < t) = u, u in (0, 1)."""
        return NormalDist(self.mu, self.sigma).inv_cdf(min(max(u, _EDGE), 1 - _EDGE))


@dataclass(frozen=True, slots=True)
class Beta:
    """A beta shape with `a`, `b` > 0, stretched over the bounds of its parameter."""

    a: float = 1.0
    b: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.a < math.inf and 0 < self.b < math.inf):
            raise SpaceError(f"Beta(a={self.a}, b={self.b}) is no distribution", "give a > 0 and b > 0")

    def cdf(self, t: float, low: float, high: float) -> float:
        """Return P(T < t) for t in [low, high]."""
        from scipy.special import betainc  # 0.3 s to import

        return float(betainc(self.a, self.b, min(max((t - low) / (high - low), 0.0), 1.0)))

    def quantile(self, u: float, low: float, high: float) -> float:
        """Return the t with P(T < t) = u, u in [0, 1]."""
        from scipy.special import betaincinv

        t = float(betaincinv(self.a, self.b, u))
        return low + (high - low) * (0.0 if math.isnan(t) else t)  # SciPy has no answer for some u below 1e-100
