"""Gaussian-process regression over the rows of a space: what `GP` believes about the trials it has not made.

Shape suffixes: N points, M training points, F features, H kernel parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, final

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import erfcx, log_ndtr

from whet.search.parzen import Layout

__all__ = ["Features", "Process", "fitted", "log_expected_improvement", "log_posterior"]

Array = np.ndarray[Any, np.dtype[Any]]

_ROOT5 = math.sqrt(5)
_JITTER = 1e-8
_LOWEST, _HIGHEST = math.log(1e-4), math.log(1e4)  # of the squared inverse length scales
_TYPICAL = 0.25  # length scale in one dimension, as a share of the range; in D, √D times that
_OFF, _APART = 2.0, 0.7  # deviations of log 1/ℓ²: of a space's from the typical, of a parameter's from its space's
_QUIET, _LOUDER = -6.0, 2.0  # of the log noise: middle and deviation
_PRIOR_POINTS = 4.0  # what the prior of the scale of f counts
_NOISE = (math.log(1e-6), math.log(1.0))


@final
class Features:
    """How points of a space lie for a kernel that knows which of their parameters are active.

    A number is its quantile, ½ where it is inactive, and, if it is conditional, has a second feature that says whether it is active;
    an unordered choice has one feature an option. Features that share a length scale have one `group`.

    Args:
        layout: Of the space.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        names = [name for name, _, _, options in layout.spec if not options]
        conditional = [layout.space.parameters[name].when is not None for name in names]
        self._flags = np.flatnonzero(conditional)
        groups = [*range(layout.D), *range(layout.D, layout.D + len(self._flags))]
        group = len(groups)
        for start, middles in zip(layout.start_B, layout.middles_B, strict=True):
            del start
            groups += [group] * len(middles)
            group += 1
        flagged = [name for name, is_conditional in zip(names, conditional, strict=True) if is_conditional]
        options = [name for name, parameter, _, count in layout.spec if count for _ in range(count)]
        self._name_F = [*names, *flagged, *options]
        self.group_F = np.array(groups, dtype=np.intp)
        self.H = group

    def of_rows(self, rows_NW: Array) -> Array:
        """Return the features of rows of the layout."""
        D, C = self._layout.D, self._layout.C
        return self._stacked(rows_NW[:, :D], rows_NW[:, D : 2 * D], rows_NW[:, 2 * D : 2 * D + C])

    def of_points(self, x_ND: Array, m_ND: Array, h_NC: Array) -> Array:
        """Return the features of points with quantiles x, of which those with m = 0 are inactive, and options h."""
        return self._stacked(x_ND, m_ND, h_NC)

    def of_names(self, names: Collection[str]) -> Array:
        """Return which features are those of these parameters."""
        return np.array([name in names for name in self._name_F], dtype=bool)

    def _stacked(self, x_ND: Array, m_ND: Array, h_NC: Array) -> Array:
        x = np.where(m_ND > 0, x_ND, 0.5)
        # Two options differ in two features, so that half of each makes a distance of one.
        return np.concatenate([x, m_ND[:, self._flags], h_NC * math.sqrt(0.5)], axis=1)


