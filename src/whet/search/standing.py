"""Where a trial stands among the others with one metric, and where it lies in the unit cube: what TPE and evolutionary searchers read."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from whet.search.history import unit
from whet.space import Space
from whet.trial import Goal, Phase, Trial

__all__ = ["Standing", "place", "standing"]

Standing = tuple[int, float, float, int]
"""Sorts the best first; the number at its end makes ties independent of the order of arrival."""


def standing(goal: Goal, trial: Trial) -> Standing:
    """Return what trials are ranked by: complete ones by their loss, then those stopped early, which came furthest first, then the failed.

    Args:
        goal: Of the only metric.
        trial: That is over.
    """
    if trial.complete and trial.values is not None:
        return 0, goal.loss(trial.values[0]), 0.0, trial.number
    if trial.phase is Phase.FINISHED and trial.stopped and trial.reports:
        last = trial.reports[-1]
        if not math.isnan(last.values[0]):
            return 1, -last.step, goal.loss(last.values[0]), trial.number
    return 2, 0.0, 0.0, trial.number


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
