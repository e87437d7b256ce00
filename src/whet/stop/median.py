"""The median rule: stop what is worse than half of the others were at the same step."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import final

from whet.plugins import knob_number, knob_whole
from whet.stop._checks import not_now
from whet.stop._places import best_standing, losses_by, metrics_of, missing, nan_words, shown, word
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Report, Trial

__all__ = ["Median"]


@final
class Median(Stopper):
    """Stops a trial whose best value so far is worse than the median of complete trials' values at the same step.

    With `percentile` p the trial must do at least as well as the best p % of them did at this step: 50 is the median, 25 keeps only a trial
    that beats three in four. The percentile is interpolated linearly. These are the semantics of Optuna's `MedianPruner` and
    `PercentilePruner`, with one difference: a NaN among the others' values counts as worse than any number instead of not at all.

    With several metrics a trial must stand no lower than at that percentile in the order of fronts and of the spread over them that `ASHA`
    has: with n values at the step, fewer than (n - 1) p / 100 + 1 of them ahead. Its best is whichever of its reports stands best.

    Args:
        problem: Space and metrics.
        startup_trials: No trial stops before that many are complete.
        warmup_steps: No trial stops at a step below.
        interval_steps: Checks are at steps warmup_steps, warmup_steps + interval_steps, …; where no report has exactly that
            step, the next report is checked. Reports in between are not.
        percentile: In [0, 100]; the smaller, the more trials stop.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has no metric.

    Source: Golovin, Solnik, Moitra et al., Google Vizier, KDD 2017, 3.2.2.
    """

    suits = "In doubt: ends what is worse than half of the others at the same step."

    def __init__(self, problem: Problem, *, startup_trials: int = 5, warmup_steps: int = 0, interval_steps: int = 1,
                 percentile: float = 50) -> None:  # fmt: skip
        super().__init__(problem)
        self.metrics = metrics_of(problem)
        self.startup_trials = knob_whole("median", "startup_trials", startup_trials, 0)
        self.warmup_steps = knob_whole("median", "warmup_steps", warmup_steps, 0)
        self.interval_steps = knob_whole("median", "interval_steps", interval_steps, 1)
        self.percentile = knob_number("median", "percentile", percentile, 0, 100)

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        if why := not_now(trial.reports, self.warmup_steps, self.interval_steps):
            return Decision(Verdict.CONTINUE, why)
        step, metrics = trial.reports[-1].step, self.metrics
        complete = [peer for peer in peers if peer.complete]
        if not complete or len(complete) < self.startup_trials:
            wanted = max(1, self.startup_trials)
            return Decision(Verdict.CONTINUE, f"{len(complete)} of the {wanted} trials to start with are complete")
        own = [report.values for report in trial.reports if not missing(report.values)]
        if not own:
            what = nan_words(metrics, trial.reports[-1].values)
            return Decision(Verdict.STOP, f"{what} up to step {step}, and a trial without a number never goes on")
        there = [at.values for peer in complete if (at := _at(peer.reports, step)) is not None]
        if not there:
            return Decision(Verdict.CONTINUE, f"no complete trial has a report at step {step}")
        if len(metrics) > 1:
            return self._decide_by_fronts(own, there, step)
        name, loss_of = metrics[0].name, metrics[0].goal.loss
        value = min((values[0] for values in own), key=loss_of)
        bar = _percentile(sorted(math.inf if math.isnan(v) else loss_of(v) for (v,) in there), self.percentile)
        bar_words = f"the {self._rank} {word(loss_of(bar))} of {len(there)} complete trials at step {step}"  # loss undoes itself
        if loss_of(value) > bar:
            return Decision(Verdict.STOP, f"{name} {word(value)}, its best so far, is worse than {bar_words}")
        return Decision(Verdict.CONTINUE, f"{name} {word(value)}, its best so far, is no worse than {bar_words}")

    def _decide_by_fronts(
        self, own: Sequence[tuple[float, ...]], there: Sequence[tuple[float, ...]], step: int
    ) -> Decision:
        losses = losses_by(self.metrics)
        best, place = best_standing([losses(values) for values in own], [losses(values) for values in there])
        stops = place.ahead >= (len(there) - 1) * self.percentile / 100 + 1
        behind = f"behind {place.ahead} of {len(there)} complete trials at step {step}"
        return Decision(
            Verdict.STOP if stops else Verdict.CONTINUE,
            f"{shown(self.metrics, own[best])}, its best so far, {place.words}is {behind}, "
            f"{'worse' if stops else 'no worse'} than the {self._rank}",
        )

    @property
    def _rank(self) -> str:
        return "median" if self.percentile == 50 else f"percentile {self.percentile:g}"


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
