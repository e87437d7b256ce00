"""One trial as a job: its command, its environment, and the collecting of what it reports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whet.errors import Conflict, LaunchError, StoreUnavailable, WhetError
from whet.launch.base import Executor, Handle, JobState, JobStatus, Resources
from whet.project.command import expand
from whet.stop.base import Verdict
from whet.store.open import whet_dir
from whet.study.engine import Assignment, Engine
from whet.track.claim import Claim
from whet.track.shipper import ship_all
from whet.trial import Goal, Metric, Summary
from whet.tune.reader import JobReader

if TYPE_CHECKING:
    from whet.store.base import Run
    from whet.tune.loop import EventKind

__all__ = ["Job", "claim_of", "describe", "environment", "launch", "result_of"]


def describe(params: Mapping[str, object]) -> str:
    """Return a configuration on one line, numbers with 4 significant digits."""
    return "  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())


def environment(engine: Engine, assignment: Assignment) -> dict[str, str]:
    """Return what `whet.init()` in the trial's process needs to know."""
    claim = claim_of(engine, assignment)
    return {**claim.to_env(), "PYTHONUNBUFFERED": "1"}


def claim_of(engine: Engine, assignment: Assignment, stop: Callable[[], str | None] | None = None) -> Claim:
    """Return what the code of a trial needs to know of it."""
    metrics = engine.problem.metrics
    return Claim(
        run_id=assignment.run_id, attempt=assignment.attempt, sweep_id=engine.id, number=assignment.number,
        project=engine.project, params=assignment.params, metrics=tuple(m.name for m in metrics),
        goals=tuple(m.goal for m in metrics), store=engine.store, dir=str(whet_dir().resolve()), stop=stop,
    )  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Job:
    """A launched trial. The only mutable thing here: how far it was read, and how it is to end."""

    engine: Engine
    executor: Executor
    handle: Handle
    run_id: str
    number: int
    attempt: int
    reader: JobReader
    num_judged: int = 0
    ending: EventKind | None = None
    verdict: Verdict = Verdict.STOP
    reason: str = ""
    _last_pids: tuple[int, ...] = field(default=())

    def collect(self, status: JobStatus) -> None:
        """Bring what the job has reported by other means than `whet.log` into the store."""
        self._last_pids = status.pids or self._last_pids
        try:
            self.reader.collect(self._last_pids)
        except (Conflict, StoreUnavailable):
            return  # the end of the job looks again, and says so

    def collect_all(self) -> None:
        """Bring all that the job left into the store; it is over."""
        folder = whet_dir() / "runs" / self.run_id
        if folder.is_dir():
            ship_all(folder, self.engine.store)
        self.collect_quietly()

    def collect_quietly(self) -> None:
        """Read the rest of the job's output; a run that was handed out again has nothing to say."""
        try:
            self.reader.collect(self._last_pids, final=True)
        except Conflict:
            return

    def result(self) -> tuple[tuple[float, ...] | None, str]:
        """Return the values of the sweep's metrics, or None and what is missing."""
        return result_of(self.engine.store.runs.get(self.run_id), self.engine.problem.metrics)

    def why_failed(self, status: JobStatus) -> str:
        """Return why the job failed, with the last line of its error output."""
        if status.state is JobState.TIMED_OUT:
            return status.reason or "it timed out"
        code = status.exit_code
        how = f"exit status {code}" if code is None or code >= 0 else f"killed by signal {-code}"
        last = _last_line(self.executor.logs(self.handle).stderr)
        return f"{status.reason or how}{': ' + last if last else ''}"


def launch(engine: Engine, executor: Executor, assignment: Assignment, *, cwd: Path | None) -> Job:
    """Submit a trial's command (again, perhaps: the name says so, and it starts once).

    Raises:
        LaunchError: the command can't be started.
    """
    config = engine.config
    name = f"{assignment.run_id}-{assignment.attempt}"
    folder = whet_dir() / "runs" / assignment.run_id
    folder.mkdir(parents=True, exist_ok=True)
    env = environment(engine, assignment)
    try:
        command = expand(config, assignment.params, interpreter=sys.executable, folder=folder, cwd=cwd)
        resources = Resources(**dict[str, Any](config.resources))
        handle = executor.submit(command, resources, name=name, env=env, cwd=cwd)
    except LaunchError:
        raise
    except (WhetError, TypeError) as error:
        raise LaunchError(
            f"the command of trial {assignment.number} can't be made ({error})", "mend the sweep's file"
        ) from error
    logs = executor.logs(handle)
    reader = JobReader(
        store=engine.store, sweep=engine.id, number=assignment.number, run_id=assignment.run_id, attempt=assignment.attempt,
        metrics=tuple(m.name for m in engine.problem.metrics), stdout=logs.stdout, folder=folder, cwd=cwd or Path.cwd(),
    )  # fmt: skip
    return Job(
        engine=engine, executor=executor, handle=handle, run_id=assignment.run_id, number=assignment.number,
        attempt=assignment.attempt, reader=reader,
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
            found = f"it reported {', '.join(logged[:12])}" if logged else "it reported no metric at all"
            return None, f"it never reported {metric.name!r}: {found}"
        elif metric.summary is Summary.BEST:
            values.append(stat.min if metric.goal is Goal.MINIMIZE else stat.max)
        else:
            values.append(stat.last)
    return tuple(values), ""


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
