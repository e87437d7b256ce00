"""Function agents in processes of their own: each imports the training code once and runs trial after trial."""

from __future__ import annotations

import _thread
import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

from whet.errors import StudyError
from whet.store.base import Store
from whet.study.engine import Engine
from whet.trial import Phase, Trial
from whet.tune.loop import Ending, Event, EventKind

__all__ = ["Observer", "find_function", "pool"]

_TICK_S = 0.1
_GRACE_S = 20.0


def find_function(text: str) -> Callable[[], Any]:
    """Return the function that ``module:function`` names; the working directory is looked in first, as by ``python -m``.

    Raises:
        StudyError: there is no such module or function, or it can't be called.
    """
    module, _, name = text.partition(":")
    if not module or not name:
        raise StudyError(
            f"{text!r} names no function", "write module:function, such as train:main for main() in train.py"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        raise StudyError(f"there is no module {module!r} here", "run this in the folder that holds it") from None
    except AttributeError:
        raise StudyError(f"{module} has no function {name!r}", "name one that it has") from None
    if not callable(found):
        raise StudyError(f"{text} is {found!r}, which can't be called", "name a function")
    return found  # type: ignore[no-any-return]


def pool(
    store: Store,
    sweep: str,
    function: str,
    *,
    workers: int,
    count: int | None = None,
    threads: int | None = None,
    on_event: Callable[[Event], None] | None = None,
    on_tick: Callable[[Engine], None] | None = None,
) -> Ending:
    """Run a sweep's trials by calling `function` in `workers` processes; returns when all of them have nothing left to do.

    The processes end with this one, however it ends; what they were at goes back into the queue.

    Args:
        store: Where the sweep is kept; not in memory.
        sweep: Its id.
        function: ``module:function``.
        workers: Processes.
        count: The most trials a process runs.
        threads: Told to numeric libraries; default cores / workers.
        on_event, on_tick: As in `whet.tune.loop.drive`.

    Raises:
        StudyError: a store that other processes can't see.
    """
    if store.url.startswith("memory"):
        raise StudyError("a store in memory can't be shared by processes", "use the default store, or a URL")
    engine = Engine(store, sweep)
    engine.sync()
    observer = Observer(engine)
    number = str(threads or max(1, (os.cpu_count() or 1) // workers))
    env = {**os.environ, "OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "whet.tune.pool", store.url, sweep, function, str(count or 0)]
    processes = [
        subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(workers)
    ]
    interrupted = False
    try:
        while any(p.poll() is None for p in processes):
            for event in observer.look():
                (on_event or (lambda event: None))(event)
            (on_tick or (lambda engine: None))(engine)
            time.sleep(_TICK_S)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()  # which tells it to end
        deadline = time.monotonic() + _GRACE_S
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
    for event in observer.look():
        (on_event or (lambda event: None))(event)
    (on_tick or (lambda engine: None))(engine)
    codes = [p.returncode for p in processes if p.returncode]
    reason = (
        "interrupted" if interrupted else f"an agent ended with status {codes[0]}" if codes else "nothing is left to do"
    )
    return replace(observer.ending, reason=reason, interrupted=interrupted, final=not interrupted and not codes)


@final
class Observer:
    """Tells, from the trials alone, what happened since the last look; for work that other processes do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: dict[int, tuple[Phase, int]] = {t.number: (t.phase, t.attempt) for t in engine.in_order()}
        self.ending = Ending(reason="")

    def look(self) -> list[Event]:
        """Return what is new, by trial number."""
        self._engine.sync()
        events = []
        for trial in self._engine.in_order():
            now = (trial.phase, trial.attempt)
            if self._seen.get(trial.number) != now:
                self._seen[trial.number] = now
                events.append(self._event(trial))
        return events

    def _event(self, trial: Trial) -> Event:
        from whet.tune.job import describe

        number, end = trial.number, self.ending
        if trial.phase is Phase.FINISHED and trial.stopped:
            self.ending = replace(end, num_stopped=end.num_stopped + 1)
            return Event(EventKind.STOPPED, number, f"trial {number} stopped early: {trial.reason}")
        if trial.phase is Phase.FINISHED:
            self.ending = replace(end, num_finished=end.num_finished + 1)
            metrics = self._engine.problem.metrics
            shown = "  ".join(f"{m.name}={v:.4g}" for m, v in zip(metrics, trial.values or (), strict=False))
            return Event(EventKind.FINISHED, number, f"trial {number} finished: {shown}")
        if trial.phase is Phase.FAILED:
            self.ending = replace(end, num_failed=end.num_failed + 1)
            return Event(EventKind.FAILED, number, f"trial {number} failed: {trial.reason}")
        if trial.phase is Phase.CANCELED:
            return Event(EventKind.CANCELED, number, f"trial {number} canceled")
        if trial.phase is Phase.RUNNING:
            return Event(EventKind.STARTED, number, f"trial {number} started: {describe(trial.params)}")
        return Event(EventKind.REQUEUED, number, f"trial {number} is queued again: {trial.reason}")


def _end_with_parent() -> None:
    """Interrupt this process when its standard input closes, as it does when the one that started it ends in whatever way."""

    def listen() -> None:
        while os.read(0, 1):  # not sys.stdin: its lock would be held at the interpreter's end
            pass
        _thread.interrupt_main()

    threading.Thread(target=listen, name="whet-parent", daemon=True).start()


def _main(url: str, sweep: str, function: str, count: str) -> int:
    from whet.store.open import open_store
    from whet.tune.agent import work

    _end_with_parent()
    try:
        ending = work(open_store(url), sweep, find_function(function), count=int(count) or None)
    except KeyboardInterrupt:
        return 0
    if not ending.final and not ending.interrupted and int(count) == 0:
        print(f"whet: {ending.reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
