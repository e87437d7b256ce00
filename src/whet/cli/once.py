"""A script run once: what it prints is seen as it prints it, and its exit status is the command's. Also why runs failed, in full."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, final

from whet.cli import format as shown
from whet.cli import output
from whet.errors import LaunchError, WhetError

if TYPE_CHECKING:
    from whet.launch.base import Executor
    from whet.store.base import Run, Store, Sweep
    from whet.study.engine import Engine
    from whet.trial import Trial

__all__ = ["exit_status", "explain", "run_once"]

_LAST_LINES = 5


def run_once(store: Store, sweep: Sweep, executor: Executor) -> int:
    """Run a sweep of one trial, pass its output through, and return its exit status (128 + the signal that killed it)."""
    from whet.store.base import RunQuery
    from whet.track.output import log_files
    from whet.tune.loop import drive

    tails: list[_Tail] = []

    def run_of_it() -> Run | None:
        return next(iter(store.runs.select(RunQuery(sweep=sweep.id))), None)

    def tick(engine: Engine) -> None:
        if not tails:
            run = run_of_it()
            stdout, stderr = log_files(run) if run is not None else (None, None)
            if stdout is None or stderr is None:
                return
            tails.extend([_Tail(stdout, sys.stdout), _Tail(stderr, sys.stderr)])
        for tail in tails:
            tail.copy()

    ending = drive(store, sweep.id, executor, on_tick=tick)
    from whet.study.engine import Engine
    from whet.trial import Phase

    engine = Engine(store, sweep.id)
    tick(engine)
    engine.sync()
    trial = engine.in_order()[0] if engine.trials else None
    if ending.interrupted:
        output.tell(f"interrupted; run it again with: whet run --name {sweep.name}")
        return 130
    run = run_of_it()
    if trial is None or run is None:
        raise LaunchError(f"nothing was run: {ending.reason}", f"whet show {sweep.id}")
    if trial.phase is Phase.FINISHED:
        result = "".join(
            f"  {m.name}={shown.number(v)}" for m, v in zip(engine.problem.metrics, trial.values or (), strict=False)
        )
        output.tell(f"run {run.id} finished{result}; whet show {run.id}")
        return 0
    code = exit_status(run)
    if not code:
        raise explain(store, engine, [trial])
    # What it printed has been seen: one line is enough.
    output.tell(f"run {run.id} failed: {trial.reason.partition(':')[0]}; whet logs {run.id}")
    return code


def explain(store: Store, engine: Engine, failed: Sequence[Trial]) -> WhetError:
    """Return the error for a sweep of which no trial succeeded: the last failure with the end of what it printed, and what to do."""
    from whet.store.base import RunQuery

    last = failed[-1]
    run = next(r for r in store.runs.select(RunQuery(sweep=engine.id)) if r.number == last.number)
    count = "the run failed" if len(failed) == 1 else f"all {len(failed)} trials failed, the last"
    missing = [m.name for m in engine.problem.metrics if f"never reported {m.name!r}" in last.reason]
    if missing:
        reported = sorted(name for name in {*run.stats, *run.summary} if not name.startswith("system/"))
        close = difflib.get_close_matches(missing[0], reported, n=1, cutoff=0.5)
        goal = next(m.goal.value for m in engine.problem.metrics if m.name == missing[0])
        fix = f"did you mean --{goal} {close[0]}? " if close else ""
        fix += (
            "a metric is what is logged by whet.log, written for TensorBoard, or printed as " + f'"{missing[0]}: 0.5"'
        )
        return LaunchError(f"{count}: {last.reason}", fix, run=run.id, reported=tuple(reported))
    lines = _last_lines(run)
    seen = "".join(f"\n    {line}" for line in lines)
    reason = last.reason.partition(":")[0] if lines else last.reason
    return LaunchError(f"{count}: {reason}{seen}", f"whet logs {run.id} --stderr shows all of it", run=run.id)


def _last_lines(run: Run) -> list[str]:
    from whet.track.output import log_files

    _, path = log_files(run)
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-_LAST_LINES:]


def exit_status(run: Run) -> int:
    """Return the exit status of a run's job, 128 + the signal that killed it; 0 when it is not known."""
    from whet.launch.base import Handle
    from whet.launch.jobs import job_id
    from whet.launch.local import Local
    from whet.store.open import whet_dir

    handle = Handle(executor="local", id=job_id(f"{run.id}-{run.attempt}"))
    code = Local(whet_dir() / "jobs").poll([handle])[handle].exit_code
    return 0 if code is None else code if code >= 0 else 128 - code


@final
class _Tail:
    """Copies a growing file to a stream."""

    def __init__(self, path: Path, stream: IO[str]) -> None:
        self.path = path
        self.stream = stream
        self.offset = 0

    def copy(self) -> None:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return
        self.offset += len(data)
        if data:
            self.stream.flush()
            raw = getattr(self.stream, "buffer", None)
            if raw is not None:
                raw.write(data)
            else:
                self.stream.write(data.decode("utf-8", "replace"))
            self.stream.flush()
