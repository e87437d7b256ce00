"""PASHA: successive halving whose top rung rises only while the ranking of the trials is still changing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

from whet.errors import ConfigError
from whet.plugins import knob_number, knob_whole
from whet.stop._places import missing, standing, word
from whet.stop._rungs import arrival, done, ladder
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Trial

__all__ = ["PASHA"]

_MOST = 64  # trials whose curves, and steps at which, are compared to estimate the noise


@final
class PASHA(Stopper):
    """Progressive ASHA: as `ASHA` up to a top rung, which rises only as long as the trials' ranking there is unstable.

    Rungs lie at min_steps · eta^k. The top rung is the lowest, from the second on, at which the trials that reached it rank as they did one
    rung before; below it one in eta goes on, as in `ASHA`. Rankings agree softly: with the trials in the order of the top rung, the one in
    place i was one rung before within ε of the one that was in place i there. A single trial agrees with itself.

    ε is the noise, estimated from the curves: of all pairs of trials (of the best 64) on the rung whose curves have crossed at least twice, so
    that their order says nothing, the 90th percentile of the distance on it. It is 0 where no pair has.

    On the top rung and above only a trial that no other one there beats goes on. The published method ends all trials at the top, and
    trains the winner anew; a sweep has its result only from a trial that ran to its end, so here the leader runs on. The top rung is a
    function of the reports as they are: it may come down again where more trials settle a ranking that a few left open.

    Args:
        problem: Space and one metric.
        min_steps: The resource of the first rung, >= 1: no trial stops before. Steps count as in `ASHA`.
        eta: One in eta goes on, >= 2.
        max_steps: A trial that gets so far is left alone. Default: no limit.
        epsilon: ε itself, >= 0, in the metric's unit. Default: estimated.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has several metrics.

    Source: Bohdal, Balles, Wistuba, Ermis, Archambeau & Zappella, PASHA: Efficient HPO and NAS with Progressive Resource Allocation,
    ICLR 2023.
    """

    suits = "As asha, and trains longer only while the order of the best still changes."

    def __init__(self, problem: Problem, *, min_steps: int = 1, eta: float = 3, max_steps: int | None = None,
                 epsilon: float | None = None) -> None:  # fmt: skip
        super().__init__(problem)
        self.metric = problem.metric
        self.min_steps = knob_whole("pasha", "min_steps", min_steps, 1)
        self.eta = knob_number("pasha", "eta", eta, 2)
        self.max_steps = None if max_steps is None else knob_whole("pasha", "max_steps", max_steps, 1)
        self.epsilon = None if epsilon is None else knob_number("pasha", "epsilon", epsilon, 0)
        if self.max_steps is not None and self.max_steps <= self.min_steps:
            raise ConfigError(
                f"pasha has max_steps={self.max_steps} and min_steps={self.min_steps}, so no rung lies between them",
                "give max_steps > min_steps, or leave the stopper out",
            )

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        reports, loss_of, name = trial.reports, self.metric.goal.loss, self.metric.name
        reached = done(reports)
        if self.max_steps is not None and reached >= self.max_steps:
            return Decision(Verdict.CONTINUE, f"step {reports[-1].step} completes max_steps={self.max_steps}")
        rungs = ladder(self.min_steps, self.eta, reached)
        if not rungs:
            return Decision(Verdict.CONTINUE, f"the first rung, {self.min_steps} steps, is still ahead")
        rung = rungs[-1]
        at = arrival(reports, rung)
        step = reports[at].step
        since = [loss_of(report.values[0]) for report in reports[at:] if not missing(report.values)]
        if not since:
            return Decision(Verdict.STOP, f"{name} is NaN at step {step}, and a trial without a number never goes on")
        others = [loss_of(theirs[arrival(theirs, rung)].values[0]) for p in peers if done(theirs := p.reports) >= rung]
        place = standing((min(since),), [(loss,) for loss in others])
        value = f"{name} {word(loss_of(min(since)))} since step {step}"
        if place.size == 1:
            return Decision(Verdict.CONTINUE, f"{value} is the first to get so far")
        top = self._top([trial, *peers], rungs)
        if top is not None:
            goes_on, keep = place.ahead == 0, 1
            why = f"; the ranking is settled at {top} steps, so beyond them only the best goes on"
        else:
            keep = max(1, int(place.size / self.eta))
            goes_on, why = place.ahead < keep, ""
        return Decision(
            Verdict.CONTINUE if goes_on else Verdict.STOP,
            f"{value} is {'among' if goes_on else 'not among'} the best {keep} of {place.size} that got so far{why}",
        )

    def _top(self, trials: Sequence[Trial], rungs: Sequence[int]) -> int | None:
        """Return the top rung if it is one of `rungs`, None if it lies above them."""
        in_order = sorted(trials, key=lambda t: t.number)
        for below, rung in pairwise(rungs):
            here = [trial for trial in in_order if done(trial.reports) >= rung]
            before, now = [self._loss(trial, below) for trial in here], [self._loss(trial, rung) for trial in here]
            agree = _agree(before, now, self.epsilon or 0.0)
            if not agree and self.epsilon is None:
                best = sorted(range(len(here)), key=lambda i: now[i])[:_MOST]
                agree = _agree(before, now, self._noise([here[i] for i in best], [now[i] for i in best], rung))
            if agree:
                return rung
        return None

    def _loss(self, trial: Trial, rung: int) -> float:
        """Return the loss on a rung that the trial has reached, NaN as the worst of all."""
        loss = self.metric.goal.loss(trial.reports[arrival(trial.reports, rung)].values[0])
        return math.inf if math.isnan(loss) else loss

    def _noise(self, trials: Sequence[Trial], now: Sequence[float], rung: int) -> float:
        """Return ε of the trials on a rung, where they have the losses `now`."""
        import numpy as np

        loss_of = self.metric.goal.loss
        curves = []
        for trial in trials:
            until = arrival(trial.reports, rung) + 1
            curves.append({r.step: loss_of(r.values[0]) for r in trial.reports[:until]})
        steps = sorted(set().union(*curves))
        if len(steps) > _MOST:
            steps = [steps[i] for i in np.linspace(0, len(steps) - 1, _MOST).round().astype(int)]
        loss_TS = np.array([[curve.get(step, math.nan) for step in steps] for curve in curves])
        distances = []
        for i in range(len(trials) - 1):
            with np.errstate(invalid="ignore"):
                sign_PS = np.sign(loss_TS[i + 1 :] - loss_TS[i])
                distance_P = np.abs(np.array(now[i + 1 :]) - now[i])
            for sign_S, distance in zip(sign_PS, distance_P, strict=True):
                order = sign_S[np.isfinite(sign_S) & (sign_S != 0)]
                if np.count_nonzero(order[1:] != order[:-1]) >= 2 and math.isfinite(distance):
                    distances.append(distance)
        return float(np.percentile(distances, 90)) if distances else 0.0


def _agree(before: Sequence[float], now: Sequence[float], epsilon: float) -> bool:
    """Return whether the one in place i now was before within `epsilon` of the one that was in place i then, for all i."""
    then, top = sorted(before), sorted(range(len(now)), key=lambda i: (now[i], before[i]))
    return all(before[i] == bar or abs(before[i] - bar) <= epsilon for i, bar in zip(top, then, strict=True))
