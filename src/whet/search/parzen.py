"""Parzen mixtures over the unit cube of a space: what TPE draws from, and compares.

A kernel sits on one trial. In a numeric coordinate it is a normal around the trial's quantile, truncated to [0, 1]; in an unordered
choice it stays at the trial's option or else follows the prior; in a coordinate that is inactive in the trial it is the prior.
The prior is uniform in the unit cube, whatever the parameters' distributions are, so it is the kernel of an empty trial.

The log-density of every point under every kernel is ONE matrix product: the exponent of a normal is linear in (x², x, 1), that of a
choice in its indicator vector, and a coordinate that is inactive in the point is multiplied away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.special import ndtr, ndtri

from whet.parameters import Choice, Float, Int, Parameter
from whet.search.history import unit
from whet.space import Space

__all__ = ["Candidates", "Layout", "Mixture"]

Array = np.ndarray[Any, np.dtype[Any]]

_MOST_CELLS = 256  # a number with more values is as good as continuous
# Unordered ones; the indicators of more would fill the memory, so they are taken in the order of their list.
_MOST_OPTIONS = 500
_LEAST_PRIOR = 1e-12  # keeps options of weight 0 out of log(0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """N points: `unit_NP` is made for `Space.decode`, `features_NF` for `Mixture.log_density`."""

    unit_NP: Array
    features_NF: Array


@final
class Layout:
    """How the parameters of a space lie in the rows of a table: D numeric ones, and B unordered choices with C options in all.

    A row has x (D: the quantile, or 0), m (D: 1 where active), h (C: the option's indicator) and a (C: 1 where its choice is active).
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.spec: list[tuple[str, Parameter, int, int]] = []  # name, parameter, first column of x or h, options or 0
        self.place_D: list[int] = []
        self.place_B: list[int] = []
        self.start_B: list[int] = []
        self.middles_B: list[Array] = []
        self.cumulative_B: list[Array] = []
        self.cells: dict[int, tuple[Array, Array]] = {}  # numeric column: the edges and the middles of its cells
        least: list[float] = []
        prior: list[float] = []
        counts: list[int] = []
        for place, (name, p) in enumerate(space.parameters.items()):
            size = p.size
            if isinstance(p, Choice) and (size == 1 or not p.ordered) and len(p.options) <= _MOST_OPTIONS:
                weights = np.array(p.weights or [1.0] * len(p.options))
                weights /= weights.sum()
                self.spec.append((name, p, len(prior), len(weights)))
                self.place_B.append(place)
                self.start_B.append(len(prior))
                self.middles_B.append(np.array([p.encode(option) for option in p.options]))
                self.cumulative_B.append(weights.cumsum())
                prior += weights.tolist()
                counts += [len(weights)] * len(weights)
                continue
            column = len(self.place_D)
            self.spec.append((name, p, column, 0))
            self.place_D.append(place)
            least.append(0.0 if size is None else 0.5 / size)  # narrower than half a cell, a kernel only sees itself
            if size is not None and size <= _MOST_CELLS:
                middles = np.array([p.encode(value) for value in _values(p, size)])
                self.cells[column] = ((middles[1:] + middles[:-1]) / 2, middles)
        self.D, self.C = len(self.place_D), len(prior)
        self.width = 2 * self.D + 2 * self.C
        self.num_draws = 1 + self.D + 2 * len(self.place_B)
        self.least_D = np.array(least)
        self.prior_C = np.maximum(np.array(prior), _LEAST_PRIOR)
        self.log_prior_C = np.log(self.prior_C)
        self.counts_C = np.array(counts, dtype=float)

    def row(self, params: Mapping[str, object]) -> list[float]:
        """Return the row for `params`; of an unfitting value as if it were inactive."""
        row = [0.0] * self.width
        D, C = self.D, self.C
        for name, parameter, column, options in self.spec:
            if name not in params:
                continue
            if not options:
                u = unit(parameter, params[name])
                if u == u:
                    row[column], row[D + column] = u, 1.0
                continue
            assert isinstance(parameter, Choice)
            index = parameter.index(params[name])
            if index >= 0:
                row[2 * D + column + index] = 1.0
                start = 2 * D + C + column
                row[start : start + options] = [1.0] * options
        return row

    def features(self, rows_NW: Array) -> Array:
        """Return the features of rows, as `Mixture.log_density` takes them."""
        x_ND = rows_NW[:, : self.D]
        found: Array = np.concatenate([x_ND * x_ND, rows_NW[:, : 2 * self.D + self.C]], axis=1)
        return found

    def places(self, rows_NW: Array) -> tuple[Array, Array]:
        """Return the quantiles and options of rows, ½ where a number is inactive: what `candidates` takes."""
        D = self.D
        x_ND = np.where(rows_NW[:, D : 2 * D] > 0, rows_NW[:, :D], 0.5)
        h_NC = rows_NW[:, 2 * D : 2 * D + self.C]
        index = [
            h_NC[:, start : start + len(middles)].argmax(axis=1)
            for start, middles in zip(self.start_B, self.middles_B, strict=True)
        ]
        return x_ND, np.stack(index, axis=1) if index else np.zeros((len(x_ND), 0), dtype=np.intp)

    def candidates(self, x_ND: Array, index_NB: Array) -> Candidates:
        """Return the points with numeric coordinates `x_ND` and options `index_NB`, what is inactive masked."""
        N, D = len(x_ND), self.D
        unit_NP = np.empty((N, len(self.space)))
        unit_NP[:, self.place_D] = x_ND
        h_NC = np.zeros((N, self.C))
        every = np.arange(N)
        for b, place in enumerate(self.place_B):
            unit_NP[:, place] = self.middles_B[b][index_NB[:, b]]
            h_NC[every, self.start_B[b] + index_NB[:, b]] = 1.0
        if not self.space.conditional:
            return Candidates(
                unit_NP=unit_NP, features_NF=np.concatenate([x_ND * x_ND, x_ND, np.ones((N, D)), h_NC], axis=1)
            )
        names = list(self.space)
        active = [self.space.decode(u) for u in unit_NP.tolist()]
        active_NP = np.array([[name in values for name in names] for values in active], dtype=float)
        m_ND = active_NP[:, self.place_D]
        for b, place in enumerate(self.place_B):
            start = self.start_B[b]
            h_NC[:, start : start + len(self.middles_B[b])] *= active_NP[:, place, None]
        return Candidates(
            unit_NP=unit_NP, features_NF=np.concatenate([m_ND * x_ND * x_ND, m_ND * x_ND, m_ND, h_NC], axis=1)
        )


def _values(parameter: Parameter, size: int) -> Sequence[object]:
    if isinstance(parameter, Choice):
        return parameter.options
    assert isinstance(parameter, (Float, Int))
    return [parameter.low + i * (parameter.step or 0.0) for i in range(size)]


@final
class Mixture:
    """A weighted sum of kernels.

    Args:
        layout: Of the rows.
        rows_KW: One row a kernel; the first one, all zeros, is the prior.
        weights: One a kernel, >= 0; they are normalised.
        width: Of the numeric kernels, in (0, 1].
    """

    def __init__(self, layout: Layout, rows_KW: Array, weights: Sequence[float], width: float) -> None:
        D, C = layout.D, layout.C
        self._layout = layout
        self._x, self._m = x, m = rows_KW[:, :D], rows_KW[:, D : 2 * D]
        self._h, a = rows_KW[:, 2 * D : 2 * D + C], rows_KW[:, 2 * D + C :]
        self._sigma_D = sigma = np.maximum(layout.least_D, width)
        z = x / sigma
        self._low = ndtr(-z)
        self._mass = ndtr(1.0 / sigma - z) - self._low
        precision = m / (sigma * sigma)
        mean = x * precision
        log_norm = m * np.log(self._mass * (sigma * math.sqrt(2 * math.pi)))
        # The more kernels there are, the less each of them strays from its own option.
        self._stray_C = stray = layout.counts_C / (layout.counts_C + len(rows_KW))
        log_stray = np.log(stray * layout.prior_C)
        log_stay = np.log(1.0 - stray + stray * layout.prior_C)
        options = self._h * (log_stay - log_stray) + a * (log_stray - layout.log_prior_C) + layout.log_prior_C
        self._coefficients_KF = np.concatenate([-0.5 * precision, mean, -0.5 * x * mean - log_norm, options], axis=1)
        w = np.array(weights)
        self._log_weights = np.log(w / w.sum())
        self._cumulative = (w / w.sum()).cumsum()

    def log_density(self, features_NF: Array) -> Array:
        """Return the log-density of N points, relative to the uniform one."""
        log_NK = features_NF @ self._coefficients_KF.T
        log_NK += self._log_weights
        top_N = log_NK.max(axis=1)
        log_NK -= top_N[:, None]
        result: Array = np.log(np.exp(log_NK).sum(axis=1)) + top_N
        return result

    def draw(self, uniform_NU: Array) -> Candidates:
        """Return N points drawn with the uniform variates `uniform_NU`, U = `Layout.num_draws`."""
        layout, D = self._layout, self._layout.D
        kernel_N = np.minimum(self._cumulative.searchsorted(uniform_NU[:, 0], side="right"), len(self._cumulative) - 1)
        u_ND = uniform_NU[:, 1 : D + 1]
        x_ND = self._x[kernel_N] + self._sigma_D * ndtri(self._low[kernel_N] + u_ND * self._mass[kernel_N])
        x_ND = np.where(self._m[kernel_N] > 0, x_ND, u_ND)
        np.maximum(x_ND, 0.0, out=x_ND)
        np.minimum(x_ND, 1.0, out=x_ND)
        for column, (edges, middles) in layout.cells.items():
            x_ND[:, column] = middles[edges.searchsorted(x_ND[:, column])]
        B = len(layout.place_B)
        index_NB = np.empty((len(u_ND), B), dtype=np.intp)
        for b, start in enumerate(layout.start_B):
            cumulative = layout.cumulative_B[b]
            h = self._h[kernel_N, start : start + len(cumulative)]
            stays = (uniform_NU[:, D + 1 + b] > self._stray_C[start]) & (h.max(axis=1) > 0)
            fresh = np.minimum(cumulative.searchsorted(uniform_NU[:, D + 1 + B + b], side="right"), len(cumulative) - 1)
            index_NB[:, b] = np.where(stays, h.argmax(axis=1), fresh)
        return layout.candidates(x_ND, index_NB)
