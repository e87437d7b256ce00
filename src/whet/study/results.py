"""What counts as a result: from what an objective returned to the phase its trial ends in."""

from __future__ import annotations

import math
from collections.abc import Sequence

from whet.errors import StudyError
from whet.trial import Phase, Problem

__all__ = ["as_values", "check_count", "judge"]


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
