"""What a point of the space is worth trying, to a search by a Gaussian process: the sum of what speaks for it, in logarithms.

Shape suffixes: N points, F features, D numeric parameters, C options of unordered ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np

from whet.search.gaussian import Features, Process, log_expected_improvement

if TYPE_CHECKING:
    from whet.search.transfer import Expectation

__all__ = ["Merit"]

Array = np.ndarray[Any, np.dtype[Any]]


class _Term(Protocol):
    """A function of the point, and its gradient."""

    def __call__(self, z_NF: Array) -> Array: ...

    def slope(self, z_F: Array) -> tuple[float, Array]: ...


class _Density(Protocol):
    """A belief about good values, as a density."""

    def log_density(self, x_ND: Array, m_ND: Array, h_NC: Array) -> Array: ...

    def slope(self, x_D: Array, m_D: Array) -> Array: ...


@final
class Merit:
    """The log expected improvement, joined by the log probability that limits are kept, the log cost and a belief, where there are any.

    Args:
        features: Of the space.
        process: Of the losses.
        goal: The loss to be improved on; ∞: improvements don't count, since what keeps the limits is to be found first.
        expectation: What earlier sweeps let expect, added to the process.
        chance: The log probability that limits are kept.
        expense: Minus the log cost, weighted.
        belief: A density, and its weight.
    """

    def __init__(self, features: Features, process: Process, goal: float, *, expectation: Expectation | None = None,
                 chance: _Term | None = None, expense: _Term | None = None,
                 belief: tuple[_Density, float] | None = None) -> None:  # fmt: skip
        self._features, self._process, self._goal = features, process, goal
        self._is_aimless = math.isinf(goal)
        self._expectation = expectation
        self._terms = [term for term in (chance, expense) if term is not None]
        self._belief = belief

    def at(self, z_NF: Array) -> Array:
        """Return the merit of N points by their features, a belief left out."""
        mean_N, deviation_N = self._process(z_NF)
        if self._expectation is not None:
            mean_N = mean_N + self._expectation(z_NF)
        value = np.zeros(len(z_NF)) if self._is_aimless else log_expected_improvement(mean_N, deviation_N, self._goal)
        for term in self._terms:
            value = value + term(z_NF)
        return value

    def score(self, x_ND: Array, m_ND: Array, h_NC: Array) -> Array:
        """Return the merit of N points: quantiles x, of which those with m = 0 are inactive, and options h."""
        value = self.at(self._features.of_points(x_ND, m_ND, h_NC))
        if self._belief is None:
            return value
        belief, weight = self._belief
        return value + weight * belief.log_density(x_ND, m_ND, h_NC)

    def slope(self, x_D: Array, m_D: Array, h_C: Array) -> tuple[float, Array]:
        """Return the merit of one point, and its derivatives by the numbers."""
        z_F = self._features.of_points(x_D[None], m_D[None], h_C[None])[0]
        beside = None if self._expectation is None else self._expectation.slope(z_F)
        value, gradient_F = 0.0, np.zeros(len(z_F))
        if not self._is_aimless:
            value, gradient_F = self._process.log_improvement(z_F, self._goal, beside)
        for term in self._terms:
            more, uphill_F = term.slope(z_F)
            value, gradient_F = value + more, gradient_F + uphill_F
        gradient_D = gradient_F[: len(x_D)]  # numbers are the first features
        if self._belief is not None:
            belief, weight = self._belief
            value += weight * float(belief.log_density(x_D[None], m_D[None], h_C[None])[0])
            gradient_D = gradient_D + weight * belief.slope(x_D, m_D)
        return value, gradient_D
