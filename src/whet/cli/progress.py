"""What is seen while trials run: a live display on a terminal, a line an event in a pipe, a JSON line an event for programs."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, final

from whet.analysis.best import why_none
from whet.cli import format as shown
from whet.cli import output
from whet.errors import StoreUnavailable
from whet.trial import Metric, Phase, Problem, Trial
from whet.tune.loop import Event, EventKind

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from whet.study.engine import Engine

__all__ = ["JsonLines", "Progress", "follow", "headline"]

_REDRAW_S = 0.25
_ROWS = 8  # running trials shown at once
_EVENTS = 4
_WITH_RESULT = frozenset({EventKind.FINISHED, EventKind.STOPPED})


def follow(
    metrics: Sequence[Metric], *, total: int | None = None, as_json: bool = False, live: bool = True
) -> Progress | JsonLines:
    """Return what shows the progress of `whet.tune.loop.drive`: its `tick` is for `on_tick`, its `event` for `on_event`."""
    return JsonLines(metrics) if as_json else Progress(metrics, total=total, live=live)


@final
class Progress:
    """The progress of a sweep, for people. A context manager.

    Args:
        metrics: What is optimised.
        total: How many trials the sweep will have had in the end; None takes its run cap.
        console: Rich's console; default stdout. It decides between the live display and plain lines.
        live: Whether it may be the live display at all.

    Example:
        >>> with Progress(metrics, total=40) as progress:  # doctest: +SKIP
        ...     drive(store, sweep, executor, on_tick=progress.tick, on_event=progress.event)
    """

    def __init__(
        self, metrics: Sequence[Metric], *, total: int | None = None, console: Console | None = None, live: bool = True
    ) -> None:
        self._metrics = tuple(metrics)
        self._total = total
        self._console = console if console is not None else output.console()
        self._may_live = live
        self._live: Live | None = None
        self._engine: Engine | None = None
        self._events: deque[tuple[str, str]] = deque(maxlen=_EVENTS)
        self._began = time.monotonic()
        self._over_before: int | None = None
        self._drawn = 0.0

    def __enter__(self) -> Self:
        if self._may_live and self._console.is_terminal and not self._console.is_dumb_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._engine is not None:
            with contextlib.suppress(StoreUnavailable):  # then that is why it ends
                self._engine.sync()
            for line in self._headline(ended=True):
                self._console.print(line, soft_wrap=True)

    def tick(self, engine: Engine) -> None:
        """Show how `engine`'s sweep stands; cheap enough to be called at every turn of the loop."""
        self._engine = engine
        if self._over_before is None:
            self._over_before = sum(t.phase.is_over for t in engine.in_order())
        now = time.monotonic()
        if self._live is not None and now - self._drawn >= _REDRAW_S:
            self._drawn = now
            self._live.update(self._picture(), refresh=True)

    def event(self, event: Event) -> None:
        """Show `event`."""
        line = self._sentence(event)
        if self._live is None:
            self._console.print(f"{self._count()}{line}", soft_wrap=True)
            return
        if event.kind in (EventKind.FAILED, EventKind.NOTICE):
            # These stay on the screen, above the display.
            self._console.print(line, style="red" if event.kind is EventKind.FAILED else "yellow", soft_wrap=True)
        elif event.kind is not EventKind.STARTED:
            self._events.append((line, "green" if line.endswith(_BEST) else "dim"))
        self._drawn = 0.0

    def _sentence(self, event: Event) -> str:
        trial = _trial_of(event, self._engine)
        if trial is None:
            return shown.value(event.text)
        if event.kind is EventKind.STARTED and f"trial {trial.number} started" in event.text:
            note = f" ({shown.value(trial.note)})" if trial.note else ""
            return f"trial {trial.number} started {shown.params(trial.params)}{note}"
        if event.kind is EventKind.FINISHED:
            best = _best(self._metrics, self._trials(), self._problem)
            mark = _BEST if best is not None and best.number == trial.number else ""
            told = (f"trial {trial.number} finished", _result(self._metrics, trial), shown.params(trial.params))
            broken = self._problem.broken(trial) if self._problem is not None else ""
            return " ".join(part for part in told if part) + mark + (f"  beyond its limits: {broken}" if broken else "")
        if event.kind is EventKind.STOPPED and trial.values is not None:
            return f"{shown.value(event.text)} ({_result(self._metrics, trial)})"
        return shown.value(event.text)

    def _trials(self) -> list[Trial]:
        return [] if self._engine is None else self._engine.in_order()

    @property
    def _problem(self) -> Problem | None:
        return None if self._engine is None else self._engine.problem

    def _wanted(self) -> int | None:
        return self._total if self._total is not None else self._engine.cap if self._engine is not None else None

    def _count(self) -> str:
        over = sum(t.phase.is_over for t in self._trials())
        wanted = self._wanted()
        return f"[{over}/{wanted}] " if wanted is not None else f"[{over}] "

    def _headline(self, *, ended: bool = False) -> list[str]:
        parts = headline(
            self._metrics, self._trials(), total=self._wanted(), elapsed_s=time.monotonic() - self._began,
            over_before=self._over_before or 0, ended=ended, problem=self._problem,
        )  # fmt: skip
        lines = [""]
        for part in parts:
            longer = f"{lines[-1]} · {part}" if lines[-1] else part
            if len(longer) <= self._console.width or not lines[-1] or not self._console.is_terminal:
                lines[-1] = longer
            else:
                lines.append(part)
        return lines

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, expand=True)
        for _ in range(4):
            rows.add_column(no_wrap=True)
        rows.add_column(no_wrap=True, overflow="ellipsis", ratio=1)  # only the parameters are cut
        running = [t for t in self._engine.pending() if t.phase is Phase.RUNNING] if self._engine else []
        room = max(1, min(_ROWS, self._console.height - _EVENTS - 5))
        plain_bars = not self._console.encoding.lower().startswith("utf")
        for trial in running[:room]:
            curve = [r.values[0] for r in trial.reports]
            report = trial.reports[-1] if trial.reports else None
            rows.add_row(
                Text(f"trial {trial.number}", style="cyan"),
                f"step {report.step}" if report else "no report yet",
                f"{self._metrics[0].name} {shown.number(report.values[0])}" if report else "",
                Text(shown.sparkline(curve, ascii_only=plain_bars), style="blue"),
                Text(
                    (f"{shown.duration(time.time() - trial.started)}  " if trial.started else "")
                    + shown.params(trial.params),
                    style="dim",
                ),
            )
        more = [Text(f"… and {len(running) - room} more running", style="dim")] if len(running) > room else []
        events = [Text(line, style=style, no_wrap=True, overflow="ellipsis") for line, style in self._events]
        return Group(*(Text(line, style="bold") for line in self._headline()), rows, *more, *events)


