"""Results made about normal, so that a few terrible ones do not matter to a Gaussian process."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["normalised", "normalised_unit", "normalised_within"]

Array = np.ndarray[Any, np.dtype[Any]]

_COARSE = np.linspace(-2.0, 4.0, 31)
_HUGE = 1e100
_FINE = np.linspace(-0.2, 0.2, 21)


def normalised(loss_M: Array) -> Array:
    """Return losses with mean 0 and deviation 1, clipped from above and made about normal; NaN and infinity become the worst.

    Source: Cowen-Rivers et al., HEBO, JAIR 2022.
    """
    return _normalised(loss_M)[0]


def normalised_unit(loss_M: Array, place: int) -> float:
    """Return what a unit of `normalised` losses is worth in losses, near the loss at `place`: the inverse's derivative, 0 where all are alike.

    Example:
        >>> normalised_unit(np.array([1.0, 3.0]), 0)
        1.0
    """
    return float(_normalised(loss_M)[1][place])


def _normalised(loss_M: Array) -> tuple[Array, Array]:
    """Return the normalised losses, and the derivative of each loss by its own."""
    finite = np.isfinite(loss_M)
    if not finite.any():
        return np.zeros(len(loss_M)), np.zeros(len(loss_M))
    unit_M = np.ones(len(loss_M))
    largest = float(np.abs(loss_M[finite]).max())
    if largest > _HUGE:  # its square overflows
        loss_M, unit_M = loss_M / largest, unit_M * largest
    low, middle, high = np.quantile(loss_M[finite], [0.0, 0.5, 1.0])
    y = np.where(finite, loss_M, np.where(loss_M == -np.inf, low, high))
    y = np.minimum(y, middle + 5.0 * (middle - low)) if middle > low else y
    deviation = y.std()
    if not deviation > 1e-12 * max(1.0, abs(float(middle))):
        return np.zeros(len(y)), np.zeros(len(y))
    y, unit_M = (y - y.mean()) / deviation, unit_M * deviation
    if len(y) >= 5:
        power = _power(y)
        shaped = _powered(y, power)[0]
        if np.isfinite(shaped).all() and shaped.std() > 1e-6:
            # The power's derivative: (1 + |y|) to the power less 1, below 0 to 1 less the power.
            slope_M = np.exp(np.sign(y) * (float(power[0]) - 1.0) * np.log1p(np.abs(y)))
            y, unit_M = (shaped - shaped.mean()) / shaped.std(), unit_M * shaped.std() / slope_M
    return y, unit_M


def normalised_within(value_M: Array, low: float | None, high: float | None) -> tuple[Array, float, float]:
    """Return values with mean 0 and deviation 1, clipped on both sides and made about normal, and two bounds (±∞ for None) among them.

    All of it is monotone, so what kept the bounds keeps them. A bound that values lie on exactly, as whole numbers do, is moved half-way to
    the next value, or a model would take what is on it for as likely beyond it.

    Args:
        value_M: Finite or infinite, at least one.
        low, high: The least and the greatest value that is kept.
    """
    bounds = np.array([-np.inf if low is None else low, np.inf if high is None else high])
    given = np.isfinite(bounds)
    finite = np.isfinite(value_M)
    largest = float(np.abs(np.concatenate([value_M[finite], bounds[given]])).max())
    if largest > 1e300:  # its sums overflow
        value_M, bounds = value_M * 2.0**-20, bounds * 2.0**-20
    known = value_M[finite] if finite.any() else bounds[given]
    first, middle, third = np.quantile(known, [0.25, 0.5, 0.75])
    reach = 5.0 * float(third - first)
    above, below = known[known > bounds[1]], known[known < bounds[0]]
    if len(above) and (known == bounds[1]).any():
        bounds[1] += 0.5 * min(float(above.min() - bounds[1]), reach or math.inf)
    if len(below) and (known == bounds[0]).any():
        bounds[0] -= 0.5 * min(float(bounds[0] - below.max()), reach or math.inf)
    # Bounds lie within what is clipped to, so that no value changes its side. Where most values are alike, only infinite ones are clipped.
    ends = np.concatenate([bounds[given], [first, third] if reach > 0 else known])
    margin = max(reach or float(ends.max() - ends.min()), 1e-6 * float(np.abs(ends).max())) or 1.0
    least, most = float(ends.min()) - margin, float(ends.max()) + margin
    # Within [-1, 1], so that no square overflows.
    y, bounds = (np.clip(value_M, least, most) - middle) / (most - least), (bounds - middle) / (most - least)
    deviation = float(y.std())
    if not deviation > 1e-12:
        # All alike: kept by all, or by none.
        is_above, is_below = bool((y > bounds[1]).all()), bool((y < bounds[0]).all())
        lower = -math.inf if low is None or is_above else 1.0 if is_below else -1.0
        upper = math.inf if high is None or is_below else -1.0 if is_above else 1.0
        return np.zeros(len(y)), lower, upper
    mean = float(y.mean())
    y, bounds = (y - mean) / deviation, (bounds - mean) / deviation
    if len(y) >= 5:
        power = _power(y)
        shaped, among = _powered(y, power)[0], bounds.copy()
        among[given] = _powered(bounds[given], power)[0]
        if np.isfinite(shaped).all() and np.isfinite(among[given]).all() and shaped.std() > 1e-6:
            mean, deviation = float(shaped.mean()), float(shaped.std())
            y, bounds = (shaped - mean) / deviation, (among - mean) / deviation
    return y, float(bounds[0]), float(bounds[1])


def _power(y_M: Array) -> Array:
    """Return the power that makes values most likely to be normal, of those in [-2.2, 4.2], to about 0.02.

    SciPy's search for it is exact and takes ten times as long as all else that a suggestion needs of its results.

    Source: Yeo & Johnson, A new family of power transformations, Biometrika 2000.
    """
    coarse = float(_COARSE[_likelihood(y_M, _COARSE).argmax()])
    fine = coarse + _FINE
    found: Array = fine[_likelihood(y_M, fine).argmax()][None]
    return found


def _likelihood(y_M: Array, power_L: Array) -> Array:
    with np.errstate(divide="ignore"):
        spread = np.log(_powered(y_M, power_L).var(axis=1))
    jacobian = float((np.sign(y_M) * np.log1p(np.abs(y_M))).sum())
    found: Array = -0.5 * len(y_M) * spread + (power_L - 1.0) * jacobian
    return np.where(np.isfinite(found), found, -math.inf)


def _powered(y_M: Array, power_L: Array) -> Array:
    log_M = np.log1p(np.abs(y_M))
    exponent_LM = np.where(y_M >= 0, power_L[:, None], 2.0 - power_L[:, None])
    near = np.abs(exponent_LM) < 1e-9  # there it is the logarithm
    safe = np.where(near, 1.0, exponent_LM)
    found: Array = np.sign(y_M) * np.where(near, log_M, np.expm1(safe * log_M) / safe)
    return found
