"""One trial as a job: its command, its environment, and the collecting of what it reports."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from whet.errors import Conflict, LaunchError, StoreUnavailable, WhetError
from whet.launch.base import Executor, Handle, JobState, JobStatus, Resources
from whet.launch.jobs import writing
from whet.project.command import expand
from whet.store.open import whet_dir
from whet.study.engine import Assignment, Engine
from whet.study.saved import checkpoints_of, how_it_starts
from whet.track.claim import Claim
from whet.track.readers.job import JobReader
from whet.track.shipper import ship_all
from whet.trial import Goal, Metric, Phase, Summary

if TYPE_CHECKING:
    from whet.store.base import Run

__all__ = ["Intent", "Job", "claim_of", "launch", "measured", "paused_at", "result_of", "was_launched"]


def claim_of(engine: Engine, assignment: Assignment, stop: Callable[[], str | None] | None = None) -> Claim:
    """Return what the code of a trial needs to know of it."""
    metrics = engine.problem.metrics
    return Claim(
        run_id=assignment.run_id, attempt=assignment.attempt, sweep_id=engine.id, number=assignment.number,
        project=engine.project, params=assignment.params, metrics=tuple(m.name for m in metrics),
        goals=tuple(m.goal for m in metrics), store=engine.store, dir=str(whet_dir().resolve()), stop=stop,
        parent=assignment.parent,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Intent:
    """How a job that was canceled is to end (PENDING: to run again), and why."""

    phase: Phase
    reason: str


@final
@dataclass(slots=True, kw_only=True)
class Job:
    """A launched trial. The one mutable thing here: how far it was read, and how it is to end.

    `after` is the step at which it was paused, if it goes on after a pause, and `starts` says from where. `signals` were passed on to it.
    """

    engine: Engine
    executor: Executor
    handle: Handle
    run_id: str
    number: int
    attempt: int
    reader: JobReader
    num_judged: int = 0
    after: int | None = None
    starts: str = ""
    intent: Intent | None = None
    signals: set[int] = field(default_factory=set)
    _pids: tuple[int, ...] = field(default=())

    def end(self, phase: Phase, reason: str) -> None:
        """Cancel it; once nothing of it is left, its trial becomes `phase`."""
        self.intent = Intent(phase, reason)
        self.executor.cancel(self.handle)

    def signal(self, number: int) -> None:
        """Pass a signal on to its command."""
        self.signals.add(number)
        self.executor.signal(self.handle, number)

    def collect(self, status: JobStatus) -> None:
        """Bring what the job has reported by other means than `whet.log` into the store."""
        self._pids = status.pids or self._pids
        with contextlib.suppress(Conflict, StoreUnavailable):  # the end of the job looks again, and says so
            self.reader.collect(self._pids)

    def collect_all(self, status: JobStatus) -> None:
        """Bring all that the job left into the store; it is over.

        Raises:
            StoreUnavailable: try again later.
        """
        self._pids = status.pids or self._pids
        folder = whet_dir() / "runs" / self.run_id
        if folder.is_dir():
            ship_all(folder, self.engine.store)
        with contextlib.suppress(Conflict):  # a run that was handed out again has nothing more to say
            self.reader.collect(self._pids, final=True)

    def result(self) -> tuple[tuple[float, ...] | None, str]:
        """Return the values of the sweep's metrics, or None and what is missing."""
        return result_of(self.engine.store.runs.get(self.run_id), self.engine.problem.metrics)

    def attrs(self) -> dict[str, float]:
        """Return what the run logged of the values that limits and budgets go by."""
        return measured(self.engine.store.runs.get(self.run_id), self.engine.config.measures)

    def why_failed(self, status: JobStatus) -> str:
        """Return why the job failed, with the last line of its error output."""
        if status.state is JobState.TIMED_OUT:
            return status.reason or "it timed out"
        last = _last_line(self.executor.logs(self.handle).stderr)
        return f"{status.reason or f'exit status {status.exit_code}'}{f': {last}' if last else ''}"


def _note_of(run_id: str, attempt: int) -> Path:
    return whet_dir() / "runs" / run_id / f"command-{attempt}"


