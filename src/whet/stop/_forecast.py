"""Where a learning curve will end: an average over parametric families, in closed form.

Each family is y(t) = f + d · g(t), with f the value at the horizon, d the fall that is left to it from the first report on, and a shape g
that is 1 there and 0 at the horizon. For a shape and a noise level out of fixed grids, f and d have Gaussian posteriors in closed form,
and so has the weight of the pair (its evidence). What is predicted is the mixture of all of them: no optimiser, no chain, no randomness, and
the same cost however long the curve is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

__all__ = ["MOST_POINTS", "NUM_COMPONENTS", "Forecast", "joins"]

MOST_POINTS = 64
"""Of longer curves so many points are used, evenly chosen, the first and the last among them."""

_POWERS = np.geomspace(0.05, 4.0, 32)  # t^-a
_RATES = np.geomspace(0.5, 200.0, 48)  # exp(-k t), t in units of the horizon
_HALVES, _SLOPES = np.geomspace(0.01, 1.0, 20), np.geomspace(0.5, 4.0, 12)  # 1 / (1 + (t / b)^c), Domhan's log power
_NOISES = np.geomspace(0.015, 0.7, 6)  # in units of the range so far; the least one stands for what no family describes
_FALLS = np.array(
    [1.0, 4.0, 16.0]
)  # prior deviations of the whole fall in that unit: how much is still to come is open
_FRONT = 32  # points of a front that are looked at
_FAR = 100.0  # deviations beyond which nothing is expected
NUM_COMPONENTS = (len(_POWERS) + len(_RATES) + len(_HALVES) * len(_SLOPES)) * len(_NOISES) * len(_FALLS)


@final
class Forecast:
    """The value at `horizon` of the curve through `points`, noise included, as a mixture of Gaussians.

    Args:
        points: (step counted from 1, value), at least two of different steps before the horizon, all finite.
        horizon: The step to predict.
        scale: The least unit in which a difference matters; the range of the values if that is greater.

    Source: Domhan, Springenberg & Hutter, Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by Extrapolation of
    Learning Curves, IJCAI 2015 (the families, which there are combined by MCMC); Bishop, Pattern Recognition and Machine Learning, 2006, 3.5
    (the evidence of a linear model).
    """

    def __init__(self, points: Sequence[tuple[float, float]], horizon: float, *, scale: float = 0.0) -> None:
        if len(points) > MOST_POINTS:
            points = [points[i] for i in np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]
        step_N, value_N = np.array(points, dtype=float).T
        unit_N = step_N / horizon
        center = float(value_N[-max(1, len(value_N) // 4) :].mean())
        self._center, self._unit = center, max(float(np.ptp(value_N)), scale) or 1.0
        z_N = (value_N - center) / self._unit
        shape_SN = _shapes(unit_N)
        self.num_evaluations = shape_SN.size
        """How many values of shapes went into it: what its cost grows with."""
        # The linear model z = start - fall · (1 - g) + noise, by shape, noise and prior of the fall; its matrix is 2 × 2.
        n, sum_S, square_S = len(z_N), shape_SN.sum(axis=1), (shape_SN**2).sum(axis=1)
        z_sum, zg_S, zz = z_N.sum(), shape_SN @ z_N, float(z_N @ z_N)
        precision = (1.0 / _NOISES**2)[None, :, None]
        a = n * precision + 1.0
        b = -sum_S[:, None, None] * precision
        c = square_S[:, None, None] * precision + _FALLS**-2
        p, q = z_sum * precision, -zg_S[:, None, None] * precision
        det = a * c - b**2
        start, fall = (c * p - b * q) / det, (a * q - b * p) / det
        log_evidence = 0.5 * (
            n * np.log(precision) - np.log(det) - 2 * np.log(_FALLS) - zz * precision + p * start + q * fall
        )
        weight = np.exp(log_evidence - log_evidence.max()) * _prior()
        self._weight = (weight / weight.sum()).ravel()
        self._mean = (start - fall).ravel()
        self._deviation = np.sqrt((a + c + 2 * b) / det + 1.0 / precision).ravel()

    @property
    def mean(self) -> float:
        """The expected value."""
        return self._center + self._unit * float(self._weight @ self._mean)

    @property
    def deviation(self) -> float:
        """The standard deviation of the value."""
        mean = self._weight @ self._mean
        return self._unit * float(np.sqrt(self._weight @ (self._deviation**2 + (self._mean - mean) ** 2)))

    def below(self, value: float) -> float:
        """Return the probability that the value will be below `value`."""
        from scipy.special import ndtr

        z = (value - self._center) / self._unit
        return float(np.clip(self._weight @ ndtr((z - self._mean) / self._deviation), 0.0, 1.0))


def joins(forecasts: Sequence[Forecast], front_NM: Any) -> float:
    """Return the probability that no point of a front dominates what is forecast, each metric by itself and independent of the others.

    Of a great front an even choice is looked at, so that the probability is rather too great: nothing is stopped by it that would join.

    Args:
        forecasts: Of each of M metrics.
        front_NM: Finite losses, at least one.
    """
    from whet.fronts import boxes, evenly

    front_NM = evenly(front_NM, _FRONT)
    reach_M = np.array([max(front_NM[:, m].max(), one.mean) + _FAR * one.deviation for m, one in enumerate(forecasts)])
    lower_KM, upper_KM = boxes(front_NM, reach_M)
    chance_K = np.ones(len(lower_KM))
    for m, one in enumerate(forecasts):
        known: dict[float, float] = {-np.inf: 0.0, float(reach_M[m]): 1.0}
        for value in np.unique([lower_KM[:, m], upper_KM[:, m]]).tolist():
            known.setdefault(value, one.below(value))
        chance_K *= [known[high] - known[low] for low, high in zip(lower_KM[:, m].tolist(), upper_KM[:, m].tolist(), strict=True)]  # fmt: skip
    return float(np.clip(chance_K.sum(), 0.0, 1.0))


def _shapes(unit_N: Any) -> Any:
    """Return the shapes at N times in units of the horizon, (shape, time): 0 at the first of them and 1 at the horizon."""
    at_N = np.append(unit_N, 1.0)[None, :]
    power = at_N ** -_POWERS[:, None]
    exponential = np.exp(-_RATES[:, None] * at_N)
    half, slope = (grid.ravel()[:, None] for grid in np.meshgrid(_HALVES, _SLOPES))
    logarithmic = 1.0 / (1.0 + (at_N / half) ** slope)
    found = np.concatenate([power, exponential, logarithmic])
    fall = found[:, :1] - found[:, -1:]
    return (found[:, :1] - found[:, :-1]) / fall


def _prior() -> Any:
    """Return the prior weight of each component: a third to each family."""
    sizes = [len(_POWERS), len(_RATES), len(_HALVES) * len(_SLOPES)]
    return np.concatenate([np.full(size, 1.0 / size) for size in sizes])[:, None, None]
