"""What counts as a result: from what an objective returned to the phase its trial ends in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from whet.errors import StudyError
from whet.trial import Phase, Problem

__all__ = ["as_report", "as_values", "check_count", "judge"]


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
