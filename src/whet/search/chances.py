"""How likely a trial is to keep the limits of its sweep: a Gaussian process for each value that is limited.

Shape suffixes: N points, M training points, F features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from whet.search.evidence import Evidence, Fitted
from whet.trial import Problem

if TYPE_CHECKING:
    import numpy as np

    from whet.search.gaussian import Process

    Array = np.ndarray[Any, Any]

__all__ = ["Chance", "Chances", "log_within", "log_within_slope"]

_FEWEST = 2  # values that a model is made of


@final
class Chances:
    """Models each limited value as losses are modelled: the same kernel, length scales fitted at the same times, values made about normal.

    What a trial did not report is not modelled; pending trials have the values that are expected of them.

    Args:
        problem: Whose limits; without any, it is false.
        evidence: The trials.

    Source: Gardner et al., Bayesian Optimization with Inequality Constraints, ICML 2014; Gelbart, Snoek & Adams, Bayesian Optimization with
    Unknown Constraints, UAI 2014.
    """

    def __init__(self, problem: Problem, evidence: Evidence) -> None:
        self._limits = problem.limits
        self._evidence = evidence
        self._fit = Fitted(evidence, self._fitted)

    def __bool__(self) -> bool:
        return bool(self._limits)

    def _fitted(self, numbers: list[int]) -> list[tuple[Array, float] | None]:
        """Return length scales and noise for each limit, None for one of which nothing is known."""
        from whet.search.gaussian import fitted

        _, features = self._evidence.tools()
        return [
            fitted(z_MF, y_M, features.group_F, features.H) if len(y_M) >= _FEWEST else None
            for z_MF, y_M, _, _ in self._data(numbers)
        ]

    def _data(self, numbers: Sequence[int]) -> list[tuple[Array, Array, float, float]]:
        """Return for each limit points, values and both bounds, the latter three made about normal."""
        import numpy as np

        from whet.search.normal import normalised_within

        z, values = self._evidence.features(numbers), self._evidence.measured(numbers)
        found = []
        for limit, value in zip(self._limits, values.T, strict=True):
            known = ~np.isnan(value)
            if known.any():
                found.append((z[known], *normalised_within(value[known], limit.min, limit.max)))
            else:
                found.append((z[known], value[known], -math.inf, math.inf))
        return found

    def given(self, pending: Sequence[Mapping[str, object]]) -> Chance:
        """Return what is believed now, with configurations that are pending."""
        import numpy as np

        from whet.search.gaussian import Process

        models: list[tuple[Process, float, float]] = []
        more = self._evidence.features_of(pending) if pending else None
        for scale, (z, y, low, high) in zip(self._fit(), self._data(self._evidence.model()), strict=True):
            if scale is None or len(y) < _FEWEST:
                continue
            model = Process(z, y, *scale)
            if more is not None:
                model = Process(np.concatenate([z, more]), np.concatenate([y, model.mean(more)]), *scale)
            models.append((model, low, high))
        return Chance(models)


@final
class Chance:
    """The log probability that all limits are kept, as a function of the point; the limits are independent.

    Args:
        models: Of each limited value, with the least and the greatest one that is kept.
    """

    def __init__(self, models: Sequence[tuple[Process, float, float]]) -> None:
        self._models = models

    def __call__(self, z_NF: Array) -> Array:
        """Return it at N points."""
        import numpy as np

        found = np.zeros(len(z_NF))
        for model, low, high in self._models:
            found = found + log_within(*model(z_NF), low, high)
        return found

    def slope(self, z_F: Array) -> tuple[float, Array]:
        """Return it at one point, and its gradient."""
        import numpy as np

        total, gradient_F = 0.0, np.zeros(len(z_F))
        for model, low, high in self._models:
            mean, deviation, mean_F, deviation_F = model.moments(z_F)
            value, by_mean, by_deviation = log_within_slope(mean, deviation, low, high)
            total += value
            gradient_F = gradient_F + by_mean * mean_F + by_deviation * deviation_F
        return total, gradient_F


def log_within(mean_N: Array, deviation_N: Array, low: float, high: float) -> Array:
    """Return log P(low <= v <= high) for normal v, also where it is far below the smallest float.

    Args:
        mean_N, deviation_N: Of v.
        low, high: Bounds, low < high; ∓∞ for none.

    Example:
        >>> import numpy as np
        >>> log_within(np.array([0.0, 50.0]), np.ones(2), -np.inf, 0.0).round(2).tolist()
        [-0.69, -1254.83]
    """
    import numpy as np
    from scipy.special import log_ndtr

    a, b = (low - mean_N) / deviation_N, (high - mean_N) / deviation_N
    # In the upper tail both terms are next to 1: the same interval in the lower one keeps the digits.
    swap = a > 0
    a, b = np.where(swap, -b, a), np.where(swap, -a, b)
    upper, lower = log_ndtr(b), log_ndtr(a)
    gap = np.minimum(lower - upper, -1e-300)
    with np.errstate(divide="ignore"):
        rest = np.where(gap > -math.log(2), np.log(-np.expm1(gap)), np.log1p(-np.exp(gap)))
    found: Array = upper + rest
    return found


def log_within_slope(mean: float, deviation: float, low: float, high: float) -> tuple[float, float, float]:
    """Return log P(low <= v <= high) for normal v, and its derivatives by mean and deviation."""
    import numpy as np

    value = float(log_within(np.array([mean]), np.array([deviation]), low, high)[0])
    by_mean = by_deviation = 0.0
    for bound, sign in ((low, -1.0), (high, 1.0)):
        if math.isfinite(bound):
            u = (bound - mean) / deviation
            # An exponent beyond what a float holds belongs to a point that no climb begins at.
            density = math.exp(min(-0.5 * u * u - 0.5 * math.log(2 * math.pi) - value, 700.0))
            by_mean -= sign * density / deviation
            by_deviation -= sign * density * u / deviation
    return value, by_mean, by_deviation