def _noted(note: Path) -> list[str]:
    try:
        return shlex.split(note.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return []


def paused_at(run_id: str, attempt: int) -> int | None:
    """Return the step at which the trial was paused that goes on in this attempt, as `launch` has noted it."""
    try:
        return int(_note_of(run_id, attempt).with_name(f"paused-{attempt}").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def was_launched(run_id: str, attempt: int) -> bool:
    """Return whether this attempt was (or was about to be) launched as a job out of this folder.

    Only then may it be submitted again: elsewhere its job may run under an executor that this one knows nothing of.
    """
    return bool(_noted(_note_of(run_id, attempt)))


def launch(engine: Engine, executor: Executor, assignment: Assignment, *, cwd: Path | None) -> Job:
    """Submit a trial's command (again, perhaps: the name says so, and it starts once).

    Raises:
        LaunchError: the command can't be started.
    """
    config = engine.config
    note = _note_of(assignment.run_id, assignment.attempt)
    folder = note.parent
    saved = checkpoints_of(engine.store, assignment)
    checkpoint = saved.load()
    env = {
        **claim_of(engine, assignment).to_env(),
        "PYTHONUNBUFFERED": "1",
        "WHET_CHECKPOINT_DIR": str(saved.files),
        "WHET_CHECKPOINT": "" if checkpoint is None else str(checkpoint.path),
    }
    try:
        with writing(folder):
            saved.files.mkdir(parents=True, exist_ok=True)
            if assignment.after is not None:
                note.with_name(f"paused-{assignment.attempt}").write_text(str(assignment.after), encoding="utf-8")
            command = _noted(note)
            if not command:
                command = expand(config, assignment.params, interpreter=sys.executable, folder=folder, cwd=cwd)
                note.write_text(shlex.join(command) + "\n", encoding="utf-8", errors="surrogateescape")
        resources = Resources(**dict[str, Any](config.resources))
    except LaunchError:
        raise
    except (WhetError, TypeError) as error:
        raise LaunchError(
            f"the command of trial {assignment.number} can't be made ({error})", "mend the sweep's file"
        ) from error
    name = f"{assignment.run_id}-{assignment.attempt}"
    handle = executor.submit(command, resources, name=name, env=env, cwd=cwd)
    reader = JobReader(
        store=engine.store, sweep=engine.id, number=assignment.number, run_id=assignment.run_id, attempt=assignment.attempt,
        metrics=tuple(m.name for m in engine.problem.metrics), stdout=executor.logs(handle).stdout, folder=folder,
        cwd=cwd or Path.cwd(),
    )  # fmt: skip
    return Job(
        engine=engine, executor=executor, handle=handle, run_id=assignment.run_id, number=assignment.number,
        attempt=assignment.attempt, reader=reader, after=assignment.after, starts=how_it_starts(assignment, saved),
    )  # fmt: skip


def result_of(run: Run, metrics: tuple[Metric, ...]) -> tuple[tuple[float, ...] | None, str]:
    """Return a run's value of each metric, or None and a sentence on what is missing."""
    values: list[float] = []
    for metric in metrics:
        own = run.summary.get(metric.name)
        stat = run.stats.get(metric.name)
        if isinstance(own, (int, float)) and not isinstance(own, bool):
            values.append(float(own))
        elif stat is None:
            logged = sorted(name for name in {*run.stats, *run.summary} if not name.startswith("system/"))
            more = " …" if len(logged) > 12 else ""
            found = f"it reported {', '.join(logged[:12])}{more}" if logged else "it reported no metric at all"
            return None, f"it never reported {metric.name!r}: {found}"
        elif metric.summary is Summary.BEST:
            values.append(stat.min if metric.goal is Goal.MINIMIZE else stat.max)
        else:
            values.append(stat.last)
    return tuple(values), ""


def measured(run: Run, names: Sequence[str]) -> dict[str, float]:
    """Return what a run says under `names`, as far as it says it: a number of its own summary, else the last value that it logged."""
    found: dict[str, float] = {}
    for name in names:
        own, stat = run.summary.get(name), run.stats.get(name)
        if isinstance(own, (int, float)) and not isinstance(own, bool):
            found[name] = float(own)
        elif stat is not None:
            found[name] = stat.last
    return found


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