@final
class Process:
    """A posterior: y = f(z) + noise with a Matérn-5/2 kernel, one length scale a group of features.

    Args:
        z_MF: Training points.
        y_M: Their values, about standard.
        scale_F: One over each feature's length scale.
        noise: Variance of the noise, relative to that of f.
    """

    def __init__(self, z_MF: Array, y_M: Array, scale_F: Array, noise: float) -> None:
        self._scale_F = scale_F
        self._z_MF = z_MF * scale_F
        gram = _matern(_square_distances(self._z_MF, self._z_MF))
        gram[np.diag_indices_from(gram)] += noise + _JITTER
        self._root = _root(gram)
        self._mean = float(y_M.mean())
        self._y_M = y_M
        self._alpha_M = cho_solve((self._root, True), y_M - self._mean, check_finite=False)
        residual = y_M - self._mean
        # The scale of f is known in closed form where noise is relative to it; a weak prior at 1 keeps it there with few points.
        self._variance = float((residual @ self._alpha_M + _PRIOR_POINTS) / (len(y_M) + _PRIOR_POINTS))

    def mean(self, z_NF: Array) -> Array:
        """Return the mean of f."""
        found: Array = self._cross(z_NF) @ self._alpha_M + self._mean
        return found

    def __call__(self, z_NF: Array) -> tuple[Array, Array]:
        """Return mean and deviation of f."""
        k_NM = self._cross(z_NF)
        v_MN = solve_triangular(self._root, k_NM.T, lower=True, check_finite=False)
        variance_N = np.maximum(1.0 - np.einsum("mn,mn->n", v_MN, v_MN), 1e-12) * self._variance
        return k_NM @ self._alpha_M + self._mean, np.sqrt(variance_N)

    def mean_slope(self, z_F: Array) -> tuple[float, Array]:
        """Return the mean of f at one point, and its gradient."""
        k_M, slope_MF = self._cross_slope(z_F)
        return float(k_M @ self._alpha_M) + self._mean, self._alpha_M @ slope_MF

    def left_out(self) -> Array:
        """Return what is expected of each training value without it.

        Source: Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), (5.12).
        """
        inverse = cho_solve((self._root, True), np.eye(len(self._alpha_M)), check_finite=False)
        found: Array = self._y_M - self._alpha_M / np.diagonal(inverse)
        return found

    def moments(self, z_F: Array) -> tuple[float, float, Array, Array]:
        """Return mean and deviation of f at one point, and the gradients of both."""
        k_M, slope_MF = self._cross_slope(z_F)
        w_M = cho_solve((self._root, True), k_M, check_finite=False)
        deviation = math.sqrt(max(1.0 - float(k_M @ w_M), 1e-12) * self._variance)
        deviation_F: Array = (w_M @ slope_MF) * (-self._variance / deviation)
        return float(k_M @ self._alpha_M) + self._mean, deviation, self._alpha_M @ slope_MF, deviation_F

    def log_improvement(
        self, z_F: Array, best: float, beside: tuple[float, Array] | None = None
    ) -> tuple[float, Array]:
        """Return log E[max(best − f, 0)] at one point, and its gradient.

        Args:
            z_F: The point.
            best: The value to be improved on.
            beside: A known function's value and gradient there, which are added to f's.
        """
        mean, deviation, mean_F, deviation_F = self.moments(z_F)
        if beside is not None:
            mean, mean_F = mean + beside[0], mean_F + beside[1]
        u = (best - mean) / deviation
        log_h = float(log_expected_improvement(np.array([-u]), np.ones(1), 0.0)[0])
        by_mean = -math.exp(float(log_ndtr(u)) - log_h) / deviation
        by_deviation = math.exp(-0.5 * u * u - 0.5 * math.log(2 * math.pi) - log_h) / deviation
        return log_h + math.log(deviation), by_mean * mean_F + by_deviation * deviation_F

    def _cross_slope(self, z_F: Array) -> tuple[Array, Array]:
        """Return the kernel of one point with the training points, and its derivatives by the point."""
        away_MF = z_F * self._scale_F - self._z_MF
        r_M = np.sqrt(np.einsum("mf,mf->m", away_MF, away_MF))
        decay_M = np.exp(-_ROOT5 * r_M)
        slope_M = (-5.0 / 3.0) * (1.0 + _ROOT5 * r_M) * decay_M
        return (1.0 + _ROOT5 * r_M + (5.0 / 3.0) * r_M * r_M) * decay_M, slope_M[:, None] * away_MF * self._scale_F

    def _cross(self, z_NF: Array) -> Array:
        return _matern(_square_distances(z_NF * self._scale_F, self._z_MF))


