"""The signed-rank test: stop what is significantly worse than the best trial on the same folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from whet.plugins import knob_number, knob_whole
from whet.stop._places import word
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Trial

__all__ = ["Wilcoxon"]


@final
class Wilcoxon(Stopper):
    """Compares a trial with the best complete one step by step, where a step is a fold, a seed or a problem instance rather than time.

    Each trial reports the value of fold i at step i, and its result is their mean. On the folds that both have reported, a one-sided
    Wilcoxon signed-rank test asks whether the trial's losses tend to be greater than the best trial's; a p-value below `p_threshold` stops
    it. Equal values count half for each side (zsplit). A trial whose mean so far is as good as the best trial's mean goes on
    whatever the test says. That is the rule of Optuna's `WilcoxonPruner`.

    The test is repeated at each fold, so more trials stop wrongly than `p_threshold` says; a smaller one makes up for it. The order of the
    folds should not follow their difficulty: shuffle them once for all trials, so that early stops are no accident of the order.

    A NaN of the trial stops it (Optuna's lets it go on); a fold in which the best trial has a NaN is left out. Infinite values rank beyond all
    others.

    Args:
        problem: Space and one metric.
        p_threshold: In [0, 1].
        startup_steps: No trial stops before that many folds can be compared; at least two are needed.

    Raises:
        ConfigError: a knob is out of its range.
        StudyError: the problem has several metrics.

    Example:
        >>> from whet import Space
        >>> from whet.trial import Metric, Phase, Report
        >>> def folds(*values):
        ...     return tuple(Report(step=i, values=(v,)) for i, v in enumerate(values))
        >>> best = Trial(number=0, params={}, phase=Phase.FINISHED, values=(1.0,), reports=folds(1.0, 0.9, 1.1, 1.0))
        >>> stopper = Wilcoxon(Problem(space=Space(), metrics=(Metric(name="error"),)))
        >>> stopper.decide(Trial(number=1, params={}, reports=folds(1.5, 1.2, 1.7, 1.6)), [best]).reason
        'error is worse than that of trial 0, the best, on 4 common steps: p = 0.0625 < 0.1'

    Source: Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1945; the test is `scipy.stats.wilcoxon`.
    """

    suits = "Steps that are folds or instances: ends what a test says is worse than the best."

    def __init__(self, problem: Problem, *, p_threshold: float = 0.1, startup_steps: int = 2) -> None:
        super().__init__(problem)
        self.metric = problem.metric
        self.p_threshold = knob_number("wilcoxon", "p_threshold", p_threshold, 0, 1)
        self.startup_steps = knob_whole("wilcoxon", "startup_steps", startup_steps, 0)

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        loss_of, name = self.metric.goal.loss, self.metric.name
        own = {report.step: loss_of(report.values[0]) for report in trial.reports}
        if any(map(math.isnan, own.values())):
            step = next(step for step, loss in own.items() if math.isnan(loss))
            return Decision(Verdict.STOP, f"{name} is NaN at step {step}, and a trial without a number never goes on")
        complete = [peer for peer in peers if peer.complete and peer.values is not None]
        if not complete:
            return Decision(Verdict.CONTINUE, "no trial is complete yet, so there is no best one to compare with")
        best = min(complete, key=lambda peer: (loss_of(peer.values[0]), peer.number))  # type: ignore[index]
        theirs = {r.step: loss_of(r.values[0]) for r in best.reports if not math.isnan(r.values[0])}
        common = [step for step in own if step in theirs]
        wanted = max(2, self.startup_steps)
        if len(common) < wanted:
            return Decision(
                Verdict.CONTINUE, f"{len(common)} of the {wanted} steps to start with are shared with trial {best.number}"
            )  # fmt: skip
        p = _p_greater([_difference(own[step], theirs[step]) for step in common])
        against = f"that of trial {best.number}, the best, on {len(common)} common steps"
        if p >= self.p_threshold:
            return Decision(Verdict.CONTINUE, f"{name} is not significantly worse than {against}: p = {word(p)}")
        mean, mark = _mean(list(own.values())), _mean(list(theirs.values()))
        if mean <= mark:
            return Decision(
                Verdict.CONTINUE,
                f"{name} is worse than {against}, but its mean {word(loss_of(mean))} is no worse than {word(loss_of(mark))}",
            )
        return Decision(Verdict.STOP, f"{name} is worse than {against}: p = {word(p)} < {self.p_threshold:g}")


def _difference(a: float, b: float) -> float:
    return 0.0 if a == b else a - b  # infinity less itself is no number


def _mean(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return math.inf if math.isnan(mean) else mean  # both infinities: the worse one counts


def _p_greater(differences: Sequence[float]) -> float:
    """Return the p-value of the test that `differences` tend to be greater than 0."""
    from scipy.stats import wilcoxon  # half a second to import

    finite = max((abs(d) for d in differences if math.isfinite(d)), default=0.0)
    beyond = 2 * finite + 1  # only ranks count
    ranked = [d if math.isfinite(d) else math.copysign(beyond, d) for d in differences]
    return float(wilcoxon(ranked, alternative="greater", zero_method="zsplit").pvalue)
