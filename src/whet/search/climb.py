"""The search for the best point of an acquisition function over the unit cube of a space, numbers and choices alike.

Shape suffixes: N points, D numeric and B unordered parameters, P parameters in all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize

from whet.search.parzen import Layout

__all__ = ["climbed"]

Array = np.ndarray[Any, np.dtype[Any]]

Score = Callable[[Array, Array, Array], Array]
Slope = Callable[[Array, Array, Array], tuple[float, Array]]

_FEW_LEGAL, _LEGAL = 30, 60  # legal points below which more are drawn within the constraints, and how many
_COPIES = 20  # of each good trial, moved
_CLIMBERS, _BROOD = 8, 24
_STEEPEST, _STEPS = 3, 15  # climbers that end by the gradient, and how many steps of it


def climbed(
    layout: Layout,
    score: Score,
    generator: np.random.Generator,
    good: tuple[Array, Array],
    count: int,
    rounds: int,
    slope: Slope | None = None,
) -> list[list[float]]:
    """Return points for `Space.decode`, the one with the highest score first: random ones, good trials moved a little, then climbers.

    With the score's gradient the best climbers end with a few steps of L-BFGS-B.

    Args:
        layout: Of the space.
        score: Of points, from numbers x_ND, which of them are active m_ND, and options h_NC; the higher the better.
        generator: Of random numbers.
        good: Numbers and options of good trials (see `Layout.places`).
        count: Random points looked at first, >= 1.
        rounds: Of climbing, each with steps a little shorter.
        slope: The score of one point and its derivatives by its numbers, from x_D, m_D, h_C.
    """
    space, D, B = layout.space, layout.D, len(layout.place_B)
    options = [len(middles) for middles in layout.middles_B]
    units: list[Array] = []
    scores: list[Array] = []

    def look(x_ND: Array, index_NB: Array) -> Array:
        for column, (edges, middles) in layout.cells.items():
            x_ND[:, column] = middles[edges.searchsorted(x_ND[:, column])]
        found = layout.candidates(x_ND, index_NB)
        value = score(x_ND, found.features_NF[:, 2 * D : 3 * D], found.features_NF[:, 3 * D :])
        if space.constraints:
            legal = [not space.broken(space.decode(u)) for u in found.unit_NP.tolist()]
            value = np.where(legal, value, -np.inf)
        units.append(found.unit_NP)
        scores.append(value)
        return value

    def drawn(count: int) -> tuple[Array, Array]:
        index = [
            c.searchsorted(generator.random(count), side="right").clip(0, k - 1)
            for c, k in zip(layout.cumulative_B, options, strict=True)
        ]
        return generator.random((count, D)), np.stack(index, axis=1) if B else np.zeros((count, 0), dtype=np.intp)

    def mutated(x_ND: Array, index_NB: Array, width: float) -> tuple[Array, Array]:
        count = len(x_ND)
        # Of the numbers about three move, in some of the points all of them.
        share = np.where(generator.random((count, 1)) < 0.75, max(0.1, 3.0 / (D + B)), 1.0)
        other_x, other_index = drawn(count)
        moves = generator.random((count, D)) < share
        x = np.where(moves, x_ND + width * generator.standard_normal((count, D)), x_ND)
        x = np.clip(x, 0.0, 1.0)
        wild = generator.random((count, D)) < 0.3 * width  # leaves a basin that numbers can't walk out of
        x = np.where(wild, other_x, x)
        flips = generator.random((count, B)) < max(0.1, 1.0 / (D + B) if B else 0.0) * min(1.0, 4.0 * width)
        return x, np.where(flips, other_index, index_NB)

    x, index = drawn(count)
    if len(good[0]):
        near_x, near_index = (np.repeat(part, _COPIES, axis=0) for part in good)
        local = [mutated(near_x, near_index, width) for width in (0.1, 0.02)]
        x = np.concatenate([x, *(part for part, _ in local)])
        index = np.concatenate([index, *(part for _, part in local)])
    value = look(x, index)
    if space.constraints and np.isfinite(value).sum() < _FEW_LEGAL:  # too tight to be met by chance
        legal = np.array([layout.row(space.sample(generator)) for _ in range(_LEGAL)])
        more_x, more_index = layout.places(legal)
        x, index = np.concatenate([x, more_x]), np.concatenate([index, more_index])
        value = np.concatenate([value, look(more_x, more_index)])
    places = (-value).argsort(kind="stable")[:_CLIMBERS]
    at_x, at_index, at_value = x[places], index[places], value[places]
    width = 0.1
    for _ in range(rounds):
        brood = mutated(np.repeat(at_x, _BROOD, axis=0), np.repeat(at_index, _BROOD, axis=0), width)
        found = look(*brood).reshape(len(at_x), _BROOD)
        rows = np.arange(len(at_x)) * _BROOD + found.argmax(axis=1)
        better = found.max(axis=1) > at_value
        at_x = np.where(better[:, None], brood[0][rows], at_x)
        at_index = np.where(better[:, None], brood[1][rows], at_index)
        at_value = np.where(better, found.max(axis=1), at_value)
        width *= 0.7
    if slope is not None:
        best = (-at_value).argsort(kind="stable")[:_STEEPEST]
        ends = [_steepest(layout, slope, at_x[i], at_index[i]) for i in best]
        look(np.array(ends), at_index[best])
    every, unit_NP = np.concatenate(scores), np.concatenate(units)
    order = (-every).argsort(kind="stable")
    result: list[list[float]] = unit_NP[order[np.isfinite(every[order])]].tolist()
    return result


def _steepest(layout: Layout, slope: Slope, x_D: Array, index_B: Array) -> Array:
    """Return where a climb by the gradient ends: numbers that are active and not on a coarse grid move, all else stays."""
    D = layout.D
    features = layout.candidates(x_D[None], index_B[None]).features_NF[0]
    m_D, h_C = features[2 * D : 3 * D], features[3 * D :]
    moving = np.array([c for c in range(D) if m_D[c] > 0 and c not in layout.cells], dtype=np.intp)
    end = x_D.copy()
    if not len(moving):
        return end

    def objective(part: Array) -> tuple[float, Array]:
        end[moving] = part
        value, gradient_D = slope(end, m_D, h_C)
        return -value, -gradient_D[moving]

    bounds = [(0.0, 1.0)] * len(moving)
    found = minimize(objective, x_D[moving], jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
    end[moving] = np.clip(found.x, 0.0, 1.0)
    return end
