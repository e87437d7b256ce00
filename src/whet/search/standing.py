"""Where a trial stands among the others with one metric, and where it lies in the unit cube: what TPE and evolutionary searchers read."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import final

from whet.search.history import unit
from whet.search.limits import Limits
from whet.space import Space
from whet.trial import Goal, Phase, Problem, Trial

__all__ = ["FAILED", "Standing", "Standings", "place"]

FAILED = 3
"""The first item of the standing of a trial that says nothing."""

Standing = tuple[int, float, float, int]
"""Sorts the best first; the number at its end makes ties independent of the order of arrival."""


@final
class Standings:
    """What trials are ranked by: complete ones by their loss, then those stopped early, which came furthest first, then those beyond the
    sweep's limits, the nearest first, then the failed.

    Args:
        problem: With one metric.
    """

    view: Callable[[Trial], Trial] | None = None
    """What trials are ranked as, where that is not what they are (at an early step, say). Whether they keep the limits is seen from what they are."""

    def __init__(self, problem: Problem) -> None:
        self._goal = problem.metric.goal
        self._limits = Limits(problem)
        self._known: dict[int, tuple[int, float, float]] = {}  # as without limits

    def learn(self, finished: Sequence[Trial]) -> bool:
        """Take in trials that are newly over, and return whether trials that were known before may be ordered otherwise now."""
        changes = self._limits.learn(finished)
        for trial in finished:
            self._known[trial.number] = _standing(self._goal, trial if self.view is None else self.view(trial))
        return changes

    def __call__(self, number: int) -> Standing:
        """Return the standing of a trial that is over."""
        group, first, second = self._known[number]
        if group < FAILED and (off := self._limits.off(number)):
            return 2, off, first if group == 0 else math.inf, number
        return group, first, second, number


def _standing(goal: Goal, trial: Trial) -> tuple[int, float, float]:
    if trial.complete and trial.values is not None:
        return 0, goal.loss(trial.values[0]), 0.0
    if trial.phase is Phase.FINISHED and trial.stopped and trial.reports:
        last = trial.reports[-1]
        if not math.isnan(last.values[0]):
            return 1, -last.step, goal.loss(last.values[0])
    return FAILED, 0.0, 0.0


def place(space: Space, params: Mapping[str, object], rng: random.Random) -> list[float]:
    """Return the point of the unit cube of `params`; a coordinate that is inactive or does not fit is drawn, uniformly.

    Args:
        rng: Of the trial, so that the same one always lies in the same place.
    """
    found = []
    for name, parameter in space.parameters.items():
        drawn = rng.random()
        u = unit(parameter, params[name]) if name in params else math.nan
        found.append(u if 0.0 <= u <= 1.0 else drawn)
    return found
