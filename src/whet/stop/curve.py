"""Learning-curve extrapolation: stop what can hardly become the best any more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from whet.plugins import knob_number, knob_whole
from whet.stop._places import word
from whet.stop._rungs import done
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Trial

__all__ = ["Curve"]


@final
class Curve(Stopper):
    """Stops a trial when the probability that it beats the best complete trial at the horizon falls below `level`.

    The probability comes from the trial's own reports: power laws, exponentials and log powers of time are averaged, each as far as the
    reports speak for it (`whet.stop._forecast`). Where the families describe the curves, the probability that a trial which would have become
    the best is ever stopped is at most `level`, however often it is looked at, as what is judged is a posterior.
    A decision costs the same however long the curves and however many the trials are (but for finding the best one).

    Curves with steps in them (a learning rate that falls at epoch 60) are none of the families: give `warmup_steps` behind the step, or
    use another stopper.

    Args:
        problem: Space and one metric.
        level: In (0, 0.5]: the smaller, the fewer trials stop.
        max_steps: The horizon: the steps of a whole trial. Default: those of the longest complete trial.
        min_reports: Numbers needed before anything is predicted, >= 3.
        startup_trials: No trial stops before that many are complete, >= 1.
        warmup_steps: No trial stops at a step below.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has several metrics.

    Source: Domhan, Springenberg & Hutter, IJCAI 2015; the averaging in closed form in place of MCMC is Whet's.
    """

    suits = "Long curves: ends what will probably not become the best, by where its curve leads."

    def __init__(self, problem: Problem, *, level: float = 0.05, max_steps: int | None = None, min_reports: int = 4,
                 startup_trials: int = 1, warmup_steps: int = 0) -> None:  # fmt: skip
        super().__init__(problem)
        self.metric = problem.metric
        self.level = knob_number("curve", "level", level, 1e-6, 0.5)
        self.max_steps = None if max_steps is None else knob_whole("curve", "max_steps", max_steps, 2)
        self.min_reports = knob_whole("curve", "min_reports", min_reports, 3)
        self.startup_trials = knob_whole("curve", "startup_trials", startup_trials, 1)
        self.warmup_steps = knob_whole("curve", "warmup_steps", warmup_steps, 0)

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        if not trial.reports:
            return Decision(Verdict.CONTINUE, "nothing is reported yet")
        loss_of, name, step = self.metric.goal.loss, self.metric.name, trial.reports[-1].step
        numbers = [(r.step, loss_of(r.values[0])) for r in trial.reports if math.isfinite(r.values[0])]
        if not numbers and len(trial.reports) >= self.min_reports:
            what = f"{name} is no finite number in all of {len(trial.reports)} reports"
            return Decision(Verdict.STOP, f"{what}, and a trial without a number never goes on")
        if step < self.warmup_steps:
            return Decision(Verdict.CONTINUE, f"step {step} is within the warm-up of {self.warmup_steps} steps")
        if len({at for at, _ in numbers}) < self.min_reports:
            return Decision(
                Verdict.CONTINUE, f"{len(numbers)} of the {self.min_reports} reports to start with are there"
            )
        complete = [peer for peer in peers if peer.complete and peer.values is not None]
        if len(complete) < self.startup_trials:
            return Decision(
                Verdict.CONTINUE, f"{len(complete)} of the {self.startup_trials} trials to start with are complete"
            )  # fmt: skip
        reached, longest = done(trial.reports), max(done(peer.reports) for peer in complete)
        horizon = self.max_steps or longest
        if reached >= horizon:
            return Decision(Verdict.CONTINUE, f"step {step} completes the horizon of {horizon} steps")
        best = min(complete, key=lambda peer: (loss_of(peer.values[0]), peer.number))  # type: ignore[index]
        assert best.values is not None
        mark = loss_of(best.values[0])
        if not math.isfinite(mark):
            return Decision(Verdict.CONTINUE, f"the best complete trial, {best.number}, has no finite {name} to beat")
        return self._predict(numbers, reached - step, horizon, mark, best.number)

    def _predict(
        self, numbers: Sequence[tuple[int, float]], shift: int, horizon: int, mark: float, best: int
    ) -> Decision:
        from whet.stop._forecast import Forecast

        loss_of, name = self.metric.goal.loss, self.metric.name
        # How far off the mark is matters where the curve itself is flat.
        scale = 0.01 * abs(numbers[-1][1] - mark)
        forecast = Forecast([(step + shift, loss) for step, loss in numbers], horizon, scale=scale)
        chance = forecast.below(mark)
        expected = f"{name} is expected to be {word(loss_of(forecast.mean))} ± {word(forecast.deviation)}"
        beats = f"after {horizon} steps and beats {word(loss_of(mark))}, the best, of trial {best}, with probability"
        if chance < self.level:
            return Decision(Verdict.STOP, f"{expected} {beats} {word(chance)} < {self.level:g}")
        return Decision(Verdict.CONTINUE, f"{expected} {beats} {word(chance)}")
