"""Results made about normal, so that a few terrible ones do not matter to a Gaussian process."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["normalised", "yeo_johnson"]

Array = np.ndarray[Any, np.dtype[Any]]

_COARSE = np.linspace(-2.0, 4.0, 31)
_HUGE = 1e100
_FINE = np.linspace(-0.2, 0.2, 21)


def normalised(loss_M: Array) -> Array:
    """Return losses with mean 0 and deviation 1, clipped from above and made about normal; NaN and infinity become the worst.

    Source: Cowen-Rivers et al., HEBO, JAIR 2022.
    """
    finite = np.isfinite(loss_M)
    if not finite.any():
        return np.zeros(len(loss_M))
    largest = float(np.abs(loss_M[finite]).max())
    if largest > _HUGE:  # its square overflows
        loss_M = loss_M / largest
    low, middle, high = np.quantile(loss_M[finite], [0.0, 0.5, 1.0])
    y = np.where(finite, loss_M, np.where(loss_M == -np.inf, low, high))
    y = np.minimum(y, middle + 5.0 * (middle - low)) if middle > low else y
    deviation = y.std()
    if not deviation > 1e-12 * max(1.0, abs(float(middle))):
        return np.zeros(len(y))
    y = (y - y.mean()) / deviation
    if len(y) >= 5:
        shaped = yeo_johnson(y)
        if np.isfinite(shaped).all() and shaped.std() > 1e-6:
            y = (shaped - shaped.mean()) / shaped.std()
    found: Array = y
    return found


def yeo_johnson(y_M: Array) -> Array:
    """Return the values under the power that makes them most likely to be normal, of powers in [-2.2, 4.2], to about 0.02.

    SciPy's search for the power is exact and takes ten times as long as all else that a suggestion needs of its results.

    Source: Yeo & Johnson, A new family of power transformations, Biometrika 2000.
    """
    coarse = float(_COARSE[_likelihood(y_M, _COARSE).argmax()])
    fine = coarse + _FINE
    powers = fine[_likelihood(y_M, fine).argmax()][None]
    found: Array = _powered(y_M, powers)[0]
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
