"""What the routes around sweeps give: figures, sweeps side by side, drafts and retries, as the OpenAPI document describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whet.server.rest import Number
from whet.server.run_views import RowView
from whet.server.views import State

__all__ = [
    "BeginningView",
    "ContenderView",
    "ContestView",
    "ExtentView",
    "Fault",
    "FigureData",
    "FigureView",
    "MethodView",
    "MethodsView",
    "MomentView",
    "PreviewView",
    "Queued",
    "Retries",
    "SharedView",
    "Skipped",
    "TeamView",
    "TemplateView",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureView:
    """A figure's name and what it shows."""

    name: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureData:
    """A figure of a sweep. What `data` holds depends on the figure: it is what `whet plot --json` prints."""

    sweep: str
    figure: str
    metric: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContenderView:
    """A sweep among others.

    `curve` is the best so far, as (trials begun, value), each time it improved; `num_needed` is after how many it was as good as the
    target; `approach` says how it searches.
    """

    sweep: str
    name: str
    project: str
    state: State
    method: str
    approach: str
    cap: int | None
    created: float
    num_trials: int
    num_complete: int
    num_stopped: int
    num_failed: int
    best: Number | None
    best_number: int | None
    best_run: str | None
    curve: list[tuple[int, Number]]
    num_needed: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentView:
    """The median of the bests so far of a team's sweeps, and their quartiles."""

    num_trials: int
    median: Number
    low: Number
    high: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamView:
    """Several sweeps that search alike: from where all have a result to where the shortest ends."""

    name: str
    sweeps: list[str]
    curve: list[MomentView]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtentView:
    """What a parameter may be: numbers from `low` to `high`, or `options`."""

    low: Number | None
    high: Number | None
    log: bool
    is_whole: bool
    options: list[Any] | None
    when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedView:
    """A parameter in each of the spaces (null: not there), what it may be in all that have it, and how much of all that is."""

    name: str
    extents: list[ExtentView | None]
    common: ExtentView | None
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestView:
    """Sweeps against each other.

    `target` is the least good of their bests, which all have reached that have one. `teams` are those of several sweeps that search alike;
    `configs` the best configurations side by side, and `shared` the spaces, both in the order of the sweeps. `metrics` are those that
    all sweeps have, `missing` what was asked for and is not there.
    """

    metric: str
    goal: str
    target: Number | None
    metrics: list[str]
    sweeps: list[ContenderView]
    teams: list[TeamView]
    configs: list[RowView]
    shared: list[SharedView]
    missing: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """Trial `number` was queued again, as the new trial `as_number`."""

    number: int
    as_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Trial `number` can't be run again, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """What was `queued` now, what is `waiting` since an earlier call, and the sweep's state and cap after it."""

    queued: list[Queued]
    waiting: list[Queued]
    skipped: list[Skipped]
    state: State
    cap: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateView:
    """A sweep file to begin with: `text` is its YAML, `config` what that says."""

    name: str
    about: str
    text: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, and what to do; `line` (from 1, of a text) and `path` (dotted) say where."""

    problem: str
    fix: str
    line: int | None
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewView:
    """What a sweep would be.

    With `errors` it can't be made. `config` is it in the one form in which it is stored; `num_trials` how many there would be (null: it does not
    end by itself), `grid_size` all configurations of a grid (null: no grid, or too intricate to be counted), `samples` its first
    configurations, as its method makes them before there are results.
    """

    errors: list[Fault]
    notices: list[str]
    config: dict[str, Any] | None
    grid_size: int | None
    num_trials: int | None
    samples: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginningView:
    """A sweep file to begin with: its YAML, and sentences about what in it was guessed and what was left out."""

    text: str
    notices: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodView:
    """A method or a stopper: when to take it (`about`), its knobs, and whether results matter to it."""

    name: str
    about: str
    knobs: list[str]
    learns: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodsView:
    """The methods (`method`) and stoppers (`early_terminate`) of sweep files that are installed here."""

    methods: list[MethodView]
    stoppers: list[MethodView]
