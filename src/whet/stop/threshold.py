"""Bounds: stop what leaves the range that makes sense."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

from whet.errors import ConfigError, UnknownName
from whet.plugins import knob_whole
from whet.stop._checks import not_now
from whet.stop._places import metrics_of, missing, nan_words, shown, word
from whet.stop.base import Decision, Stopper, Verdict
from whet.trial import Problem, Trial

__all__ = ["Threshold"]


@final
class Threshold(Stopper):
    """Stops a trial whose value at a check is below `lower`, above `upper`, or NaN.

    The bounds are bounds of the metric itself, whichever way is better: a loss that must have fallen under 5 by step 100 is
    ``upper: 5, warmup_steps: 100``; an accuracy that must have risen over 0.2, ``lower: 0.2``. A value on a bound is within. These are the
    semantics of Optuna's `ThresholdPruner`.

    Args:
        problem: Space and metrics.
        lower, upper: Bounds, at least one of them. With several metrics a mapping from the metric's name to its bound.
        warmup_steps: No trial stops at a step below.
        interval_steps: Checks are at steps warmup_steps, warmup_steps + interval_steps, …, as in `Median`.

    Raises:
        ConfigError: a knob is out of its range, or there is no bound.
        UnknownName: a bound for a metric that there is not.
        StudyError: the problem has no metric.

    Example:
        >>> from whet import Space
        >>> from whet.trial import Metric, Report
        >>> stopper = Threshold(Problem(space=Space(), metrics=(Metric(name="loss"),)), upper=5)
        >>> stopper.decide(Trial(number=0, params={}, reports=(Report(step=3, values=(7.5,)),)), []).reason
        'loss 7.5 at step 3 is above the upper bound of 5'
    """

    suits = "Ends what leaves known bounds: diverged, or too slow."

    def __init__(self, problem: Problem, *, lower: float | Mapping[str, float] | None = None,
                 upper: float | Mapping[str, float] | None = None, warmup_steps: int = 0, interval_steps: int = 1) -> None:  # fmt: skip
        super().__init__(problem)
        self.metrics = metrics_of(problem)
        if lower is None and upper is None:
            raise ConfigError("threshold has neither lower nor upper", "give at least one of them, such as upper: 5")
        self.lower = self._bounds("lower", lower, -math.inf)
        self.upper = self._bounds("upper", upper, math.inf)
        for metric, low, high in zip(self.metrics, self.lower, self.upper, strict=True):
            if low > high:
                raise ConfigError(
                    f"threshold has lower={low:g} above upper={high:g} for {metric.name}, so every trial would stop",
                    "give lower <= upper",
                )
        self.warmup_steps = knob_whole("threshold", "warmup_steps", warmup_steps, 0)
        self.interval_steps = knob_whole("threshold", "interval_steps", interval_steps, 1)

    def _bounds(self, knob: str, given: float | Mapping[str, float] | None, otherwise: float) -> tuple[float, ...]:
        """Return the bound of each metric."""
        names = [metric.name for metric in self.metrics]
        if not isinstance(given, Mapping):
            if given is None:
                return (otherwise,) * len(names)
            if len(names) > 1:
                raise ConfigError(
                    f"threshold has {knob}={given!r} for {len(names)} metrics",
                    f"say for which: {knob}: {{{names[0]}: {given!r}}}",
                )
            given = {names[0]: given}
        for name in given:
            if name not in names:
                raise UnknownName.of("metric", str(name), names)
        for name, bound in given.items():
            if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not math.isfinite(bound):
                raise ConfigError(
                    f"threshold has {knob}={bound!r} for {name}, not a finite number", f"give {knob} a finite number"
                )
        return tuple(float(given.get(name, otherwise)) for name in names)

    def decide(self, trial: Trial, peers: Sequence[Trial]) -> Decision:
        if why := not_now(trial.reports, self.warmup_steps, self.interval_steps):
            return Decision(Verdict.CONTINUE, why)
        step, values = trial.reports[-1].step, trial.reports[-1].values
        if missing(values):
            what = nan_words(self.metrics, values)
            return Decision(Verdict.STOP, f"{what} at step {step}, and a value that is no number is out of bounds")
        for metric, value, low, high in zip(self.metrics, values, self.lower, self.upper, strict=True):
            if value < low:
                said = f"is below the lower bound of {word(low)}"
            elif value > high:
                said = f"is above the upper bound of {word(high)}"
            else:
                continue
            return Decision(Verdict.STOP, f"{metric.name} {word(value)} at step {step} {said}")
        return Decision(Verdict.CONTINUE, f"{shown(self.metrics, values)} at step {step} is within its bounds")
