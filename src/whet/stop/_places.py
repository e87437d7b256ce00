"""Who stands where among trials, by one metric or by several: what the stoppers that compare have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from whet.trial import Metric, Problem

__all__ = [
    "Losses",
    "Standing",
    "best_standing",
    "losses_by",
    "metrics_of",
    "missing",
    "nan_words",
    "shown",
    "standing",
    "word",
]

Losses = tuple[float, ...]
"""Smaller is better in each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How losses do among others: `ahead` of the `num_others` are strictly better.

    `front` counts from 1, the front that nobody beats; None with one metric.
    """

    ahead: int
    num_others: int
    front: int | None = None

    @property
    def size(self) -> int:
        """How many stand there, this one included."""
        return self.num_others + 1

    @property
    def words(self) -> str:
        """The front as reasons say it, before "is among …"; empty with one metric."""
        return "" if self.front is None else f"stands on front {self.front}, and "


def standing(losses: Losses, others: Sequence[Losses]) -> Standing:
    """Return how `losses`, all of them numbers, do among `others`, of which those with a NaN are worse than all without.

    With one metric the better ones are ahead. With several the order is: the front (1: nobody beats it; 2: only front 1 does; …), and
    within a front the place in an epsilon net, which begins with the point whose losses, each scaled to the front's range, have the
    smallest sum, and takes time and again the point farthest from all that it has. So the first of a front are spread over it, and a point
    close to a better placed one comes late. Equal points share a place.

    Source: Schmucker, Donini, Zafar et al., Multi-objective Asynchronous Successive Halving, 2021, arXiv 2106.12639 (fronts, then an
    epsilon net, which there begins with the best in the first metric).
    """
    return best_standing([losses], others)[1]


def best_standing(candidates: Sequence[Losses], others: Sequence[Losses]) -> tuple[int, Standing]:
    """Return which of a trial's own `candidates`, at least one and without NaN, stands best among `others`, and how; of equals the first."""
    if len(candidates[0]) == 1:
        index = min(range(len(candidates)), key=lambda i: candidates[i])
        loss = candidates[index][0]
        return index, Standing(ahead=sum([other[0] < loss for other in others]), num_others=len(others))
    return _best_of_several(candidates, others)


def _best_of_several(candidates: Sequence[Losses], others: Sequence[Losses]) -> tuple[int, Standing]:
    import numpy as np

    from whet.fronts import dominates, nondominated, ranks

    num_metrics = len(candidates[0])
    own_CM = np.array(candidates)
    other_NM = np.array(others, dtype=float).reshape(len(others), num_metrics)
    other_NM = other_NM[~np.isnan(other_NM).any(axis=1)]
    rank_N = ranks(other_NM)
    found: list[tuple[int, int, int]] = []
    for index in np.flatnonzero(nondominated(own_CM)).tolist():
        own_M = own_CM[index]
        # Losses change nothing in the fronts before their own, and are on the one after the last that beats them.
        front = int(rank_N[dominates(other_NM, own_M)].max(initial=-1)) + 1
        mates = (rank_N == front) & ~dominates(own_M, other_NM)
        ahead = int((rank_N < front).sum()) + _ahead_in_net(own_M, other_NM[mates])
        found.append((front, ahead, index))
    front, ahead, index = min(found)
    return index, Standing(ahead=ahead, num_others=len(others), front=front + 1)


def _ahead_in_net(own_M: Any, mate_NM: Any) -> int:
    """Return how many of `mate_NM`, on one front with `own_M`, the epsilon net takes before it."""
    import numpy as np

    # Sorted and each once, so that neither the order of the peers nor a twin changes anything.
    point_PM, count_P = np.unique(np.vstack([mate_NM, own_M]), axis=0, return_counts=True)
    if len(point_PM) == 1:
        return 0
    own = int((point_PM == own_M).all(axis=1).argmax())
    finite_PM = np.where(np.isfinite(point_PM), point_PM, np.nan)
    with np.errstate(all="ignore"):
        low_M, high_M = np.fmin.reduce(finite_PM), np.fmax.reduce(finite_PM)
        range_M = high_M - low_M
        unit_PM = np.where(range_M > 0, (point_PM - low_M) / range_M, np.sign(point_PM - low_M))
    unit_PM = np.clip(np.nan_to_num(unit_PM, nan=0.0), -1.0, 2.0)  # infinite losses lie just outside the others
    far_P = np.full(len(point_PM), np.inf)
    ahead, taken = 0, int(unit_PM.sum(axis=1).argmin())
    while taken != own:
        ahead += int(count_P[taken])
        far_P = np.minimum(far_P, ((unit_PM - unit_PM[taken]) ** 2).sum(axis=1))
        far_P[taken] = -1.0
        taken = int(far_P.argmax())
    return ahead


def metrics_of(problem: Problem) -> tuple[Metric, ...]:
    """Return the metrics, at least one.

    Raises:
        StudyError: there is none.
    """
    return problem.metrics or (problem.metric,)


def losses_by(metrics: Sequence[Metric]) -> Callable[[Sequence[float]], Losses]:
    """Return what turns a report's values into losses."""
    goals = [metric.goal for metric in metrics]
    if len(goals) == 1:
        loss = goals[0].loss
        return lambda values: (loss(values[0]),)
    return lambda values: tuple([goal.loss(value) for goal, value in zip(goals, values, strict=True)])


def missing(values: Sequence[float]) -> bool:
    """Return whether one of the values is NaN."""
    return any(map(math.isnan, values))


def nan_words(metrics: Sequence[Metric], values: Sequence[float]) -> str:
    """Return which of the values are NaN, as a clause: ``size is NaN or not reported``."""
    if len(metrics) == 1:
        return f"{metrics[0].name} is NaN"
    names = [metric.name for metric, value in zip(metrics, values, strict=True) if math.isnan(value)]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} NaN or not reported"


def shown(metrics: Sequence[Metric], values: Sequence[float]) -> str:
    """Return the values by name as reasons show them: ``loss 0.52, size 31``."""
    return ", ".join(f"{metric.name} {word(value)}" for metric, value in zip(metrics, values, strict=True))


def word(value: float) -> str:
    """Return `value` as reasons show it, with four significant digits."""
    return "NaN" if math.isnan(value) else f"{value:.4g}"
