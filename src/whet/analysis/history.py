"""The optimisation history: how the best value fell, trial by trial; how much the front covers; how the values are distributed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whet.analysis.surface import metric_of
from whet.errors import StudyError
from whet.trial import Problem, Trial

__all__ = ["Milestone", "best_so_far", "distribution", "hypervolume_so_far"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """One complete trial of the history: its number and value, the best value up to it, and whether it set that."""

    number: int
    value: float
    best: float
    improved: bool


def best_so_far(problem: Problem, trials: Iterable[Trial]) -> list[Milestone]:
    """Return the complete trials that keep the limits, in the order of their numbers, each with the best value so far.

    Raises:
        StudyError: there are several metrics.
    """
    goal = problem.metric.goal
    history: list[Milestone] = []
    best = math.inf
    for trial in sorted((t for t in trials if problem.counts(t)), key=lambda t: t.number):
        assert trial.values is not None
        loss = goal.loss(trial.values[0])
        improved = loss < best or not history
        best = min(best, loss)
        history.append(
            Milestone(number=trial.number, value=trial.values[0], best=goal.loss(best), improved=improved)
        )  # the loss of a loss is the value
    return history


def hypervolume_so_far(
    problem: Problem, trials: Iterable[Trial], *, reference: Sequence[float] | None = None
) -> list[tuple[int, float]]:
    """Return (number, hypervolume of the Pareto front so far) for the complete trials that keep the limits, in the order of their numbers.

    The hypervolume is the volume that the front dominates up to the reference point, in the metrics' own units, exact. It never falls,
    and two sweeps can be compared by it if they have the same reference.

    Args:
        problem: With any number of metrics.
        trials: In any phase and order; those with an infinite value count for nothing.
        reference: One value a metric, in the metric's own direction; what is not better in every metric counts for nothing.
            Default: the worst value of each metric among the trials, and a tenth of the range beyond it.

    Raises:
        StudyError: the reference has not one value a metric, or one that is not finite.

    Source: Zitzler & Thiele, Multiobjective Optimization Using Evolutionary Algorithms, PPSN 1998.
    """
    import numpy as np

    from whet.fronts import hypervolume
    from whet.fronts import reference as beyond

    complete = sorted((t for t in trials if problem.counts(t)), key=lambda t: t.number)
    losses = np.array([problem.losses(t.values) for t in complete if t.values is not None], dtype=float)
    losses = losses.reshape(len(complete), len(problem.metrics))
    finite = np.isfinite(losses).all(axis=1)
    if reference is None:
        if not finite.any():
            return [(t.number, 0.0) for t in complete]
        bound = beyond(losses[finite])
    else:
        if len(reference) != len(problem.metrics) or not all(math.isfinite(v) for v in reference):
            raise StudyError(
                f"reference={list(reference)} is not one finite value for each of {len(problem.metrics)} metrics",
                f"give {', '.join(m.name for m in problem.metrics)}",
            )
        bound = np.array(problem.losses(reference), dtype=float)
    history: list[tuple[int, float]] = []
    front, covered = np.empty((0, len(problem.metrics))), 0.0
    for trial, loss, whole in zip(complete, losses, finite, strict=True):
        if whole and (loss < bound).all() and not (front <= loss).all(axis=1).any():
            front = np.concatenate([front[~(loss <= front).all(axis=1)], loss[None]])
            covered = max(covered, hypervolume(front, bound))
        history.append((trial.number, covered))
    return history


def distribution(problem: Problem, trials: Iterable[Trial], *, metric: str | None = None) -> list[tuple[float, float]]:
    """Return the empirical distribution function of a metric over the complete trials: (value, share of trials at least as good).

    One entry a different value, the best first; the last share is 1, but for infinite values, which count among all and get no entry.
    Sweeps whose curve lies higher at each value are better throughout.

    Args:
        problem: Its metrics.
        trials: In any phase and order.
        metric: Which one; needed with several.

    Raises:
        StudyError: several metrics, and none is named.
        UnknownName: no such metric.

    Example:
        >>> from whet.space import Space
        >>> from whet.trial import Phase
        >>> done = [Trial(number=i, params={}, phase=Phase.FINISHED, values=(v,)) for i, v in enumerate([3.0, 1.0, 3.0, 2.0])]
        >>> distribution(Problem(space=Space({})), done)
        [(1.0, 0.25), (2.0, 0.5), (3.0, 1.0)]
    """
    place, chosen = metric_of(problem, metric)
    losses = sorted(chosen.goal.loss(t.values[place]) for t in trials if t.complete and t.values is not None)
    shares: dict[float, float] = {}
    for count, loss in enumerate(losses, 1):
        if math.isfinite(loss):
            shares[chosen.goal.loss(loss)] = count / len(losses)
    return list(shares.items())
