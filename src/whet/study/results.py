"""What counts as a result: from what an objective returned to the phase its trial ends in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from whet.errors import StudyError
from whet.trial import Phase, Problem, Trial

__all__ = ["End", "as_end", "as_report", "as_values", "check_count", "judge"]


def as_values(result: object) -> tuple[float, ...] | None:
    """Return an objective's result as a tuple of floats, None for None.

    Raises:
        StudyError: it is neither a number nor a sequence of numbers.
    """
    if type(result) is float:
        return (result,)
    if result is None:
        return None
    try:
        if isinstance(result, Sequence) and not isinstance(result, str):
            return tuple(float(v) for v in result)
        return (float(result),)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise StudyError(f"the objective returned {result!r}", "return a number, or one number a metric") from None


def as_report(given: object, problem: Problem) -> tuple[float, ...]:
    """Return what an objective reports as floats, one a metric in their order.

    Raises:
        StudyError: it is no number, or not one a metric.
    """
    metrics = problem.metrics
    if len(metrics) == 1 and not isinstance(given, Mapping):
        try:
            return (float(given),)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise StudyError(f"reported {given!r}, which is not a number", "report a float") from None
    names = [metric.name for metric in metrics]
    fix = f"report one number each for: {', '.join(names)}"
    if isinstance(given, Mapping):
        if given.keys() != set(names):
            raise StudyError(f"reported {', '.join(map(str, given)) or 'nothing'}", fix)
        given = [given[name] for name in names]
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != len(names):
        raise StudyError(f"reported {given!r} to a study of {len(names)} metrics", fix)
    try:
        return tuple(float(value) for value in given)
    except (TypeError, ValueError):
        raise StudyError(f"reported {given!r}, in which there is no number", fix) from None


def check_count(number: int, values: Sequence[float], problem: Problem) -> None:
    """Raise StudyError unless there is one value a metric."""
    wanted = len(problem.metrics)
    if len(values) != wanted:
        names = ", ".join(m.name for m in problem.metrics)
        raise StudyError(
            f"trial {number} gave {len(values)} value{'s' * (len(values) != 1)} for {wanted} metric{'s' * (wanted != 1)}",
            f"give one each for: {names}",
        )


def judge(values: tuple[float, ...] | None, problem: Problem) -> tuple[Phase, str]:
    """Return the phase in which a trial that ran to its end with `values` ends, and why if it FAILED."""
    if values is None:
        return Phase.FAILED, "it ended without a result"
    for metric, value in zip(problem.metrics, values, strict=True):
        if math.isnan(value):
            return Phase.FAILED, f"its result {metric.name} is NaN"
    return Phase.FINISHED, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a trial ends: what the store is told."""

    phase: Phase
    values: tuple[float, ...] | None
    reason: str
    may_be_best: bool = True


def as_end(
    problem: Problem, number: int, values: Sequence[float] | None, known: Callable[[int], Trial], *, phase: Phase, stopped: bool,
    reason: str, attrs: Mapping[str, object] | None,
) -> End:  # fmt: skip
    """Return how a trial ends that is told with `values`: of a stopped one None takes its last report, NaN makes it FAILED.

    Args:
        problem: Its metrics and limits.
        number: The trial's.
        values: One a metric, or None.
        known: What is known of the trial, by number; looked up only where it matters.
        phase, stopped, reason: As they are meant.
        attrs: The attributes that it gets on top of its own; limits may be about them.

    Raises:
        StudyError: not one value a metric.
    """
    if values is not None:
        check_count(number, values, problem)
    elif stopped:
        reports = known(number).reports
        values = reports[-1].values if reports else None
    result = None if values is None else tuple(float(v) for v in values)
    if phase is not Phase.FINISHED or stopped:
        return End(phase=phase, values=result, reason=reason)
    phase, failure = judge(result, problem)
    if phase is Phase.FAILED:
        return End(phase=phase, values=None, reason=reason or failure)
    if not problem.limits:
        return End(phase=phase, values=result, reason=reason)
    trial = known(number)
    broken = problem.broken(replace(trial, values=result, attrs={**trial.attrs, **(attrs or {})}, ended=time.time()))
    why = f"it does not keep the limits: {broken}" if broken else ""
    return End(phase=phase, values=result, reason=reason or why, may_be_best=not broken)
