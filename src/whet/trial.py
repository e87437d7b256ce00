"""The search's view of the world: goals, suggestions, reports, trials. Frozen values and enums, nothing that acts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from whet.errors import StudyError
from whet.limit import Limit
from whet.space import Parameter, Space

__all__ = [
    "Earlier",
    "FixedTrial",
    "FrozenTrial",
    "Goal",
    "Limit",
    "Metric",
    "Past",
    "Phase",
    "Problem",
    "Report",
    "Suggestion",
    "Summary",
    "Trial",
    "TrialState",
    "create_trial",
]


class Goal(Enum):
    """Which way is better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    def loss(self, value: float) -> float:
        """Return `value` so that smaller is better."""
        return value if self is Goal.MINIMIZE else -value


class Summary(Enum):
    """Which of a run's logged values of a metric counts as its result."""

    LAST = "last"
    BEST = "best"


class Phase(Enum):
    """The state of a run, and so of a trial."""

    PENDING = "pending"  # waits to be handed out: enqueued, or taken back from a lost worker
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self in (Phase.FINISHED, Phase.FAILED, Phase.CANCELED)


class TrialState(Enum):
    """Optuna's names for a trial's state, for code written against it; inside Whet there is only `Phase`."""

    RUNNING = 0
    COMPLETE = 1
    PRUNED = 2
    FAIL = 3
    WAITING = 4

    def is_finished(self) -> bool:
        """Return whether the trial is over."""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is optimised: a name, which way is better, an optional target at which the sweep may end."""

    name: str
    goal: Goal = Goal.MINIMIZE
    target: float | None = None
    summary: Summary = Summary.LAST


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A trial of an earlier sweep.

    Args:
        number: It had there.
        params: Its configuration there; a later space may know other parameters and other ranges.
        loss: Its result, so that smaller is better by that sweep's own goal; None: it failed.
    """

    number: int
    params: Mapping[str, object]
    loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier sweep that a new one learns from. Its losses may be of another metric: they are compared with each other only.

    Args:
        name: As shown to people.
        trials: Of those that it had, the best first.
    """

    name: str
    trials: tuple[Past, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a searcher has to solve: a space, one or more metrics, the limits that a trial must keep to be the best, and earlier sweeps to learn from."""

    space: Space
    metrics: tuple[Metric, ...] = (Metric(name="value"),)
    limits: tuple[Limit, ...] = ()
    earlier: tuple[Earlier, ...] = field(default=(), hash=False)

    @property
    def metric(self) -> Metric:
        """The only metric.

        Raises:
            StudyError: there are several.
        """
        if len(self.metrics) != 1:
            raise StudyError(
                f"this needs one metric, not {len(self.metrics)}", "use a multi-objective method, or one metric"
            )
        return self.metrics[0]

    def losses(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return `values` so that smaller is better in each."""
        return tuple(m.goal.loss(v) for m, v in zip(self.metrics, values, strict=True))

    def measured(self, name: str, trial: Trial) -> float | None:
        """Return what `trial` says under `name`: a metric's result, an attribute, or how many ``seconds`` it took; None where it is no number.

        Limits and budgets (``terminate: {cost: …}``) both find their values here.
        """
        names = [metric.name for metric in self.metrics]
        value: object = trial.attrs.get(name)
        if name in names and trial.values is not None:
            value = trial.values[names.index(name)]
        elif name == "seconds" and name not in trial.attrs:
            value = trial.seconds
        fine = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
        try:
            return float(value) if fine else None  # type: ignore[arg-type]
        except OverflowError:  # an integer that no float can hold
            return None

    def excesses(self, trial: Trial) -> tuple[float, ...]:
        """Return how far `trial` is off each limit: 0 where it keeps it, infinite where it did not report the value."""
        return tuple(limit.excess(self.measured(limit.name, trial)) for limit in self.limits)

    def scales(self, trials: Iterable[Trial]) -> tuple[float, ...]:
        """Return for each limit what an excess is measured in: the interquartile range of the value over `trials`, or else its bound, or 1."""
        trials = list(trials)
        found = []
        for limit in self.limits:
            values = sorted(v for t in trials if (v := self.measured(limit.name, t)) is not None and math.isfinite(v))
            spread = values[(3 * len(values)) // 4] - values[len(values) // 4] if values else 0.0
            usual = abs(limit.max if limit.max is not None else limit.min or 0.0) or 1.0
            found.append(spread if 0.0 < spread < math.inf else usual)
        return tuple(found)

    def off(self, trial: Trial, scales: Sequence[float]) -> float:
        """Return how far `trial` is off its limits in all, each excess in its own unit (see `scales`); 0 where it keeps them."""
        return sum(excess / scale for excess, scale in zip(self.excesses(trial), scales, strict=True))

    def keeps(self, trial: Trial) -> bool:
        """Return whether `trial` keeps all limits: what does not can't be the best."""
        return not self.limits or not any(self.excesses(trial))

    def counts(self, trial: Trial) -> bool:
        """Return whether `trial` may be the best, or on the front: it is complete and keeps all limits."""
        return trial.complete and self.keeps(trial)

    def broken(self, trial: Trial) -> str:
        """Return which limits `trial` does not keep, in words; empty where it keeps all."""
        found = []
        for limit, excess in zip(self.limits, self.excesses(trial), strict=True):
            value = self.measured(limit.name, trial)
            if value is None:
                found.append(f"{limit.name} was not reported")
            elif excess:
                is_above = limit.max is not None and value > limit.max
                bound = limit.max if is_above else limit.min
                found.append(f"{limit.name} {value:.6g} {'above' if is_above else 'below'} {bound:.6g}")
        return ", ".join(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What a searcher or a stopper proposes to run.

    Args:
        params: The configuration, legal in the space.
        note: Why, in words for the user; may be empty.
        parent: The number of the trial that this one goes on from (its checkpoint), for resumed and exploited trials.
    """

    params: Mapping[str, object]
    note: str = ""
    parent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The metrics at one step; `values` in the order of the problem's metrics, NaN for one not reported."""

    step: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial.

    Args:
        number: 0, 1, 2 … within its sweep, given once.
        params: The configuration (active parameters only).
        phase: Its state.
        values: The result, one value a metric, once finished. Of a trial stopped early, its last report (may be None).
        reports: In the order of steps, at most one a step.
        stopped: A stopper ended it early; it is finished, but not complete.
        reason: Why it stopped, failed or was canceled, in words.
        note: The suggestion's.
        attempt: How often it was handed out again: after its worker was lost or interrupted, or to go on after a pause.
        parent: The suggestion's.
        attrs: The user's own attributes.
        started, ended: Seconds since the epoch, or None. Algorithms may use the difference (a cost), never the clock.
    """

    number: int
    params: Mapping[str, object]
    phase: Phase = Phase.RUNNING
    values: tuple[float, ...] | None = None
    reports: tuple[Report, ...] = ()
    stopped: bool = False
    reason: str = ""
    note: str = ""
    attempt: int = 0
    parent: int | None = None
    attrs: Mapping[str, object] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None

    @property
    def complete(self) -> bool:
        """Whether it ran to its end and has a result that is a number in every metric."""
        if self.phase is not Phase.FINISHED or self.stopped or self.values is None:
            return False
        return not any(math.isnan(v) for v in self.values)

    # Optuna's names, for code written against its FrozenTrial.

    @property
    def value(self) -> float | None:
        """The result of a trial with one metric.

        Raises:
            StudyError: there are several metrics.
        """
        if self.values is not None and len(self.values) > 1:
            raise StudyError(f"trial {self.number} has {len(self.values)} values", "use trial.values")
        return self.values[0] if self.values else None

    @property
    def state(self) -> TrialState:
        """The phase by Optuna's name."""
        if self.phase is Phase.FINISHED:
            return TrialState.PRUNED if self.stopped else TrialState.COMPLETE
        if self.phase.is_over:
            return TrialState.FAIL
        return TrialState.WAITING if self.phase is Phase.PENDING else TrialState.RUNNING

    @property
    def user_attrs(self) -> Mapping[str, object]:
        """The same as `attrs`."""
        return self.attrs

    @property
    def intermediate_values(self) -> dict[int, float]:
        """The first metric's reports by step."""
        return {r.step: r.values[0] for r in self.reports}

    @property
    def datetime_start(self) -> datetime | None:
        """When it started, in local time."""
        return None if self.started is None else datetime.fromtimestamp(self.started)

    @property
    def datetime_complete(self) -> datetime | None:
        """When it ended, in local time."""
        return None if self.ended is None else datetime.fromtimestamp(self.ended)

    @property
    def duration(self) -> timedelta | None:
        """How long it ran."""
        return None if self.seconds is None else timedelta(seconds=self.seconds)

    @property
    def seconds(self) -> float | None:
        """How long it ran, or None."""
        return None if self.started is None or self.ended is None else self.ended - self.started

    # An objective may be called with a trial that is over, to have its configuration once more.

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return the value that the trial has."""
        return float(self._given(name))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return the value that the trial has."""
        return int(self._given(name))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the value that the trial has."""
        return self._given(name)

    def _given(self, name: str) -> Any:
        if name not in self.params:
            raise StudyError(
                f"trial {self.number} has no parameter {name!r}", f"it has {', '.join(self.params) or 'none'}"
            )
        return self.params[name]

    def report(self, value: float, step: int) -> None:
        """Do nothing: nobody listens any more."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Do nothing: nobody listens any more."""

    def should_prune(self) -> bool:
        """Return False."""
        return False

    def set_user_attr(self, key: str, value: object) -> None:
        """Do nothing: the trial is kept as it was."""

    @property
    def last_step(self) -> int | None:
        """The step of the last report."""
        return self.reports[-1].step if self.reports else None


FrozenTrial = Trial
"""Optuna's name."""


def FixedTrial(params: Mapping[str, object], number: int = 0) -> Trial:
    """Return a trial that suggests `params`, to call an objective with (Optuna's name)."""
    return Trial(number=number, params=dict(params))


def create_trial(*, state: TrialState | None = None, value: float | None = None, values: Sequence[float] | None = None,
                 params: Mapping[str, Any] | None = None, distributions: Mapping[str, Parameter] | None = None,
                 user_attrs: Mapping[str, Any] | None = None, system_attrs: Mapping[str, Any] | None = None,
                 intermediate_values: Mapping[int, float] | None = None) -> Trial:  # fmt: skip
    """Return a finished trial for `Study.add_trial` (Optuna's arguments; system_attrs are left out).

    Raises:
        StudyError: a complete trial without a value, or a state that is not over.
        SpaceError: a parameter does not fit its distribution.
    """
    if value is not None and values is not None:
        raise StudyError("both value and values are given", "give one of them")
    state = state or TrialState.COMPLETE
    results = values if value is None else [value]
    if state is TrialState.COMPLETE and results is None:
        raise StudyError("a complete trial has no value", "give value=…")
    if not state.is_finished():
        raise StudyError(
            f"state={state.name} is not over", "give COMPLETE, PRUNED or FAIL; use enqueue_trial for one to run"
        )
    known = distributions or {}
    return Trial(
        number=0,
        params={n: known[n].clean(n, v) if n in known else v for n, v in (params or {}).items()},
        phase=Phase.FAILED if state is TrialState.FAIL else Phase.FINISHED,
        stopped=state is TrialState.PRUNED,
        values=None if results is None else tuple(float(v) for v in results),
        attrs=dict(user_attrs or {}),
        reports=tuple(Report(step=s, values=(float(v),)) for s, v in sorted((intermediate_values or {}).items())),
    )
