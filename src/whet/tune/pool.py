"""Function agents in processes of their own: each imports the training code once and runs trial after trial."""

from __future__ import annotations

import _thread
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, final

from whet.errors import StoreUnavailable, StudyError, WhetError
from whet.store.base import Store, SweepState
from whet.study.engine import Engine
from whet.trial import Phase, Trial
from whet.tune.events import ASIDE, Ending, Event, EventKind, Tally, finished, started
from whet.tune.patience import PATIENCE_S, Patience

__all__ = ["Observer", "find_function", "pool"]

_TICK_S = 0.1
_GRACE_S = 20.0
_URL = "WHET_POOL_STORE"


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
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        raise StudyError(f"there is no module {module!r} here", "run this in the folder that holds it") from None
    found = getattr(imported, name, None)
    if found is None:
        raise StudyError(f"{module} has no function {name!r}", "name one that it has")
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
    max_failures: int | None = None,
    threads: int | None = None,
    patience_s: float = PATIENCE_S,
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
        max_failures: As in `whet.tune.loop.drive`, for each process.
        threads: Told to numeric libraries; default cores / workers.
        patience_s: How long to wait for a store that is out of reach, the processes and this one.
        on_event, on_tick: As in `whet.tune.loop.drive`.

    Raises:
        StudyError: a store that other processes can't see.
    """
    if workers < 1 or (count is not None and count < 1):
        raise StudyError(f"workers={workers}, count={count}", "give 1 or more")
    if store.url.startswith("memory"):
        raise StudyError("a store in memory can't be shared by processes", "use the default store, or a URL")
    engine = Engine(store, sweep)
    engine.sync()
    observer = Observer(engine)
    interrupted = False
    processes: list[subprocess.Popen[bytes]] = []

    def say(event: Event) -> None:
        if on_event is not None:
            on_event(event)

    patience = Patience(patience_s, say)

    def look() -> None:
        try:
            events = observer.look()
        except StoreUnavailable as error:
            patience.failed(error, "what runs goes on")
            return
        patience.succeeded()
        for event in events:
            say(event)
        if on_tick is not None:
            on_tick(engine)

    try:
        processes += [
            _start(store, sweep, function, count, max_failures, workers, threads, patience_s) for _ in range(workers)
        ]
        while any(p.poll() is None for p in processes):
            look()
            time.sleep(_TICK_S)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        _end(processes)
    look()
    codes = [p.returncode for p in processes if p.returncode]
    if interrupted:
        return observer.tally.ending("interrupted", interrupted=True)
    if codes and set(codes) == {ASIDE}:
        how_many = f"{len(codes)} of {workers} processes were" if workers > 1 else "the process was"
        return observer.tally.ending(f"{how_many} put aside: see what was written to standard error", aside=True)
    if codes:
        why = f"an agent ended with status {codes[0]}: see what it wrote to standard error"
        return observer.tally.ending(why, broken=True)
    if count is not None and engine.state is SweepState.RUNNING:
        return observer.tally.ending("the trials asked for are done")
    return observer.tally.ending("nothing is left to do", final=True)


def _start(
    store: Store,
    sweep: str,
    function: str,
    count: int | None,
    max_failures: int | None,
    workers: int,
    threads: int | None,
    patience_s: float,
) -> subprocess.Popen[bytes]:
    number = str(threads or max(1, (os.cpu_count() or 1) // workers))
    # The URL may hold a password, so it does not go into the command line, which everybody may read.
    env = {**os.environ, "OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number, "PYTHONUNBUFFERED": "1", _URL: store.url}
    command = [
        sys.executable,
        "-m",
        "whet.tune.pool",
        sweep,
        function,
        str(count or 0),
        "" if max_failures is None else str(max_failures),
        str(patience_s),
    ]
    # A session of its own: Ctrl-C reaches this process, which ends the others in its own time.
    return subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=os.name != "nt"
    )


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()  # which tells it to end
    deadline = time.monotonic() + _GRACE_S
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()


@final
class Observer:
    """Tells, from the trials alone, what happened since the last look; for work that other processes do."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: dict[int, tuple[Phase, int]] = {t.number: (t.phase, t.attempt) for t in engine.in_order()}
        self._state = engine.state
        self.tally = Tally()

    def look(self) -> list[Event]:
        """Return what is new, by trial number."""
        self._engine.sync()
        events: list[Event] = []
        if self._state is not self._engine.state:
            self._state = self._engine.state
            if self._state is SweepState.PAUSED:
                text = f"the sweep is paused; it goes on with: whet sweep {self._engine.id} --resume"
                events.append(Event(EventKind.NOTICE, None, text))
        for trial in self._engine.in_order():
            now = (trial.phase, trial.attempt)
            before = self._seen.get(trial.number)
            if before != now:
                self._seen[trial.number] = now
                events.append(self._event(trial, resumed=before is not None and before[0] is Phase.PAUSED))
                self.tally.add(events[-1])
        return events

    def _event(self, trial: Trial, *, resumed: bool) -> Event:
        number = trial.number
        if trial.phase is Phase.FINISHED and trial.stopped:
            return Event(EventKind.STOPPED, number, f"trial {number} stopped early: {trial.reason}")
        if trial.phase is Phase.FINISHED:
            return finished(number, self._engine.problem.metrics, trial.values or ())
        if trial.phase is Phase.FAILED:
            return Event(EventKind.FAILED, number, f"trial {number} failed: {trial.reason}")
        if trial.phase is Phase.CANCELED:
            return Event(EventKind.CANCELED, number, f"trial {number} canceled: {trial.reason}")
        if trial.phase is Phase.RUNNING:
            return started(number, trial.params, trial.note, resumed=resumed)
        if trial.phase is Phase.PAUSED:
            return Event(EventKind.PAUSED, number, f"trial {number} paused: {trial.reason}")
        if not trial.attempt:
            return Event(EventKind.NOTICE, number, f"trial {number} was enqueued")
        return Event(EventKind.REQUEUED, number, f"trial {number} is queued again: {trial.reason}")


def _end_with_parent() -> None:
    """Interrupt this process when its standard input closes, as it does when the one that started it ends in whatever way."""

    def listen() -> None:
        while os.read(0, 1):  # not sys.stdin: its lock would be held at the interpreter's end
            pass
        if hasattr(signal, "pthread_kill"):  # which ends a sleep of the main thread as well
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            _thread.interrupt_main()
        time.sleep(_GRACE_S * 0.8)
        os._exit(1)  # the function took no notice; its trial is found to be lost and goes back into the queue

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born deaf to it
    threading.Thread(target=listen, name="whet-parent", daemon=True).start()


def _main(sweep: str, function: str, count: str, max_failures: str, patience_s: str) -> int:
    from whet.store.open import open_store
    from whet.tune.agent import work

    _end_with_parent()
    try:
        store, called = open_store(os.environ.pop(_URL)), find_function(function)
        most = int(max_failures) if max_failures else None
        ending = work(store, sweep, called, count=int(count) or None, max_failures=most, patience_s=float(patience_s))
    except KeyboardInterrupt:
        return 0
    except WhetError as error:  # whoever started this process has no use for a traceback of ours
        print(f"whet: {error}", file=sys.stderr)
        return error.exit_code
    if ending.aside:
        print(f"whet: {ending.reason}", file=sys.stderr)
        return ASIDE
    if not ending.final and not ending.interrupted and int(count) == 0:
        print(f"whet: {ending.reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
