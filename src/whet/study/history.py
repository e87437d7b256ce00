"""A sweep's trials in memory, brought up to date by revision: what every step of an engine looks at without going through all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import final

from whet.store.base import Changes
from whet.trial import Goal, Problem, Report, Trial

__all__ = ["History"]


@final
class History:
    """All trials of a sweep as last seen.

    Args:
        problem: Its metrics and limits: with one metric the best trial is known at any time. None: nobody asks for it.
    """

    def __init__(self, problem: Problem | None) -> None:
        self.trials: dict[int, Trial] = {}
        """By number."""
        self.open: dict[int, Trial] = {}
        """Those that are not over."""
        self.revision = -1
        self._ended: list[int] = []  # it only grows, so readers remember how far they got
        self.judge_by(problem)

    def judge_by(self, problem: Problem | None) -> None:
        """Go by other metrics and limits from now on: another trial may be the best."""
        self._goal: Goal | None = problem.metric.goal if problem and len(problem.metrics) == 1 else None
        self.problem = problem
        self._best: tuple[float, int] | None = None  # loss, number
        for trial in self.ended_since(0):
            self._rank(trial)

    def apply(self, changes: Changes) -> None:
        """Take in what changed since `revision`. An attempt's reports go when its trial is handed out again."""
        for trial in changes.trials:
            number = trial.number
            old = self.trials.get(number)
            if old is not None and old.reports and old.attempt == trial.attempt:
                trial = replace(trial, reports=old.reports)
            self.trials[number] = trial
            if not trial.phase.is_over:
                self.open[number] = trial
            elif old is None or not old.phase.is_over:
                self.open.pop(number, None)
                self._ended.append(number)
                self._rank(trial)
        if changes.reports:
            self._take_in(changes)
        self.revision = changes.revision

    def _rank(self, trial: Trial) -> None:
        if self._goal is not None and self.problem is not None and trial.values and self.problem.counts(trial):
            rank = self._goal.loss(trial.values[0]), trial.number
            if self._best is None or rank < self._best:
                self._best = rank

    def _take_in(self, changes: Changes) -> None:
        fresh: dict[int, list[Report]] = {}
        for number, attempt, report in changes.reports:
            if self.trials[number].attempt == attempt:
                fresh.setdefault(number, []).append(report)
        for number, reports in fresh.items():
            trial = self.trials[number]
            trial = self.trials[number] = replace(trial, reports=_merged(trial.reports, reports))
            if number in self.open:
                self.open[number] = trial

    @property
    def best(self) -> Trial | None:
        """The best complete trial that keeps the limits, of equal ones the first; None before there is one, and with several metrics."""
        return None if self._best is None else self.trials[self._best[1]]

    @property
    def num_ended(self) -> int:
        """How many trials are over."""
        return len(self._ended)

    def ended_since(self, count: int) -> list[Trial]:
        """Return the trials that ended after the first `count` of them, in the order of their ends."""
        return [self.trials[number] for number in self._ended[count:]]

    def in_order(self) -> list[Trial]:
        """Return all trials by number."""
        return [self.trials[number] for number in sorted(self.trials)]

    def pending(self) -> list[Trial]:
        """Return the trials that are not over, by number."""
        return [self.open[number] for number in sorted(self.open)]


def _merged(old: tuple[Report, ...], fresh: list[Report]) -> tuple[Report, ...]:
    last = old[-1].step if old else -1
    for report in fresh:
        if report.step <= last:
            break
        last = report.step
    else:
        return (*old, *fresh)
    kept = {report.step: report for report in (*old, *fresh)}
    return tuple(kept[step] for step in sorted(kept))
