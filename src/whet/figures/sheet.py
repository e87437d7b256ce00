"""What figures are made of: a sweep's problem and trials, and which of its metrics and parameters are asked for."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar, final

from whet.analysis.fanova import Fanova, shares
from whet.analysis.importance import importance
from whet.analysis.surface import Surface, surface
from whet.errors import StudyError, UnknownName
from whet.parameters import Choice, Float, Int
from whet.trial import Metric, Problem, Trial

__all__ = ["Sheet"]

_LARGEST = 1e150
_T = TypeVar("_T")


@final
class Sheet:
    """A sweep as figures see it; what costs time is computed once, when it is first asked for.

    Args:
        title: The sweep's name.
        problem: Its space and metrics.
        trials: All of them, with their reports. A number beyond ±1e150, whose square is none, counts as infinite.
        metric: Which metric is meant, by name; None: the only one, or the first.
        params: Which parameters are meant; none: the most important ones.
    """

    def __init__(
        self,
        title: str,
        problem: Problem,
        trials: Sequence[Trial],
        *,
        metric: str | None = None,
        params: Sequence[str] = (),
    ) -> None:
        self.title = title
        self.problem = problem
        self.trials = sorted(map(_drawable, trials), key=lambda t: t.number)
        self.metric_given = metric is not None
        names = [m.name for m in problem.metrics]
        if not names:
            raise StudyError("the sweep optimises nothing, so there is nothing to draw", "make a sweep with a metric")
        if metric is not None and metric not in names:
            raise UnknownName.of("metric", metric, names)
        self.params: tuple[str, ...] = ()
        self.place = 0 if metric is None else names.index(metric)
        self.metric: Metric = problem.metrics[self.place]
        self._kept: dict[str, Any] = {}  # what costs time, of this one and those like it
        self._lock = threading.RLock()  # of it: a server draws several figures at once
        self._ask_for(params)

    def asked(self, params: Sequence[str]) -> Sheet:
        """Return the same sheet, asked for these parameters; what costs time they compute together.

        Raises:
            UnknownName: there is no such parameter.
        """
        other = copy(self)
        other._ask_for(params)
        return other

    def _ask_for(self, params: Sequence[str]) -> None:
        for name in params:
            if name not in self.problem.space:
                raise UnknownName.of("parameter", name, list(self.problem.space))
        self.params = tuple(params)

    @property
    def goal_label(self) -> str:
        """The metric as an axis names it."""
        return f"{self.metric.name} ({self.metric.goal.value})"

    @cached_property
    def complete(self) -> list[Trial]:
        """The trials that ran to their end with a finite result in the metric, by number."""
        return [t for t in self.trials if t.complete and t.values is not None and math.isfinite(t.values[self.place])]

    @cached_property
    def values(self) -> list[float]:
        """Their results."""
        return [t.values[self.place] for t in self.complete if t.values is not None]

    def need(self, count: int = 1) -> None:
        """Raise where there are fewer complete trials than that.

        Raises:
            StudyError: with the reason.
        """
        if len(self.complete) < count:
            have = f"{len(self.complete)} of {len(self.trials)}" if self.trials else "no trial"
            wanted = "a complete trial with a finite result" if count == 1 else f"{count} complete trials"
            raise StudyError(f"this needs {wanted}, and there is {have}", "run more trials")

    @cached_property
    def one_metric(self) -> Problem:
        """The problem with the chosen metric alone, for analyses that know but one."""
        return Problem(space=self.problem.space, metrics=(self.metric,))

    @property
    def scores(self) -> dict[str, float]:
        """Importance of the parameters by PED-ANOVA, the greatest first."""
        return self._once("scores", lambda: importance(self.problem, self.trials, metric=self.metric.name))

    @property
    def surface(self) -> Surface:
        """The forest behind responses and variances."""
        return self._once("surface", lambda: surface(self.problem, self.trials, metric=self.metric.name))

    @property
    def fanova(self) -> Fanova:
        """Importance by explained variance."""
        return self._once("fanova", lambda: shares(self.surface))

    def _once(self, name: str, make: Callable[[], _T]) -> _T:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            found: _T = self._kept[name]
            return found

    def leading(self, count: int) -> list[str]:
        """Return the parameters asked for, or the `count` that explain most (in the space's order, where that can't be told)."""
        if self.params:
            return list(self.params)
        try:
            named = [name for name in self.fanova.main if name in self.surface.cells.names]
        except StudyError:
            named = [name for name, p in self.problem.space.items() if p.size != 1]
        return named[:count]

    def is_log(self, name: str) -> bool:
        """Return whether an axis of this parameter is logarithmic."""
        parameter = self.problem.space[name]
        return isinstance(parameter, (Float, Int)) and parameter.log and parameter.low > 0

    def is_choice(self, name: str) -> bool:
        """Return whether it is a choice."""
        return isinstance(self.problem.space[name], Choice)


def _drawable(trial: Trial) -> Trial:
    """Return the trial with infinity for numbers that are too large to be drawn, or to be squared."""
    if not any(_is_beyond(v) for row in (trial.values or (), *(r.values for r in trial.reports)) for v in row):
        return trial
    reports = tuple(replace(r, values=tuple(map(_within, r.values))) for r in trial.reports)
    return replace(trial, reports=reports, values=None if trial.values is None else tuple(map(_within, trial.values)))


def _is_beyond(value: float) -> bool:
    return _LARGEST < abs(value) < math.inf


def _within(value: float) -> float:
    return math.copysign(math.inf, value) if _is_beyond(value) else value