def fitted(z_MF: Array, y_M: Array, group_F: Array, num_groups: int) -> tuple[Array, float]:
    """Return the scales of the features (one over their length scales) and the noise with the greatest posterior density.

    Length scales have a prior in two stages: that of a space grows with the root of its dimension (Hvarfner et al., ICML 2024), and those
    of single parameters stay near it, or a few points in many dimensions would make all but one or two parameters idle.
    """
    objective = log_posterior(z_MF, y_M, group_F, num_groups)
    best: tuple[float, Array] | None = None
    bounds = [(_LOWEST, _HIGHEST)] * num_groups + [_NOISE]
    centre = _centre(num_groups)
    for start in (centre, centre + 3.0):  # long length scales, and short ones
        theta = np.full(num_groups + 1, min(max(start, _LOWEST), _HIGHEST))
        theta[-1] = -5.0
        found = minimize(objective, theta, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
        if best is None or found.fun < best[0] - 1e-9:
            best = float(found.fun), found.x
    assert best is not None
    theta = best[1]
    return np.exp(0.5 * theta[:-1])[group_F], math.exp(theta[-1])


def log_posterior(z_MF: Array, y_M: Array, group_F: Array, num_groups: int) -> Callable[[Array], tuple[float, Array]]:
    """Return minus the log posterior density of θ = (log 1/ℓ² of each group, log noise), up to a constant, and its gradient.

    The scale of f, to which noise is relative, is maximised out under a weak prior at 1.
    """
    square_HMM = np.zeros((num_groups, len(z_MF), len(z_MF)))
    for feature, group in enumerate(group_F):
        difference = z_MF[:, feature, None] - z_MF[None, :, feature]
        square_HMM[group] += difference * difference
    flat_HS = square_HMM.reshape(num_groups, -1)
    residual_M = y_M - y_M.mean()
    M, centre = len(y_M), _centre(num_groups)

    def objective(theta: Array) -> tuple[float, Array]:
        weight_H, noise = np.exp(theta[:-1]), math.exp(theta[-1])
        r2 = (weight_H @ flat_HS).reshape(M, M)
        r = np.sqrt(r2)
        decay = np.exp(-_ROOT5 * r)
        gram = (1.0 + _ROOT5 * r + (5.0 / 3.0) * r2) * decay
        gram[np.diag_indices_from(gram)] += noise + _JITTER
        try:
            root = cholesky(gram, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        inverse = cho_solve((root, True), np.eye(M), check_finite=False)
        alpha = inverse @ residual_M
        fit = float(residual_M @ alpha) + _PRIOR_POINTS
        value = float(np.log(np.diagonal(root)).sum()) + 0.5 * (M + _PRIOR_POINTS) * math.log(fit)
        outer = inverse - np.outer(alpha, alpha) * ((M + _PRIOR_POINTS) / fit)
        slope = (-5.0 / 6.0) * (1.0 + _ROOT5 * r) * decay  # dk/d(r²)
        gradient = np.empty_like(theta)
        gradient[:-1] = 0.5 * weight_H * (flat_HS @ (outer * slope).ravel())
        gradient[-1] = 0.5 * noise * float(np.trace(outer))
        mean = theta[:-1].mean() if num_groups else centre
        apart_H, off, away = (theta[:-1] - mean) / _APART, (mean - centre) / _OFF, (theta[-1] - _QUIET) / _LOUDER
        value += 0.5 * (float(apart_H @ apart_H) + off * off + away * away)
        gradient[:-1] += apart_H / _APART + off / (_OFF * max(num_groups, 1))
        gradient[-1] += away / _LOUDER
        return value, gradient

    return objective


def _centre(num_groups: int) -> float:
    return -2.0 * math.log(_TYPICAL * math.sqrt(max(num_groups, 1)))


def log_expected_improvement(mean_N: Array, deviation_N: Array, best: float) -> Array:
    """Return log E[max(best − f, 0)], also where it is far below the smallest float.

    Source: Ament et al., Unexpected Improvements to Expected Improvement for Bayesian Optimization, NeurIPS 2023.
    """
    u = (best - mean_N) / deviation_N
    log_h = np.empty_like(u)
    near = u > -1.0
    un = u[near]
    log_h[near] = np.log(np.exp(-0.5 * un * un) / math.sqrt(2 * math.pi) + un * np.exp(log_ndtr(un)))
    far = -u[~near]
    shortfall = math.sqrt(math.pi / 2) * far * erfcx(far / math.sqrt(2))
    # 1 − shortfall → 1/u², which cancellation hides beyond 10⁶
    log_h[~near] = -0.5 * far * far - 0.5 * math.log(2 * math.pi) + np.where(
        far < 1e5, np.log(np.maximum(1.0 - shortfall, 1e-300)), -2.0 * np.log(far)
    )  # fmt: skip
    found: Array = log_h + np.log(deviation_N)
    return found


def _root(gram: Array) -> Array:
    for more in (
        0.0,
        1e-6,
        1e-4,
        1e-2,
    ):  # points that are all but the same make a matrix that is not positive definite to rounding
        gram[np.diag_indices_from(gram)] += more
        try:
            found: Array = cholesky(gram, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
        return found
    raise AssertionError("a kernel matrix with a hundredth on its diagonal is positive definite")


def _square_distances(a_NF: Array, b_MF: Array) -> Array:
    found: Array = (a_NF * a_NF).sum(1)[:, None] + (b_MF * b_MF).sum(1)[None, :] - 2.0 * (a_NF @ b_MF.T)
    np.maximum(found, 0.0, out=found)
    return found


def _matern(r2: Array) -> Array:
    """Return the Matérn-5/2 correlation of squared distances, whose memory is used up."""
    r = np.sqrt(r2)
    r *= _ROOT5
    decay = np.exp(-r)
    r2 *= 5.0 / 3.0
    r2 += r
    r2 += 1.0
    r2 *= decay
    return r2
