"""How much each parameter matters for being among the best trials (PED-ANOVA)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from whet.analysis.surface import metric_of
from whet.errors import StudyError
from whet.parameters import Choice, Parameter
from whet.trial import Problem, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["importance"]

_CELLS = 50  # how finely a parameter's range is looked at
_LEAST_TOP = 4  # fewer trials say nothing about a distribution


def importance(
    problem: Problem, trials: Iterable[Trial], *, quantile: float = 0.1, metric: str | None = None
) -> dict[str, float]:
    """Return the share of each parameter in what sets the best trials apart, the greatest first; the shares sum to 1.

    Of all trials that are complete or were stopped early (these rank last: they were stopped for being worse), the best `quantile`
    are the top, complete ones only (at least four, and at most half of them, ties included). For each parameter
    the density of its values is estimated twice on the unit interval, p over all trials and p_top over the top, by
    kernels with Scott's bandwidth and a uniform prior that weighs as much as one trial. The parameter matters as much as the two
    differ, by Pearson's divergence::

        D = Σ_u p(u) · (p_top(u) / p(u) - 1)²

    A conditional parameter is judged where it is active: with the share a of the trials and a_top of the top in which it is,
    it counts a_top²/a · D, so what matters only because its branch was chosen is credited to the parameter that chose the branch.

    Parameters with one legal value, or never active among the top, get 0. Where nothing sets the top apart, as with a constant
    objective, all parameters that vary share equally.

    Args:
        problem: Space and metrics.
        trials: In any phase and order; the complete and the stopped ones count, however they were chosen.
        quantile: In (0, 1); what share of the trials is the top. The smaller, the more local the answer.
        metric: Whose values rank the trials; needed with several metrics.

    Raises:
        StudyError: there are fewer than four different complete trials, or several metrics and none is named.
        UnknownName: no such metric.

    Source: Watanabe, Bansal, Hutter, PED-ANOVA, IJCAI 2023; its conditional extension (arXiv 2601.20800) for the weights.
    """
    if not 0 < quantile < 1:
        raise StudyError(f"quantile={quantile!r} is not between 0 and 1", "give a share such as 0.1")
    trials = list(trials)
    complete = sorted((t for t in trials if t.complete), key=lambda t: t.number)
    different = len({repr(sorted(t.params.items())) for t in complete})
    if different < _LEAST_TOP:
        raise StudyError(
            f"importance needs {_LEAST_TOP} different complete trials, and there are {different}", "run more trials"
        )
    place, chosen = metric_of(problem, metric)
    losses = [chosen.goal.loss(t.values[place]) for t in complete if t.values is not None]
    stopped = sorted((t for t in trials if t.stopped), key=lambda t: t.number)
    wanted = max(math.ceil(quantile * (len(losses) + len(stopped))), _LEAST_TOP)
    cutoff = sorted(losses)[min(wanted, max(len(losses) // 2, 1)) - 1]
    is_top = [loss <= cutoff for loss in losses] + [False] * len(stopped)
    scores = dict.fromkeys(problem.space, 0.0)
    varying = [name for name, parameter in problem.space.items() if parameter.size != 1]
    for name in varying:
        values = [t.params.get(name, _INACTIVE) for t in (*complete, *stopped)]
        scores[name] = _score(problem.space[name], values, is_top)
    total = math.fsum(scores.values())
    if total <= 0:  # the top is all there is, so both densities are the same
        scores.update((name, 1.0) for name in varying)
        total = float(len(varying)) or 1.0
    return {name: score / total for name, score in sorted(scores.items(), key=lambda item: -item[1])}


_INACTIVE = object()


def _score(parameter: Parameter, values: Sequence[object], is_top: Sequence[bool]) -> float:
    import numpy as np

    unordered = isinstance(parameter, Choice) and not parameter.ordered
    active = [v is not _INACTIVE and not (isinstance(parameter, Choice) and parameter.index(v) < 0) for v in values]
    units = np.array([parameter.encode(v) for v, here in zip(values, active, strict=True) if here])
    top = np.array([flag for flag, here in zip(is_top, active, strict=True) if here], dtype=bool)
    if len(units) < 2 or not top.any():
        return 0.0
    centers = _cells(parameter, units)
    edges = np.concatenate([[0.0], (centers[1:] + centers[:-1]) / 2, [1.0]])
    cells = np.clip(np.searchsorted(edges, units, side="right") - 1, 0, len(centers) - 1)
    prior = np.diff(edges)
    p_all, p_top = (_density(which, prior, smooth=not unordered) for which in (cells, cells[top]))
    divergence = float(np.sum((p_top - p_all) ** 2 / p_all))
    share, share_top = len(units) / len(values), top.sum() / sum(is_top)
    return float(share_top**2 / share) * divergence


def _cells(parameter: Parameter, units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the middles of the cells: the legal values if they are few, or what an even grid decodes to.

    A grid that is finer than the values would have cells that no trial can reach, which look as if the trials shunned them.
    """
    import numpy as np

    if isinstance(parameter, Choice):
        return np.unique([parameter.encode(option) for option in parameter.options])
    grid = [parameter.encode(parameter.decode((i + 0.5) / _CELLS)) for i in range(_CELLS)]
    if parameter.size is not None and parameter.size <= _CELLS:
        grid.extend(units)
    return np.unique(np.round(grid, 12))


def _density(cells: NDArray[np.int64], prior: NDArray[np.float64], *, smooth: bool) -> NDArray[np.float64]:
    """Return the probability of each cell, given the cells of some trials and the weight of one trial on `prior`."""
    import numpy as np
    from scipy.special import ndtr

    counts = np.bincount(cells, minlength=len(prior)).astype(float)
    if smooth and len(prior) > 1:
        low, high = np.quantile(cells, [0.25, 0.75])
        spread = min(float(np.std(cells)), float(high - low) / 1.34)
        sigma = max(1.059 * spread * len(cells) ** -0.2, 0.5 / 1.64)  # at least 90 % within the cell itself
        borders = np.arange(len(prior) + 1) - 0.5
        mass = np.diff(ndtr((borders[None, :] - np.arange(len(prior))[:, None]) / sigma), axis=1)
        counts = counts @ (mass / mass.sum(axis=1, keepdims=True))
    total = counts + np.maximum(prior, 1e-12)
    density: NDArray[np.float64] = total / total.sum()
    return density
