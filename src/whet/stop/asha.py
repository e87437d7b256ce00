"""ASHA: at each rung only the best of those that reached it go on; the others stop, or wait for their turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from whet.errors import ConfigError
from whet.plugins import knob_flag, knob_number, knob_whole
from whet.stop._places import best_standing, losses_by, metrics_of, missing, nan_words, shown, standing
from whet.stop._rungs import arrival, done, ladder
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Phase, Problem, Suggestion, Trial

__all__ = ["ASHA"]


@final
class ASHA(Stopper):
    """Asynchronous successive halving, by stopping trials or, with `pause`, by promoting them.

    Rungs lie at r_k = min_steps · eta^k. A trial reaches r_k with its first report whose *resource* is at least r_k, and the
    resource is the number of the step, counted from 1: step + 1 for a trial whose first report has step 0, the step itself
    otherwise. So reports at steps 0, 1, 2 and at steps 1, 2, 3 mean the same, and sparse reports (100, 200, …) count as 100, 200, ….

    On a rung that n trials have reached, itself included, a trial goes on if fewer than max(1, ⌊n / eta⌋) of the others are
    strictly better: ties go on, and so does the first one to arrive. A NaN there never goes on, not even as the first.

    A trial is judged at every report, on the highest rung that it has reached: with its value there when it arrives (that is the
    published rule), and later with its best value since. So no check is lost where several reports arrive at once, a trial
    that newer ones have overtaken ends before the next rung, and one that has improved since is not held to its early value.
    Where trials run one after another, that is the same as judging on arrival only.

    With `pause` a trial that arrives at a rung is judged there once, at the report with which it arrives: asked only after a later
    one, it is on its way to the next rung. It goes on if it is among the best ⌊n / eta⌋ of the n that have reached the rung, and else
    pauses. When a worker is free, the highest rung that has a paused trial among its best ⌊n / eta⌋ resumes the best one; only where
    there is none does a new trial start. So no trial is given up for having come early, and what a trial has done is not done again
    if it saves checkpoints. This is the published algorithm, but for two things: a trial that would be promoted at once does not stop
    in between, and when nothing runs and nothing new will start, a rung that fewer than eta trials have reached promotes its best, so
    that a small sweep has a complete trial, too.

    With several metrics "strictly better" is: on an earlier front of the values on the rung, or on the same one and earlier in the spread
    over it (`whet.stop._places.standing` has the order). A NaN in any metric is worst. With one metric that is the plain order.

    Args:
        problem: Space and metrics.
        min_steps: The resource of the first rung, >= 1: no trial stops before.
        eta: One in eta goes on, >= 2.
        max_steps: A trial that gets so far is left alone: rungs lie below. Default: no limit.
        pause: Pause trials and promote the best, rather than stop the others.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has no metric.

    Source: Li, Jamieson, Rostamizadeh et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020; for several metrics
    Schmucker, Donini, Zafar et al., Multi-objective Asynchronous Successive Halving, 2021.
    """

    suits = "Many trials on several machines: of those that reach a rung only the best third goes on."

    def __init__(self, problem: Problem, *, min_steps: int = 1, eta: float = 3, max_steps: int | None = None,
                 pause: bool = False) -> None:  # fmt: skip
        super().__init__(problem)
        self.pauses = knob_flag("asha", "pause", pause)
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
        if self.pauses and at < len(reports) - 1:
            return Decision(Verdict.CONTINUE, f"it is on its way from step {step} to the next rung")
        others = [
            losses(theirs[arrival(theirs, rung)].values) for peer in peers if done(theirs := peer.reports) >= rung
        ]
        index, place = best_standing([losses(report.values) for report in since], others)
        best = since[index]
        value = shown(metrics, best.values)
        if place.size == 1 and not self.pauses:
            return Decision(Verdict.CONTINUE, f"{value} is the first to reach step {step}")
        keep = int(place.size / self.eta)
        keep = keep if self.pauses else max(1, keep)
        when = f"at step {best.step}" if best.step == step else f"at step {best.step}, its best since step {step},"
        whom = "it" if best.step == step else f"step {step}"
        if self.pauses and not keep:
            return Decision(
                Verdict.PAUSE,
                f"{value} {when} waits: {_so_few(place.size)} reached {whom}, and one in {self.eta:g} goes on",
            )
        verdict = Verdict.CONTINUE if place.ahead < keep else Verdict.PAUSE if self.pauses else Verdict.STOP
        among = "is among" if verdict is Verdict.CONTINUE else "is not among"
        return Decision(
            verdict, f"{value} {when} {place.words}{among} the best {keep} of {place.size} that reached {whom}"
        )

    def promote(self, peers: Sequence[Trial], *, closing: bool = False) -> Suggestion | None:
        if not self.pauses:
            return None
        losses, reached = losses_by(self.metrics), {peer.number: done(peer.reports) for peer in peers}
        for rung in reversed(ladder(self.min_steps, self.eta, max(reached.values(), default=0))):
            here = sorted((p for p in peers if reached[p.number] >= rung), key=lambda p: p.number)
            keep = int(len(here) / self.eta)
            keep = max(1, keep) if closing else keep
            on_rung = [(p, losses(p.reports[arrival(p.reports, rung)].values)) for p in here]
            waiting = [self._waits(p, rung, reached[p.number]) for p in here]
            if not keep or not any(waiting):
                continue
            paused = [one for one, waits in zip(on_rung, waiting, strict=True) if waits]
            rest = [mine for (_, mine), waits in zip(on_rung, waiting, strict=True) if not waits]
            index, _ = best_standing([mine for _, mine in paused], rest)
            trial, own = paused[index]
            place = standing(own, [*rest, *(mine for other, mine in paused if other is not trial)])
            if place.ahead < keep:
                step = trial.reports[arrival(trial.reports, rung)].step
                why = f"goes on from step {step}: {place.words}{'it ' if place.words else ''}is among the best {keep} of {place.size} there"
                return Suggestion(params=trial.params, note=why, parent=trial.number)
        return None

    def _waits(self, trial: Trial, rung: int, reached: int) -> bool:
        """Return whether a trial that reached the rung is paused there, with numbers."""
        if trial.phase is not Phase.PAUSED or ladder(self.min_steps, self.eta, reached)[-1] != rung:
            return False
        return not missing(trial.reports[arrival(trial.reports, rung)].values)


def _so_few(count: int) -> str:
    return "it is the first that" if count == 1 else f"only {count}"
