"""Patience: stop what has not improved for a while, or let another stopper judge it only then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

from whet.errors import ConfigError
from whet.plugins import build, knob_number, knob_whole
from whet.stop._places import losses_by, metrics_of, word
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Suggestion, Trial

__all__ = ["Patience"]


@final
class Patience(Stopper):
    """Stops a trial whose metric has not improved for `patience_steps` steps; with `stopper`, that one decides then, and never before.

    A report improves if it is better than the best before it by more than `min_delta`; the first number does. With several metrics a
    trial improves as long as one of its metrics does. A NaN improves nothing.

    With `stopper` the trial stops only if it has stood still for so long *and* the wrapped stopper would stop it. So
    ``{type: patience, patience_steps: 5, stopper: {type: asha}}`` spares trials that still get better, however badly they compare. That is
    the idea of Optuna's `PatientPruner`, whose patience of p is patience_steps = p + 1 where every step is reported. Its `min_delta` is
    another one: there a trial must have become worse by that much, here a smaller gain counts as none, as in training loops. A curve
    that stays exactly where it is never stops there, and stops here.

    Args:
        problem: Space and metrics.
        patience_steps: Steps without an improvement, >= 1.
        min_delta: What a gain must exceed to count, >= 0, in the metric's unit.
        stopper: The stopper to wrap: its name, or a mapping of its ``type`` and knobs. None: standing still is enough.

    Raises:
        ConfigError: a knob is out of its range, or the wrapped stopper refuses its own.
        UnknownName: there is no such stopper.
        StudyError: the problem has no metric, or more than the wrapped stopper takes.

    Example:
        >>> from whet import Space
        >>> from whet.trial import Metric, Report
        >>> stopper = Patience(Problem(space=Space(), metrics=(Metric(name="loss"),)), patience_steps=2)
        >>> reports = tuple(Report(step=s, values=(v,)) for s, v in enumerate([3.0, 1.0, 1.5, 1.0]))
        >>> stopper.decide(Trial(number=0, params={}, reports=reports), []).reason
        'loss has not improved since step 1, 2 steps ago (the best: 1)'
    """

    suits = "Ends what has not improved for some steps, without regard to others."

    def __init__(self, problem: Problem, *, patience_steps: int = 10, min_delta: float = 0.0,
                 stopper: str | Mapping[str, Any] | None = None) -> None:  # fmt: skip
        super().__init__(problem)
        self.metrics = metrics_of(problem)
        self.patience_steps = knob_whole("patience", "patience_steps", patience_steps, 1)
        self.min_delta = knob_number("patience", "min_delta", min_delta, 0)
        self.stopper = None if stopper is None else _wrapped(problem, stopper)
        self.pauses = self.stopper is not None and self.stopper.pauses

    def bracket(self, number: int) -> int:
        return 0 if self.stopper is None else self.stopper.bracket(number)

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        if not trial.reports:
            return Decision(Verdict.CONTINUE, "nothing is reported yet")
        losses, step = losses_by(self.metrics), trial.reports[-1].step
        bests = [math.inf] * len(self.metrics)
        since, seen = trial.reports[0].step, [False] * len(self.metrics)
        for report in trial.reports:
            for i, loss in enumerate(losses(report.values)):
                if math.isnan(loss) or (seen[i] and not loss < bests[i] - self.min_delta):
                    continue
                bests[i], seen[i], since = loss, True, report.step
        name = " or ".join(metric.name for metric in self.metrics)
        if step - since < self.patience_steps:
            left = since + self.patience_steps
            return Decision(
                Verdict.CONTINUE, f"{name} has improved at step {since}, and patience lasts until step {left}"
            )
        best = losses(bests)  # a goal's loss undoes itself
        what = ", ".join(word(value) for value in best) if all(seen) else "no number yet"
        still = f"{name} has not improved since step {since}, {step - since} steps ago (the best: {what})"
        if self.stopper is None:
            return Decision(Verdict.STOP, still)
        decision = self.stopper.decide(trial, peers)
        if decision.verdict is Verdict.CONTINUE:
            return Decision(Verdict.CONTINUE, f"{still}, but {decision.reason}")
        return Decision(decision.verdict, f"{still}, and {decision.reason}")

    def promote(self, peers: Sequence[Trial], *, closing: bool = False) -> Suggestion | None:
        return None if self.stopper is None else self.stopper.promote(peers, closing=closing)


def _wrapped(problem: Problem, given: str | Mapping[str, Any]) -> Stopper:
    knobs = {"type": given} if isinstance(given, str) else dict(given) if isinstance(given, Mapping) else {}
    name = knobs.pop("type", knobs.pop("name", None))
    if not isinstance(name, str):
        raise ConfigError(
            f"patience has stopper={given!r}, which names none",
            "give a name such as asha, or a mapping {type: asha, min_steps: 3}",
        )
    wrapped: Stopper = build("stopper", name, problem, knobs_given=knobs)
    return wrapped
