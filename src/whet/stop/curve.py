"""Learning-curve extrapolation: stop what can hardly become the best any more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from whet.plugins import knob_number, knob_whole
from whet.stop._places import Losses, losses_by, metrics_of, word
from whet.stop._rungs import done
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Trial

if TYPE_CHECKING:
    from whet.stop._forecast import Forecast

    Points = Sequence[tuple[int, float]]

__all__ = ["Curve"]


@final
class Curve(Stopper):
    """Stops a trial when the probability that it beats the best complete trial at the horizon falls below `level`.

    The probability comes from the trial's own reports: power laws, exponentials and log powers of time are averaged, each as far as the
    reports speak for it (`whet.stop._forecast`). Where the families describe the curves, the probability that a trial which would have become
    the best is ever stopped is at most `level`, however often it is looked at, as what is judged is a posterior.
    A decision costs the same however long the curves and however many the trials are (but for finding the best one).

    With several metrics it stops when the probability that the trial would be on the front of the complete ones falls below `level`: that its
    metrics, each forecast by itself and taken as independent, are in the region that no complete trial dominates.

    Curves with steps in them (a learning rate that falls at epoch 60) are none of the families: give `warmup_steps` behind the step, or
    use another stopper.

    Args:
        problem: Space and metrics.
        level: In (0, 0.5]: the smaller, the fewer trials stop.
        max_steps: The horizon: the steps of a whole trial. Default: those of the longest complete trial.
        min_reports: Numbers needed before anything is predicted, >= 3.
        startup_trials: No trial stops before that many are complete, >= 1.
        warmup_steps: No trial stops at a step below.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has no metric.

    Source: Domhan, Springenberg & Hutter, IJCAI 2015; the averaging in closed form in place of MCMC is Whet's.
    """

    suits = "Long curves: ends what will probably not become the best, by where its curve leads."

    def __init__(self, problem: Problem, *, level: float = 0.05, max_steps: int | None = None, min_reports: int = 4,
                 startup_trials: int = 1, warmup_steps: int = 0) -> None:  # fmt: skip
        super().__init__(problem)
        self.metrics = metrics_of(problem)
        self._losses = losses_by(self.metrics)
        self.level = knob_number("curve", "level", level, 1e-6, 0.5)
        self.max_steps = None if max_steps is None else knob_whole("curve", "max_steps", max_steps, 2)
        self.min_reports = knob_whole("curve", "min_reports", min_reports, 3)
        self.startup_trials = knob_whole("curve", "startup_trials", startup_trials, 1)
        self.warmup_steps = knob_whole("curve", "warmup_steps", warmup_steps, 0)

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        if not trial.reports:
            return Decision(Verdict.CONTINUE, "nothing is reported yet")
        step = trial.reports[-1].step
        losses = [(r.step, self._losses(r.values)) for r in trial.reports if all(map(math.isfinite, r.values))]
        if not losses and len(trial.reports) >= self.min_reports:
            what = " and ".join(metric.name for metric in self.metrics)
            return Decision(Verdict.STOP, f"{what}: no finite number in all of {len(trial.reports)} reports, and a trial without a number never goes on")  # fmt: skip
        if step < self.warmup_steps:
            return Decision(Verdict.CONTINUE, f"step {step} is within the warm-up of {self.warmup_steps} steps")
        if len({at for at, _ in losses}) < self.min_reports:
            return Decision(
                Verdict.CONTINUE, f"{len(losses)} of the {self.min_reports} reports to start with are there"
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
        shift = reached - step
        curves = [[(at + shift, values[m]) for at, values in losses] for m in range(len(self.metrics))]
        if len(self.metrics) > 1:
            return self._by_front(curves, horizon, [self._losses(peer.values) for peer in complete if peer.values])
        best = min(complete, key=lambda peer: (self._losses(peer.values), peer.number))  # type: ignore[arg-type]
        assert best.values is not None
        mark = self._losses(best.values)[0]
        if not math.isfinite(mark):
            name = self.metrics[0].name
            return Decision(Verdict.CONTINUE, f"the best complete trial, {best.number}, has no finite {name} to beat")
        return self._by_best(curves[0], horizon, mark, best.number)

    def _by_best(self, curve: Points, horizon: int, mark: float, best: int) -> Decision:
        from whet.stop._forecast import Forecast

        # How far off the mark is matters where the curve itself is flat.
        forecast = Forecast(curve, horizon, scale=0.01 * abs(curve[-1][1] - mark))
        beats = f"beats {word(self.metrics[0].goal.loss(mark))}, the best, of trial {best},"
        return self._judged([forecast], horizon, beats, forecast.below(mark), [1.0])

    def _by_front(self, curves: Sequence[Points], horizon: int, complete: Sequence[Losses]) -> Decision:
        import numpy as np

        from whet.fronts import nondominated
        from whet.stop._forecast import Forecast, joins

        loss_NM = np.array([losses for losses in complete if all(map(math.isfinite, losses))])
        if not len(loss_NM):
            return Decision(Verdict.CONTINUE, "no complete trial has finite metrics to beat")
        front_NM = loss_NM[nondominated(loss_NM)]
        # In units of the greatest number, so that no difference overflows.
        unit_M = np.maximum(np.abs(loss_NM).max(axis=0), [max(abs(loss) for _, loss in curve) for curve in curves])
        unit_M[unit_M == 0] = 1.0
        last_M = np.array([curve[-1][1] for curve in curves]) / unit_M
        scale_M = 0.01 * np.maximum(np.ptp(loss_NM / unit_M, axis=0), np.abs(front_NM / unit_M - last_M).min(axis=0))
        forecasts = [
            Forecast([(at, loss / unit) for at, loss in curve], horizon, scale=scale)
            for curve, unit, scale in zip(curves, unit_M.tolist(), scale_M.tolist(), strict=True)
        ]
        chance = joins(forecasts, front_NM / unit_M)
        return self._judged(forecasts, horizon, f"is on the front, now of {len(front_NM)},", chance, unit_M.tolist())

    def _judged(self, forecasts: Sequence[Forecast], horizon: int, beats: str, chance: float,
                units: Sequence[float]) -> Decision:  # fmt: skip
        expected = ", ".join(
            f"{metric.name} is expected to be {word(metric.goal.loss(one.mean * unit))} ± {word(one.deviation * unit)}"
            for metric, one, unit in zip(self.metrics, forecasts, units, strict=True)
        )
        words = f"{expected} after {horizon} steps and {beats} with probability {word(chance)}"
        return Decision(Verdict.STOP, f"{words} < {self.level:g}") if chance < self.level else Decision(Verdict.CONTINUE, words)  # fmt: skip
