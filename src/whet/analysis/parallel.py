"""Parallel coordinates: one axis a parameter, one line a trial, as plain data for whoever draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import repeat
from typing import Any

from whet.analysis.importance import importance
from whet.errors import StudyError, UnknownName
from whet.parameters import Choice, Float, Int
from whet.trial import Problem, Trial

__all__ = ["Axis", "AxisKind", "Line", "Parallel", "parallel_coordinates"]

_NOTHING = object()


class AxisKind(Enum):
    """How an axis is marked."""

    LINEAR = "linear"
    LOG = "log"
    OPTIONS = "options"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis: a parameter or, at the end, a metric.

    Args:
        name: The parameter's or the metric's.
        kind: How positions follow values.
        low, high: The values at positions 0 and 1; None on an axis of options.
        options: From position 0 to 1, evenly spaced; empty on an axis of numbers.
        is_metric: It is a result.
    """

    name: str
    kind: AxisKind
    low: float | None = None
    high: float | None = None
    options: tuple[object, ...] = ()
    is_metric: bool = False

    def position(self, value: object) -> float | None:
        """Return where `value` lies in [0, 1], to six digits, or None if it has no place there."""
        return self.positions([value])[0]

    def positions(self, values: Iterable[object]) -> list[float | None]:
        """Return where each of `values` lies, as `position`."""
        if self.kind is AxisKind.OPTIONS:
            choice, last = Choice(self.options), len(self.options) - 1
            places = [round(i / last, 6) if last else 0.5 for i in range(last + 1)]
            return [places[i] if i >= 0 else None for i in map(choice.index, values)]
        if self.low is None or self.high is None:
            return [None for _ in values]
        is_log = self.kind is AxisKind.LOG
        low, high = (math.log(self.low), math.log(self.high)) if is_log else (self.low, self.high)
        found: list[float | None] = []
        for value in values:
            at = float(value) if isinstance(value, (int, float)) else math.nan
            if not math.isfinite(at) or (is_log and at <= 0):
                found.append(None)
            elif high > low:
                found.append(round(min(max(((math.log(at) if is_log else at) - low) / (high - low), 0.0), 1.0), 6))
            else:
                found.append(0.5)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One trial: its number and, axis by axis, its values and their positions in [0, 1], None where a parameter is inactive."""

    number: int
    values: tuple[object, ...]
    positions: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """The axes from left to right and the lines in the order of their numbers."""

    axes: tuple[Axis, ...]
    lines: tuple[Line, ...]


def parallel_coordinates(
    problem: Problem, trials: Iterable[Trial], *, params: Sequence[str] = (), most: int | None = None
) -> Parallel:
    """Return axes and lines for the complete trials.

    Parameters come in the order of their importance for the first metric (of the space, while there are too few trials to tell),
    then the metrics. An axis of numbers spans the parameter's range, or what was observed if that is unbounded.

    Args:
        problem: Of the trials.
        trials: Any; only the complete ones are shown.
        params: Only these parameters, in the order in which they are named; empty: all.
        most: Where none are named: so many of those that can vary, the most important ones.

    Raises:
        UnknownName: no such parameter.
    """
    trials = list(trials)
    complete = sorted((t for t in trials if t.complete), key=lambda t: t.number)
    for name in params:
        if name not in problem.space:
            raise UnknownName.of("parameter", name, list(problem.space))
    names = list(dict.fromkeys(params)) or _ranked(problem, trials)
    if not params and most is not None:
        names = [name for name in names if problem.space[name].size != 1][:most]
    axes = [_axis(problem, name, [t.params[name] for t in complete if name in t.params]) for name in names]
    for i, metric in enumerate(problem.metrics):
        results = [t.values[i] for t in complete if t.values is not None]
        low, high = _span(results)
        axes.append(Axis(name=metric.name, kind=AxisKind.LINEAR, low=low, high=high, is_metric=True))
    columns = [[t.params.get(name, _NOTHING) for t in complete] for name in names]
    columns += [[_NOTHING if t.values is None else t.values[i] for t in complete] for i in range(len(problem.metrics))]
    places = [axis.positions(column) for axis, column in zip(axes, columns, strict=True)]
    lines = tuple(
        Line(number=trial.number, values=tuple(None if v is _NOTHING else v for v in values), positions=positions)
        for trial, values, positions in zip(
            complete, _rows(columns, len(complete)), _rows(places, len(complete)), strict=True
        )
    )
    return Parallel(axes=tuple(axes), lines=lines)


def _ranked(problem: Problem, trials: Sequence[Trial]) -> list[str]:
    try:
        return list(importance(problem, trials, metric=problem.metrics[0].name if problem.metrics else None))
    except StudyError:
        return list(problem.space)


def _rows(columns: Sequence[Sequence[Any]], num: int) -> Iterable[tuple[Any, ...]]:
    return zip(*columns, strict=True) if columns else repeat((), num)


def _axis(problem: Problem, name: str, observed: Sequence[object]) -> Axis:
    parameter = problem.space[name]
    if isinstance(parameter, Choice):
        return Axis(name=name, kind=AxisKind.OPTIONS, options=parameter.options)
    assert isinstance(parameter, (Float, Int))
    low, high = parameter.low, parameter.high
    log = parameter.log
    if not (math.isfinite(low) and math.isfinite(high)) or (log and low <= 0):
        low, high = _span([v for v in observed if isinstance(v, (int, float)) and (v > 0 or not log)])
    return Axis(name=name, kind=AxisKind.LOG if log and low > 0 else AxisKind.LINEAR, low=low, high=high)


def _span(values: Iterable[float]) -> tuple[float, float]:
    finite = [float(v) for v in values if math.isfinite(v)]
    return (min(finite), max(finite)) if finite else (0.0, 1.0)
