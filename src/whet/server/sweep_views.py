"""What the routes around sweeps give: figures, sweeps side by side, drafts and retries, as the OpenAPI document describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from whet.server.rest import Number
from whet.server.views import State

__all__ = [
    "BeginningView",
    "ContenderView",
    "ContestView",
    "Fault",
    "FigureData",
    "FigureView",
    "MethodView",
    "MethodsView",
    "PreviewView",
    "Queued",
    "Retries",
    "Skipped",
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
    """A sweep among others. `curve` is the best so far, as (trials begun, value), each time it improved; `num_needed` is after how many it was as good as the target."""

    sweep: str
    name: str
    method: str
    num_trials: int
    num_complete: int
    num_stopped: int
    num_failed: int
    best: Number | None
    best_number: int | None
    curve: list[tuple[int, Number]]
    num_needed: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestView:
    """Sweeps against each other. `target` is the least good of their bests, which all have reached that have one."""

    metric: str
    goal: str
    target: Number | None
    sweeps: list[ContenderView]


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
