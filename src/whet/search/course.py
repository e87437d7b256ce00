"""What trials had come to on their way, for methods that learn from those that were stopped early."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, final

from whet.search.history import thinned
from whet.trial import Phase, Problem, Report, Trial

__all__ = ["Course", "Row", "reach", "resource"]

_APART = 3  # reports are looked at where the resource is 1, 3, 9, …

Losses = tuple[float, ...]


def resource(reports: Sequence[Report], report: Report) -> int:
    """Return how far a trial was at one of its reports, counted from 1: step + 1 where the first report has step 0, the step itself otherwise.

    Whoever writes to a server may say negative steps: they count as 1.
    """
    return max(1, report.step + (reports[0].step == 0))


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
        self._points: dict[int, list[tuple[int, Losses]]] = {}  # resource and losses, the last ones first
        self._stopped: set[int] = set()
        self._lengths: dict[int, int] = {}  # of all that reported

    def __bool__(self) -> bool:
        return bool(self._stopped)

    def learn(self, finished: Sequence[Trial]) -> None:
        """Take in trials that are newly over; those that failed or were canceled, or were stopped without a number, say nothing."""
        for trial in finished:
            if reach(trial) and trial.reports:
                self._lengths[trial.number] = resource(trial.reports, trial.reports[-1])
                if points := self._looked_at(trial):
                    self._points[trial.number] = points
                    self._stopped.update([trial.number] if trial.stopped else [])

    def _looked_at(self, trial: Trial) -> list[tuple[int, Losses]]:
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
            (at, self._problem.losses(found[at]))
            for at in sorted(found, reverse=True)
            if not any(map(math.isnan, found[at]))
        ]

    def stopped(self, number: int) -> bool:
        """Return whether a trial was stopped, and said something."""
        return number in self._stopped

    def rows(self, results: Sequence[int], others: Sequence[int], most: int) -> list[Row]:
        """Return at most `most` rows of a model: first results, then where trials were stopped, then what was reported before that.

        Nothing but these trials decides them.

        Args:
            results, others: Trials, the best first: complete ones, and those that were stopped or failed.
            most: >= 2; of what is more there is a choice, see `thinned`.
        """
        results, others = thinned(results, most), thinned(others, most)
        whole = max((self._lengths.get(number, 0) for number in results), default=0)
        whole = whole or _APART * max((self._lengths.get(number, 0) for number in others), default=0)
        scale = math.log(max(whole, 2))
        ends, before = [], []
        for number in (*results, *others):
            rows = [Row(number, min(math.log(at) / scale, 1.0), losses) for at, losses in self._points.get(number, [])]
            if not self.stopped(number):
                rows.insert(0, Row(number, 1.0, None))
            ends.append(rows[0])
            before += rows[1:]
        return thinned([*ends, *before], most)


class Row(NamedTuple):
    """A row of a model.

    Args:
        number: The trial's.
        share: How far it was: log(resource) / log(that of the longest complete trial), from 0 to 1; a result has 1.
        losses: There; None for its result.
    """

    number: int
    share: float
    losses: Losses | None