@final
class JsonLines:
    """The progress of a sweep, for programs: an object a line.

    Keys: `event` (started, finished, stopped, failed, canceled, requeued, adopted, notice), `trial` (a number or null), `text`; of a
    trial also `params`, and `values` by metric (null without a result).
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = tuple(metrics)
        self._engine: Engine | None = None
        self._out = sys.stdout  # which a function's prints may be kept out of

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def tick(self, engine: Engine) -> None:
        """Remember the engine."""
        self._engine = engine

    def event(self, event: Event) -> None:
        """Print `event`."""
        trial = _trial_of(event, self._engine)
        known: dict[str, object] = {}
        if trial is not None:
            names = [m.name for m in self._metrics]
            values = None if trial.values is None else dict(zip(names, trial.values, strict=True))
            known = {"params": dict(trial.params), "values": values}
        document = {"event": event.kind, "trial": event.number, "text": event.text, **known}
        output.print_json(document, lines=True, file=self._out)


_BEST = "  best so far"


def headline(
    metrics: Sequence[Metric],
    trials: Sequence[Trial],
    *,
    total: int | None,
    elapsed_s: float,
    over_before: int = 0,
    ended: bool = False,
    problem: Problem | None = None,
) -> list[str]:
    """Return the parts of the line that says how a sweep stands.

    Args:
        metrics: What is optimised.
        trials: All of them.
        total: How many there will be, if that is known.
        elapsed_s: How long this call has been at it.
        over_before: How many trials were over when it began: they say nothing about its pace.
        ended: Say nothing about what is left.
        problem: Whose limits the best trial keeps.
    """
    over = sum(t.phase.is_over for t in trials)
    running = sum(t.phase is Phase.RUNNING for t in trials)
    parts = [f"{over}/{total} trials" if total is not None else shown.counted(over, "trial")]
    best = _best(metrics, trials, problem)
    if best is not None and best.values is not None:
        parts.append(f"best {metrics[0].name} {shown.number(best.values[0])} (trial {best.number})")
    elif problem is not None and (why := why_none(problem, trials)):
        parts.append(why)
    if not ended or running:
        parts.append(f"{running} running")
    stopped = sum(t.stopped for t in trials)
    if stopped:
        parts.append(f"{stopped} stopped early")
    parts.append(f"{sum(t.phase is Phase.FAILED for t in trials)} failed")
    clock = shown.duration(elapsed_s)
    done = over - over_before
    if not ended and total is not None and done >= 2 and over < total:
        clock += f", about {shown.duration(elapsed_s / done * (total - over))} left"
    return [*parts, clock]


def _best(metrics: Sequence[Metric], trials: Sequence[Trial], problem: Problem | None) -> Trial | None:
    """Return the best complete trial of a sweep with one metric that keeps the limits, the earlier one of equals."""
    if len(metrics) != 1:
        return None
    complete = [
        (metrics[0].goal.loss(t.values[0]), t.number, t)
        for t in trials
        if t.complete and t.values and (problem is None or problem.keeps(t))
    ]
    return min(complete, key=lambda c: c[:2])[2] if complete else None


def _trial_of(event: Event, engine: Engine | None) -> Trial | None:
    if event.number is None or engine is None:
        return None
    if event.kind in _WITH_RESULT or event.number not in engine.trials:
        engine.sync()
    return engine.trials.get(event.number)


def _result(metrics: Sequence[Metric], trial: Trial) -> str:
    return " ".join(f"{m.name}={shown.number(v)}" for m, v in zip(metrics, trial.values or (), strict=False))
