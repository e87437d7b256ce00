"""ASHA: at each rung only the best of those that reached it go on."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import final

from whet.errors import ConfigError
from whet.plugins import knob_number, knob_whole
from whet.stop._rungs import ladder, standing, word
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Report, Trial

__all__ = ["ASHA"]


@final
class ASHA(Stopper):
    """Asynchronous successive halving, the variant that stops trials and never pauses them.

    Rungs lie at r_k = min_steps · eta^k. A trial reaches r_k with its first report whose *resource* is at least r_k, and the
    resource is the number of the step, counted from 1: step + 1 for a trial whose first report has step 0, the step itself
    otherwise. So reports at steps 0, 1, 2 and at steps 1, 2, 3 mean the same, and sparse reports (100, 200, …) count as 100, 200, ….

    On a rung that n trials have reached, itself included, a trial goes on if fewer than max(1, ⌊n / eta⌋) of the others are
    strictly better: ties go on, and so does the first one to arrive. A NaN there never goes on, not even as the first.

    A trial is judged at every report, on the highest rung that it has reached: with its value there when it arrives (that is the
    published rule), and later with its best value since. So no check is lost where several reports arrive at once, a trial
    that newer ones have overtaken ends before the next rung, and one that has improved since is not held to its early value.
    Where trials run one after another, that is the same as judging on arrival only.

    Args:
        problem: Space and one metric.
        min_steps: The resource of the first rung, >= 1: no trial stops before.
        eta: One in eta goes on, >= 2.
        max_steps: A trial that gets so far is left alone: rungs lie below. Default: no limit.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has several metrics.

    Source: Li, Jamieson, Rostamizadeh et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020.
    """

    def __init__(self, problem: Problem, *, min_steps: int = 1, eta: float = 3, max_steps: int | None = None) -> None:
        super().__init__(problem)
        self.metric = problem.metric
        self.min_steps = knob_whole("asha", "min_steps", min_steps, 1)
        self.eta = knob_number("asha", "eta", eta, 2)
        self.max_steps = None if max_steps is None else knob_whole("asha", "max_steps", max_steps, 1)
        if self.max_steps is not None and self.max_steps <= self.min_steps:
            raise ConfigError(
                f"asha has max_steps={self.max_steps} and min_steps={self.min_steps}, so no rung lies between them",
                "give max_steps > min_steps, or leave the stopper out",
            )

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        reports, name = trial.reports, self.metric.name
        # Trials that count from 0 have done one step more than the number says.
        reached = reports[-1].step + (reports[0].step == 0) if reports else 0
        if self.max_steps is not None and reached >= self.max_steps:
            return Decision(Verdict.CONTINUE, f"step {reports[-1].step} completes max_steps={self.max_steps}")
        rungs = ladder(self.min_steps, self.eta, reached)
        if not rungs:
            return Decision(Verdict.CONTINUE, f"the first rung, {self.min_steps} steps, is still ahead")
        rung, goal = rungs[-1], self.metric.goal
        arrival = _arrival(reports, rung)
        since = [report for report in reports[arrival:] if not math.isnan(report.values[0])]
        best = min(since, key=lambda report: goal.loss(report.values[0]), default=reports[arrival])
        value, step = best.values[0], reports[arrival].step
        if math.isnan(value):
            return Decision(Verdict.STOP, f"{name} is NaN at step {step}, and a trial without a number never goes on")
        place = standing(goal.loss(value), self._losses(peers, rung))
        keep = max(1, int(place.size / self.eta))
        if place.size == 1:
            return Decision(Verdict.CONTINUE, f"{name} {word(value)} is the first to reach step {step}")
        when = f"at step {step}" if best.step == step else f"at step {best.step}, its best since step {step},"
        whom = "it" if best.step == step else f"step {step}"
        verdict = Verdict.CONTINUE if place.ahead < keep else Verdict.STOP
        among = "among" if verdict is Verdict.CONTINUE else "not among"
        return Decision(
            verdict, f"{name} {word(value)} {when} is {among} the best {keep} of {place.size} that reached {whom}"
        )

    def _losses(self, peers: Sequence[Trial], rung: int) -> list[float]:
        loss_of = self.metric.goal.loss
        return [
            loss_of(reports[_arrival(reports, rung)].values[0])
            for peer in peers
            if (reports := peer.reports) and reports[-1].step >= rung - (reports[0].step == 0)
        ]


def _arrival(reports: Sequence[Report], rung: int) -> int:
    """Return the index of the first report whose resource is at least `rung`, of reports that go so far."""
    first = reports[0].step
    step = rung - (first == 0)
    guess = step - first  # where it is if every step is reported
    if 0 < guess < len(reports) and reports[guess].step >= step > reports[guess - 1].step:
        return guess
    return bisect_left(reports, step, key=lambda report: report.step)
