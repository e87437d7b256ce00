"""The optimisation history: how the best value fell, trial by trial."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from whet.trial import Problem, Trial

__all__ = ["Milestone", "best_so_far"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Milestone:
    """One complete trial of the history: its number and value, the best value up to it, and whether it set that."""

    number: int
    value: float
    best: float
    improved: bool


def best_so_far(problem: Problem, trials: Iterable[Trial]) -> list[Milestone]:
    """Return the complete trials in the order of their numbers, each with the best value so far.

    Raises:
        StudyError: there are several metrics.
    """
    goal = problem.metric.goal
    history: list[Milestone] = []
    best = math.inf
    for trial in sorted((t for t in trials if t.complete), key=lambda t: t.number):
        assert trial.values is not None
        loss = goal.loss(trial.values[0])
        improved = loss < best or not history
        best = min(best, loss)
        history.append(
            Milestone(number=trial.number, value=trial.values[0], best=goal.loss(best), improved=improved)
        )  # the loss of a loss is the value
    return history
