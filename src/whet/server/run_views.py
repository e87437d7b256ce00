"""What the routes of runs take and give: the shapes that the OpenAPI document describes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from whet.server.rest import Number
from whet.store.base import Page, Run, Sweep, TableRow
from whet.store.describe import State, state_word, values_of

__all__ = [
    "ArtifactView",
    "ComparisonView",
    "Deleted",
    "Edit",
    "End",
    "GroupView",
    "GroupsView",
    "Ids",
    "Lines",
    "LogPiece",
    "Names",
    "PageView",
    "ProjectView",
    "Query",
    "Received",
    "RowView",
    "RunLine",
    "RunView",
    "StatView",
    "Tagged",
    "Tags",
    "page_view",
    "run_view",
]

Id = Annotated[str, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Edit(_Body):
    """What is to change of a run; what is left out, or null, stays."""

    name: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    tags: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=1000)] | None = None
    notes: str | None = None
    group: Annotated[str, Field(max_length=500)] | None = None


class End(_Body):
    """How a run ended."""

    state: Literal["finished", "failed", "canceled"] = "finished"
    reason: str = ""


class Ids(_Body):
    """Runs, by their ids."""

    ids: Annotated[list[Id], Field(max_length=10_000)]


class Tags(Ids):
    """Which tags these runs get, and which they lose."""

    add: Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=100)] = []
    remove: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=100)] = []


class Query(_Body):
    """Which curves: of these runs, those of these names (null: all), with at most so many points."""

    ids: Annotated[list[Id], Field(max_length=1000)]
    names: list[str] | None = None
    max_points: Annotated[int, Field(ge=4, le=100_000)] = 500
    x: Literal["step", "time"] = "step"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectView:
    """A project and how many runs it has."""

    name: str
    num_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunHead:
    id: str
    project: str
    sweep: str | None
    number: int | None
    name: str
    state: State
    best: bool
    reason: str
    group: str
    tags: list[str]
    created: float
    started: float | None
    ended: float | None
    beat: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine(_RunHead):
    """A run in the run table. `values` are a trial's results; `cells` are the columns asked for, without those that it has not got."""

    values: list[Number] | None
    cells: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """A page of the run table: how many match in all, and the cursor of the next page (null: this is the last)."""

    runs: list[RunLine]
    total: int
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that columns can have under metrics, config, summary and attrs."""

    metrics: list[str]
    config: list[str]
    summary: list[str]
    attrs: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatView:
    """What a metric did."""

    last: Number
    last_step: int
    min: Number
    min_step: int
    max: Number
    max_step: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView(_RunHead):
    """A run, whole. `result` is a trial's result by metric; `meta` is git, command line, environment, host."""

    note: str
    attempt: int
    parent: str | None
    notes: str
    folder: str
    result: dict[str, Number] | None
    params: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, StatView]
    summary: dict[str, Any]
    attrs: dict[str, Any]
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A curve to be drawn: x ascending."""

    x: list[float]
    y: list[Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPiece:
    """Bytes [start, end) of the run's output, as text; `size` is how long all of it is now. Go on with offset=end."""

    stream: Literal["stdout", "stderr"]
    text: str
    start: int
    end: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactView:
    """A file that a run keeps; `path` is where it is, on the machine where it was made.

    `here`: its content is at the server, too; if not, so many bytes of it were `received`.
    """

    name: str
    kind: str
    path: str
    size: int
    sha256: str
    here: bool
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """How many bytes of a file have come; all of them: it is kept."""

    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """A key of the runs' configs or results: one value a run, null where it has none. `best` are the places of the best, where it is known which way is better."""

    key: str
    values: list[Any]
    differs: bool
    best: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonView:
    """Runs side by side. `curves` are the metrics that some of them have more than one value of: results first, then those of which it is known which way is better, the machine's last."""

    runs: list[str]
    names: list[str]
    config: list[RowView]
    summary: list[RowView]
    curves: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """Runs with the same in a column (null: they have nothing there), how many, and what those with a number in another column have."""

    value: Number | str | None
    num_runs: int
    num_values: int
    least: float | None
    greatest: float | None
    mean: float | None
    deviation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupsView:
    """The groups with the most runs first, and how many there are in all; `goal`: which way the column summed up is better, if that is known."""

    groups: list[GroupView]
    total: int
    goal: Literal["minimize", "maximize"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged:
    """How many runs changed."""

    num_changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """How many were deleted."""

    num_deleted: int


def _line(row: TableRow) -> RunLine:
    same: Any = {field.name: getattr(row, field.name) for field in fields(RunLine) if field.name != "state"}
    return RunLine(**same, state=state_word(row))


def page_view(page: Page) -> PageView:
    """Return a page as it is sent."""
    return PageView(runs=[_line(row) for row in page.rows], total=page.total, cursor=page.cursor)


def run_view(run: Run, sweep: Sweep | None) -> RunView:
    """Return a run as it is sent."""
    same: Any = {
        field.name: getattr(run, field.name)
        for field in fields(RunView)
        if field.name not in ("state", "result", "metrics")
    }
    same |= {"metrics": run.stats, "result": values_of(run, sweep)}
    return RunView(**same, state=state_word(run))
