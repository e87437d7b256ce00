"""What trials had come to on their way, for methods that learn from those that were stopped early."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import final

from whet.search.history import thinned
from whet.trial import Phase, Problem, Report, Trial

__all__ = ["Course", "reach", "resource"]

_APART = 3  # reports are looked at where the resource is 1, 3, 9, …

Losses = tuple[float, ...]


def resource(reports: Sequence[Report], report: Report) -> int:
    """Return how far a trial was at one of its reports, counted from 1: step + 1 where the first report has step 0, the step itself otherwise."""
    return report.step + (reports[0].step == 0)


def reach(trial: Trial) -> float:
    """Return how far a trial came: infinitely far if it is complete, 0 if it says nothing."""
    if trial.complete:
        return math.inf
    if trial.phase is not Phase.FINISHED or not trial.stopped or not trial.reports:
        return 0.0
    return resource(trial.reports, trial.reports[-1])


@final
class Course:
    """The losses of trials at the resources 1, 3, 9, …, at which they can be compared with one another, and where they were stopped.

    As long as no trial was stopped it is false: then results say it all.

    Args:
        problem: Its metrics.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._points: dict[int, list[tuple[float, Losses]]] = {}  # the last one first
        self._stopped: set[int] = set()
        self._longest = 1.0

    def __bool__(self) -> bool:
        return bool(self._stopped)

    def learn(self, finished: Sequence[Trial]) -> None:
        """Take in trials that are newly over; those that failed or were canceled say nothing."""
        for trial in finished:
            if reach(trial) and trial.reports:
                self._points[trial.number] = self._looked_at(trial)
                self._longest = max(self._longest, resource(trial.reports, trial.reports[-1]))
                if trial.stopped and self._points[trial.number]:
                    self._stopped.add(trial.number)

    def _looked_at(self, trial: Trial) -> list[tuple[float, Losses]]:
        reports = trial.reports
        if trial.stopped and any(map(math.isnan, reports[-1].values)):
            return []  # a bad result, wherever it was before
        last = resource(reports, reports[-1])
        places = [len(reports) - 1] if trial.stopped else []
        at = 1
        while at < last:
            places.append(bisect_left(reports, at, key=lambda report: resource(reports, report)))
            at *= _APART
        found = {resource(reports, reports[place]): reports[place].values for place in places}
        if not trial.stopped:
            found.pop(last, None)  # its result is there
        return [
            (float(at), self._problem.losses(found[at]))
            for at in sorted(found, reverse=True)
            if not any(map(math.isnan, found[at]))
        ]

    def rows(self, ranked: Sequence[int], most: int) -> tuple[list[int], list[float], list[Losses | None]]:
        """Return at most `most` rows of a model: of which trial each is, how far it was, and its losses there, None for its result.

        How far is 1 at the end of a trial as long as the longest, and 0 at a resource of 1: log(resource) / log(longest). The rows of
        greatest reach come first, in the order of the trials.

        Args:
            ranked: The trials, the best first.
            most: >= 2; of what is more there is a choice, see `thinned`.
        """
        ends: list[tuple[int, float, Losses | None]] = []
        before: list[tuple[int, float, Losses | None]] = []
        scale = math.log(max(self._longest, math.e))
        for number in ranked:
            here: list[tuple[int, float, Losses | None]] = [] if number in self._stopped else [(number, 1.0, None)]
            here += [(number, math.log(at) / scale, losses) for at, losses in self._points.get(number, [])]
            ends.append(here[0])
            before += here[1:]
        numbers, shares, losses = zip(*thinned([*ends, *before], most), strict=True)
        return list(numbers), list(shares), list(losses)
