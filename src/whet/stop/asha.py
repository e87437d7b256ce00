"""ASHA: at each rung only the best of those that reached it go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from whet.errors import ConfigError
from whet.plugins import knob_number, knob_whole
from whet.stop._places import best_standing, losses_by, metrics_of, missing, nan_words, shown
from whet.stop._rungs import arrival, done, ladder
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Trial

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

    With several metrics "strictly better" is: on an earlier front of the values on the rung, or on the same one and earlier in the spread
    over it (`whet.stop._places.standing` has the order). A NaN in any metric is worst. With one metric that is the plain order.

    Args:
        problem: Space and metrics.
        min_steps: The resource of the first rung, >= 1: no trial stops before.
        eta: One in eta goes on, >= 2.
        max_steps: A trial that gets so far is left alone: rungs lie below. Default: no limit.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has no metric.

    Source: Li, Jamieson, Rostamizadeh et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020; for several metrics
    Schmucker, Donini, Zafar et al., Multi-objective Asynchronous Successive Halving, 2021.
    """

    def __init__(self, problem: Problem, *, min_steps: int = 1, eta: float = 3, max_steps: int | None = None) -> None:
        super().__init__(problem)
        self.metrics = metrics_of(problem)
        self.min_steps = knob_whole("asha", "min_steps", min_steps, 1)
        self.eta = knob_number("asha", "eta", eta, 2)
        self.max_steps = None if max_steps is None else knob_whole("asha", "max_steps", max_steps, 1)
        if self.max_steps is not None and self.max_steps <= self.min_steps:
            raise ConfigError(
                f"asha has max_steps={self.max_steps} and min_steps={self.min_steps}, so no rung lies between them",
                "give max_steps > min_steps, or leave the stopper out",
            )

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        reports, metrics, losses = trial.reports, self.metrics, losses_by(self.metrics)
        reached = done(reports)
        if self.max_steps is not None and reached >= self.max_steps:
            return Decision(Verdict.CONTINUE, f"step {reports[-1].step} completes max_steps={self.max_steps}")
        rungs = ladder(self.min_steps, self.eta, reached)
        if not rungs:
            return Decision(Verdict.CONTINUE, f"the first rung, {self.min_steps} steps, is still ahead")
        rung = rungs[-1]
        at = arrival(reports, rung)
        step = reports[at].step
        since = [report for report in reports[at:] if not missing(report.values)]
        if not since:
            what = nan_words(metrics, reports[at].values)
            return Decision(Verdict.STOP, f"{what} at step {step}, and a trial without a number never goes on")
        others = [
            losses(theirs[arrival(theirs, rung)].values) for peer in peers if done(theirs := peer.reports) >= rung
        ]
        index, place = best_standing([losses(report.values) for report in since], others)
        best = since[index]
        value = shown(metrics, best.values)
        if place.size == 1:
            return Decision(Verdict.CONTINUE, f"{value} is the first to reach step {step}")
        keep = max(1, int(place.size / self.eta))
        when = f"at step {best.step}" if best.step == step else f"at step {best.step}, its best since step {step},"
        whom = "it" if best.step == step else f"step {step}"
        verdict = Verdict.CONTINUE if place.ahead < keep else Verdict.STOP
        among = "is among" if verdict is Verdict.CONTINUE else "is not among"
        return Decision(
            verdict, f"{value} {when} {place.words}{among} the best {keep} of {place.size} that reached {whom}"
        )
