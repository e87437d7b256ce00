"""The values of the store: frozen, and the same whatever keeps them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from whet.trial import Goal, Phase, Report, Trial

__all__ = [
    "MOVES",
    "Artifact",
    "Batch",
    "Changes",
    "Curve",
    "Group",
    "GroupQuery",
    "Groups",
    "Lease",
    "NewRun",
    "Line",
    "Origin",
    "Page",
    "Row",
    "Run",
    "RunQuery",
    "Glance",
    "Stat",
    "Sweep",
    "SweepState",
    "TableQuery",
    "TableRow",
]


class SweepState(Enum):
    """The state of a sweep."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELED = "canceled"


MOVES: Mapping[SweepState, frozenset[SweepState]] = MappingProxyType(
    {
        SweepState.PENDING: frozenset({SweepState.RUNNING, SweepState.CANCELED}),
        SweepState.RUNNING: frozenset({SweepState.PAUSED, SweepState.FINISHED, SweepState.CANCELED}),
        SweepState.PAUSED: frozenset({SweepState.RUNNING, SweepState.FINISHED, SweepState.CANCELED}),
        SweepState.FINISHED: frozenset({SweepState.RUNNING}),  # reopened with more to do
        SweepState.CANCELED: frozenset(),
    }
)
"""The legal transitions of a sweep; staying where it is is always legal and changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A stored search. `config` is `whet.config.to_mapping`'s form; `version` counts its changes.

    `best_run` and `best_value` are kept up to date for sweeps with one goal; `driver` is the owner of its coordinator.
    """

    id: str
    project: str
    name: str
    config: Mapping[str, object]
    goals: tuple[Goal, ...]
    state: SweepState
    cap: int | None
    next_number: int
    revision: int
    version: int
    best_run: str | None
    best_value: float | None
    driver: str | None
    created: float
    updated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed in a sweep since a revision.

    `trials` come without their reports; `reports` are (trial number, attempt, report), in order of revision (in pages by number).
    `after`: the last trial of a page, behind which there are more; None: that was all.
    """

    revision: int
    version: int
    state: SweepState
    cap: int | None
    trials: tuple[Trial, ...]
    reports: tuple[tuple[int, int, Report], ...]
    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a glance at a sweep shows, without its trials. `is_waiting`: a trial waits to be handed out, or is paused; `best`: number and value of the best one."""

    revision: int
    version: int
    state: SweepState
    cap: int | None
    next_number: int
    is_waiting: bool
    best: tuple[int, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who works on a running trial: `owner` is text of `whet.store.owner`, `beat` its last sign of life.

    `num_lost` tells how many workers the trial has lost before, and `asked` is the key of the question that it was handed out for.
    """

    run_id: str
    number: int
    attempt: int
    owner: str
    beat: float
    num_lost: int = 0
    asked: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a trial came from and how it went on, in the sweep's revisions: what a replay needs besides the trial.

    Args:
        number: The trial's.
        seen: The revision that its suggestion was made from; None: it was enqueued or added.
        version: The sweep's version that it was made by, or None where that is not known.
        over: The revision at which it was over, or None.
        suggested: Its params at first, where they were replaced since, at revision `settled` (define-by-run).
        reported: (step, revision) of the reports it has.
    """

    number: int
    seen: int | None
    version: int | None
    over: int | None
    suggested: Mapping[str, object] | None
    settled: int | None
    reported: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be kept, outside any sweep (a sweep's are made by `Trials.add`).

    `started` is when it began, for a run that another tool wrote; by default now. When it was created is the store's to say.
    """

    id: str
    project: str
    name: str
    owner: str
    config: Mapping[str, object] = field(default_factory=dict)
    group: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""
    folder: str = ""
    parent: str | None = None
    started: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What a metric did: last, least and greatest value (NaN ones don't count for these two), their steps, and how many."""

    last: float
    last_step: int
    min: float
    min_step: int
    max: float
    max_step: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution as the user sees it. `params` are a trial's; `config` is all that the code recorded (params among it).

    `stats` come from the logged metrics, `summary` is what the user set himself. `meta` is git, command line, environment, host.
    """

    id: str
    project: str
    sweep: str | None
    number: int | None
    name: str
    phase: Phase
    params: Mapping[str, object]
    config: Mapping[str, object]
    values: tuple[float, ...] | None
    stopped: bool
    best: bool
    reason: str
    note: str
    attempt: int
    parent: str | None
    owner: str
    group: str
    tags: tuple[str, ...]
    notes: str
    folder: str
    attrs: Mapping[str, object]
    stats: Mapping[str, Stat]
    summary: Mapping[str, object]
    meta: Mapping[str, object]
    created: float
    started: float | None
    ended: float | None
    beat: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One call of `log`: metrics (finite or not) at a step and a time."""

    step: int
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file that a run keeps: `path` is where it is now, `kind` free text (model, file, …), `sha256` in hex."""

    name: str
    kind: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A piece of a run's story. Config, summary, meta and attrs are merged key by key over what is there."""

    rows: Sequence[Row] = ()
    config: Mapping[str, object] = field(default_factory=dict)
    summary: Mapping[str, object] = field(default_factory=dict)
    meta: Mapping[str, object] = field(default_factory=dict)
    artifacts: Sequence[Artifact] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A metric over a run, three columns of equal length, in the order of logging."""

    steps: list[int]
    values: list[float]
    times: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs: those that match every field given; no `phases` means any. `ids`: of these only, which may be none."""

    project: str | None = None
    sweep: str | None = None
    phases: Collection[Phase] = field(default_factory=tuple)
    tag: str | None = None
    group: str | None = None
    limit: int | None = None
    newest_first: bool = True
    ids: Collection[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A curve to be drawn: `x` (steps, or seconds since the epoch) in ascending order, and `y`."""

    x: list[float]
    y: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableQuery:
    """Which part of the run table.

    Args:
        filter: In the language of `whet.filters`; "" is every run.
        sort: A column (`whet.filters.column`), with ``-`` before it descending; what is missing or NaN comes last either way.
        project: Only of this one.
        sweep: Only of the sweep with this id.
        projects: Only of these, whatever the others say; None is all.
        limit: Rows of a page, 1 to 1000.
        cursor: Where the page before ended (`Page.cursor`), of the same filter and sort.
        offset: How many rows are passed over, for a look at any place; not together with a cursor, which misses nothing while runs come.
        columns: Columns to return besides those that every row has.
    """

    filter: str = ""
    sort: str = "-created"
    project: str | None = None
    sweep: str | None = None
    limit: int = 50
    cursor: str | None = None
    offset: int = 0
    columns: tuple[str, ...] = ()
    projects: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """A run in the run table. `cells` are the columns asked for by their names, without those that the run has not got."""

    id: str
    project: str
    sweep: str | None
    number: int | None
    name: str
    phase: Phase
    stopped: bool
    best: bool
    reason: str
    owner: str
    group: str
    tags: tuple[str, ...]
    values: tuple[float, ...] | None
    created: float
    started: float | None
    ended: float | None
    beat: float | None
    cells: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows of the run table, how many runs match in all, and where to go on (None: that was the end)."""

    rows: tuple[TableRow, ...]
    total: int
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupQuery:
    """Which runs, and by what they are put together.

    Args:
        by: A column (`whet.filters.column`), or ``tags``: a run with several is in a group for each.
        of: A column of numbers that is summed up for each group, or None.
        filter, project, sweep, projects: As in `TableQuery`.
        limit: Groups at most, 1 to 1000.
    """

    by: str
    of: str | None = None
    filter: str = ""
    project: str | None = None
    sweep: str | None = None
    projects: tuple[str, ...] | None = None
    limit: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs that have the same in a column.

    Args:
        value: What they have, a number or a text; None: neither.
        num_runs: How many they are.
        num_values: How many of them have a number in the column that is summed up. Those beyond ±1e70 are no numbers here.
        least, greatest, mean: Of these; None where there is none.
        deviation: Their standard deviation, with n - 1; None where there are fewer than two.
    """

    value: object
    num_runs: int
    num_values: int
    least: float | None
    greatest: float | None
    mean: float | None
    deviation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The groups with the most runs first, of equals the one with the least value (numbers, then texts, then nothing); and how many there are in all."""

    groups: tuple[Group, ...]
    total: int
