"""What the routes of sweeps take and give: the shapes that the OpenAPI document describes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from whet.server.rest import Number, check_depth
from whet.study.assignment import Assignment

__all__ = [
    "Again",
    "Best",
    "Changed",
    "Counts",
    "Draft",
    "Edit",
    "Enqueue",
    "Judge",
    "Judgement",
    "Marks",
    "NewSweep",
    "Told",
    "Report",
    "Settle",
    "Settled",
    "State",
    "Stats",
    "Suggest",
    "Suggested",
    "SweepFull",
    "SweepLine",
    "SweepRow",
    "Tell",
    "TrialView",
]

State = Literal["pending", "running", "paused", "finished", "canceled"]
Phase = Literal["pending", "running", "paused", "finished", "failed", "canceled"]
TrialNumber = Annotated[int, Field(ge=0, le=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, given: Any) -> Any:
        check_depth(given)
        return given


class Draft(_Body):
    """A sweep that is not there yet: a sweep file's mapping, or its text; or a template's name, with the keys that are to be changed in it."""

    config: dict[str, Any] | str | None = None
    template: str | None = None
    changes: dict[str, Any] | None = None


class NewSweep(Draft):
    """A sweep to be made."""

    project: str | None = None


class Again(_Body):
    """Which trials to run again: any that are over, by number; null: all that failed and were not run again."""

    numbers: Annotated[list[TrialNumber], Field(max_length=100_000)] | None = None


class Edit(_Body):
    """What is to change, if the sweep still has this version; what is left out stays.

    `parameters` are parts of parameters by their (dotted) names: ``{"lr": {"max": 0.5}}``; all else of the configuration stays as it is.
    """

    version: Annotated[int, Field(ge=0, le=2**53)]
    cap: Annotated[int, Field(ge=1, le=2**53)] | None = None
    config: dict[str, Any] | str | None = None
    parameters: dict[str, dict[str, Any]] | None = None


class Suggest(_Body):
    """A worker that asks for a trial.

    `owner` names it: its reports and signs of life go by that name. `mine` are the trials that it started, if it is to start no other.
    It waits up to `wait_s` seconds for one.
    """

    owner: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    mine: list[int] | None = None
    wait_s: Annotated[float, Field(ge=0, le=30)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """The trial that is handed out; without one, why, and whether there will never be one again."""

    trial: Assignment | None
    reason: str
    final: bool
    state: State


class Judge(_Body):
    """A trial to be judged after each of its reports but the first `num_judged` (without it by the last alone), and those up to step `after`."""

    number: TrialNumber
    num_judged: Annotated[int, Field(ge=0)] | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """`verdict` is what is to happen, null while it goes on, and `reason` says why; `num_judged` reports were looked at."""

    num_judged: int
    verdict: Literal["pause", "stop"] | None
    reason: str


class Settle(_Body):
    """Whether the method has nothing left to try, and whether it may be asked if there is little to gain, which takes as long as a search."""

    exhausted: bool = False
    may_search: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The state of the sweep, and why it is over, if it is."""

    state: State
    reason: str


class Report(_Body):
    """Metrics of a running trial at a step, by name."""

    number: TrialNumber
    attempt: Annotated[int, Field(ge=0, le=2**53)] = 0
    step: Annotated[int, Field(ge=-(2**53), le=2**53)]
    values: dict[str, float]


class Tell(_Body):
    """How a trial ended: its result by metric, or a failure with its reason."""

    number: TrialNumber
    attempt: Annotated[int, Field(ge=0, le=2**53)] = 0
    values: dict[str, float] | None = None
    failed: bool = False
    stopped: bool = False
    reason: str = ""
    attrs: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The phase that the trial has now, and why."""

    phase: Phase
    reason: str


class Enqueue(_Body):
    """A configuration to be tried next; what it leaves out is drawn."""

    params: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepLine:
    """A sweep in a list. Times are seconds since the epoch."""

    id: str
    project: str
    name: str
    state: State
    method: str
    metrics: tuple[Mapping[str, Any], ...]
    cap: int | None
    num_trials: int
    best_run: str | None
    best_value: Number | None
    created: float
    updated: float
    version: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow(SweepLine):
    """A sweep in a list of them. `spark` is how its best came about, as (number of the trial, value) each time it improved, 64 points at most; `spark_of` says of what.

    That is the metric, of trials that keep the limits; with two metrics what their front covers (hypervolume), with more the first of them.
    """

    spark: tuple[tuple[int, Number], ...]
    spark_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFull(SweepLine):
    """A sweep with its configuration, as in a sweep file, and why it ended."""

    config: Mapping[str, Any]
    driver: str | None
    end_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Trials that are no results: of the first metric (number, value at the end, in six digits) of those `stopped` early, where it is finite; the numbers of the `failed`."""

    stopped: tuple[tuple[int, float], ...]
    failed: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Trials by phase; `stopped` ones are finished, too."""

    pending: int
    running: int
    paused: int
    finished: int
    stopped: int
    failed: int
    canceled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best trial, or one of the front."""

    number: int
    values: tuple[Number, ...]
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A sweep at a glance. `importance` is null where there are too few trials; `note` says so."""

    counts: Counts
    best: tuple[Best, ...]
    importance: Mapping[str, float] | None
    note: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """A trial with its reports as (step, values)."""

    number: int
    phase: Phase
    params: Mapping[str, Any]
    values: tuple[Number, ...] | None
    stopped: bool
    reason: str
    note: str
    attempt: int
    parent: int | None
    attrs: Mapping[str, Any]
    started: float | None
    ended: float | None
    reports: tuple[tuple[int, tuple[Number, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What changed in a sweep; `trials` come without their reports, and `reports` are (number, attempt, step, values).

    `revision` is what is known now; with `more`, the rest of what leads to the next one follows in further events.
    """

    revision: int
    version: int
    state: State
    cap: int | None
    trials: tuple[TrialView, ...]
    reports: tuple[tuple[int, int, int, tuple[Number, ...]], ...]
    more: bool
