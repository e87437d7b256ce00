"""The median rule: stop what is worse than half of the others were at the same step."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import final

from whet.plugins import knob_number, knob_whole
from whet.stop._rungs import word
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Report, Trial

__all__ = ["Median"]


@final
class Median(Stopper):
    """Stops a trial whose best value so far is worse than the median of complete trials' values at the same step.

    With `percentile` p the trial must do at least as well as the best p % of them did at this step: 50 is the median, 25 keeps only a trial
    that beats three in four. The percentile is interpolated linearly. These are the semantics of Optuna's `MedianPruner` and
    `PercentilePruner`, with one difference: a NaN among the others' values counts as worse than any number instead of not at all.

    Args:
        problem: Space and one metric.
        startup_trials: No trial stops before that many are complete.
        warmup_steps: No trial stops at a step below.
        interval_steps: Checks are at steps warmup_steps, warmup_steps + interval_steps, …; where no report has exactly that
            step, the next report is checked. Reports in between are not.
        percentile: In [0, 100]; the smaller, the more trials stop.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has several metrics.

    Source: Golovin, Solnik, Moitra et al., Google Vizier, KDD 2017, 3.2.2.
    """

    def __init__(self, problem: Problem, *, startup_trials: int = 5, warmup_steps: int = 0, interval_steps: int = 1,
                 percentile: float = 50) -> None:  # fmt: skip
        super().__init__(problem)
        self.metric = problem.metric
        self.startup_trials = knob_whole("median", "startup_trials", startup_trials, 0)
        self.warmup_steps = knob_whole("median", "warmup_steps", warmup_steps, 0)
        self.interval_steps = knob_whole("median", "interval_steps", interval_steps, 1)
        self.percentile = knob_number("median", "percentile", percentile, 0, 100)

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        if not trial.reports:
            return Decision(Verdict.CONTINUE, "nothing is reported yet")
        step, name, loss_of = trial.reports[-1].step, self.metric.name, self.metric.goal.loss
        if step < self.warmup_steps:
            return Decision(Verdict.CONTINUE, f"step {step} is within the warm-up of {self.warmup_steps} steps")
        due = step - (step - self.warmup_steps) % self.interval_steps
        if any(due <= report.step < step for report in reversed(trial.reports[-2:-1])):
            return Decision(Verdict.CONTINUE, f"step {step} is between two checks, {self.interval_steps} steps apart")
        complete = [peer for peer in peers if peer.complete]
        if not complete or len(complete) < self.startup_trials:
            wanted = max(1, self.startup_trials)
            return Decision(Verdict.CONTINUE, f"{len(complete)} of the {wanted} trials to start with are complete")
        values = [report.values[0] for report in trial.reports if not math.isnan(report.values[0])]
        if not values:
            return Decision(
                Verdict.STOP, f"{name} is NaN up to step {step}, and a trial without a number never goes on"
            )
        value = min(values, key=loss_of)
        there = [at.values[0] for peer in complete if (at := _at(peer.reports, step)) is not None]
        if not there:
            return Decision(Verdict.CONTINUE, f"no complete trial has a report at step {step}")
        bar = _percentile(sorted(math.inf if math.isnan(v) else loss_of(v) for v in there), self.percentile)
        rank = "median" if self.percentile == 50 else f"percentile {self.percentile:g}"
        bar_words = (
            f"the {rank} {word(loss_of(bar))} of {len(there)} complete trials at step {step}"  # loss undoes itself
        )
        if loss_of(value) > bar:
            return Decision(Verdict.STOP, f"{name} {word(value)}, its best so far, is worse than {bar_words}")
        return Decision(Verdict.CONTINUE, f"{name} {word(value)}, its best so far, is no worse than {bar_words}")


def _at(reports: Sequence[Report], step: int) -> Report | None:
    if not reports or reports[-1].step < step:
        return None
    index = step - reports[0].step  # where it is if every step is reported
    if not 0 <= index < len(reports) or reports[index].step != step:
        index = bisect_left(reports, step, key=lambda report: report.step)
    return reports[index] if reports[index].step == step else None


def _percentile(ordered: Sequence[float], percent: float) -> float:
    place = (len(ordered) - 1) * percent / 100
    index = math.floor(place)
    low, share = ordered[index], place - index
    if share == 0 or low == ordered[index + 1]:
        return low
    if math.isinf(low):  # between the two infinities lies no number; the worse one stops no trial wrongly
        return ordered[index + 1]
    return low + (ordered[index + 1] - low) * share
