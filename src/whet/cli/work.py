"""Driving a sweep while somebody watches: what `whet agent`, `whet sweep --run` and `whet run` have in common."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from whet.cli import output
from whet.cli.progress import JsonLines, Progress, follow
from whet.cli.summary import print_summary
from whet.study.engine import Engine
from whet.tune.events import ASIDE, Ending
from whet.tune.patience import PATIENCE_S

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["exit_code", "report", "work_on"]


def work_on(
    store: Store,
    sweep: str,
    *,
    jobs: int = 1,
    count: int | None = None,
    function: str | None = None,
    exclusive: bool = False,
    max_failures: int | None = None,
    forward_signals: bool = False,
    patience_s: float = PATIENCE_S,
    as_json: bool = False,
) -> Ending:
    """Work on a sweep, show what happens, and return how it ended.

    Args:
        store: Where the sweep is kept.
        sweep: Its id.
        jobs: Trials at a time.
        count: The most trials to start.
        function: ``module:function`` to call instead of the sweep's program.
        exclusive: As its coordinator; see `whet.tune.loop.drive`, as for `max_failures` and `forward_signals`.
        patience_s: How long to wait for a store that is out of reach.
        as_json: Print a JSON line an event.

    Raises:
        AlreadyDriven: `exclusive`, and there is a coordinator.
        StudyError: the sweep has no program and no `function` is given, or it names none.
    """
    from whet.launch.local import Local
    from whet.store.open import whet_dir
    from whet.tune.agent import work
    from whet.tune.loop import drive
    from whet.tune.pool import find_function, pool

    engine = Engine(store, sweep)
    engine.sync()
    metrics = engine.problem.metrics
    if function is None:
        with follow(metrics, as_json=as_json) as progress:
            progress.tick(engine)
            executor = Local(whet_dir() / "jobs", slots=jobs)
            return drive(
                store, sweep, executor, workers=jobs, count=count, exclusive=exclusive, max_failures=max_failures,
                forward_signals=forward_signals, patience_s=patience_s, on_event=progress.event, on_tick=progress.tick,
            )  # fmt: skip
    if forward_signals:
        raise output.wrong_call(
            "--forward-signals is for programs: a function runs in the agent's own process, which gets its signals itself",
            "leave it out",
        )
    if jobs > 1:
        if count is not None and count % jobs:
            raise output.wrong_call(
                f"{count} trials can't be shared evenly by {jobs} processes",
                f"give -c {count - count % jobs or jobs}, or -j 1",
            )
        find_function(function)  # said once here, rather than by every process
        with follow(metrics, as_json=as_json) as progress:
            progress.tick(engine)
            each = None if count is None else count // jobs
            return pool(
                store, sweep, function, workers=jobs, count=each, max_failures=max_failures, patience_s=patience_s, on_event=progress.event,
                on_tick=progress.tick,
            )  # fmt: skip
    called = find_function(function)
    # What the function prints shares the screen, so there are lines and no live display.
    quiet: Progress | JsonLines = follow(metrics, as_json=as_json, live=False)
    with quiet:
        quiet.tick(engine)
        with _prints_on_stderr() if as_json else contextlib.nullcontext():
            return work(
                store,
                sweep,
                called,
                count=count,
                max_failures=max_failures,
                patience_s=patience_s,
                on_event=quiet.event,
            )


def report(
    store: Store, sweep: str, ending: Ending, *, as_json: bool, summary: bool = False, function: str | None = None
) -> None:
    """Say how it ended: a line, with `summary` the whole story; as JSON the last line, with event ``end``.

    JSON keys: `event`, `sweep`, `reason`, `final`, `interrupted`, `aside`, `num_finished`, `num_stopped`, `num_failed` (of this call), `best_run`,
    `best_value`.
    """
    if as_json:
        found = store.sweeps.get(sweep)
        document = {
            "event": "end",
            "sweep": sweep,
            "reason": ending.reason,
            "final": ending.final,
            "interrupted": ending.interrupted,
            "aside": ending.aside,
            "num_finished": ending.num_finished,
            "num_stopped": ending.num_stopped,
            "num_failed": ending.num_failed,
            "best_run": found.best_run,
            "best_value": found.best_value,
        }
        output.print_json(document, lines=True)
        return
    if ending.interrupted:
        again = f"whet agent {sweep}" + (f" --function {function}" if function else "")
        output.say(f"interrupted: what ran goes back into the queue; go on with: {again}")
    else:
        output.say(f"ended: {ending.reason}")
    if summary:
        engine = Engine(store, sweep)
        engine.sync()
        print_summary(engine.problem, engine.in_order(), sweep=sweep)


def exit_code(ending: Ending) -> int:
    """Return 130 for an interrupted call, 3 for an agent that was put aside, 1 for one that broke down or in which trials failed and none succeeded, else 0."""
    if ending.interrupted:
        return 130
    if ending.aside:
        return ASIDE
    return 1 if ending.broken or (ending.num_failed and not ending.num_finished + ending.num_stopped) else 0


@contextlib.contextmanager
def _prints_on_stderr() -> Iterator[None]:
    """Keep what the user's function prints out of the JSON."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
