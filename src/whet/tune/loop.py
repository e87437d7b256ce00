"""The coordinator of a sweep of commands.

It may be killed at any moment. What it knows is in the store and in the jobs' folders, and every step can be repeated:

- a trial's job is named by run and attempt, and submitting a name twice starts nothing twice, so a coordinator killed between handing
  out a trial and launching it launches it when it comes back;
- a job outlives its coordinator; the next one takes the trial over, finds the job running or over, and goes on from there;
- a result is told once: telling ends the trial in one transaction.

Hence no finished trial is lost and none runs twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import final

from whet.errors import Conflict, LaunchError, StudyError
from whet.launch.base import Executor, JobState, JobStatus
from whet.stop.base import Verdict
from whet.store.base import Lease, Store, SweepState
from whet.store.owner import here
from whet.study.engine import LEASE_S, Assignment, Engine
from whet.trial import Phase
from whet.tune.job import Job, describe, launch

__all__ = ["Ending", "Event", "EventKind", "drive"]

_TICK_S = 0.05
_BEAT_S = LEASE_S / 4
FAILURES_IN_A_ROW = 3
"""With so many failed trials before the first success the loop gives up: a script that can't run burns no budget."""


class EventKind(Enum):
    """What happened."""

    STARTED = "started"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    CANCELED = "canceled"
    REQUEUED = "requeued"
    ADOPTED = "adopted"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a trial (or, with number None, to the sweep), as a sentence."""

    kind: EventKind
    number: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why the loop ended, and what it did.

    `final`: the sweep hands out no trial any more. The counts are of this call.
    """

    reason: str
    final: bool = False
    interrupted: bool = False
    num_finished: int = 0
    num_stopped: int = 0
    num_failed: int = 0


def drive(
    store: Store,
    sweep: str,
    executor: Executor,
    *,
    workers: int = 1,
    count: int | None = None,
    exclusive: bool = True,
    on_event: Callable[[Event], None] | None = None,
    on_tick: Callable[[Engine], None] | None = None,
    cwd: Path | None = None,
) -> Ending:
    """Run a sweep's trials as jobs until there is none left, `count` were started, the sweep is closed, or Ctrl-C.

    Args:
        store: Where the sweep is kept.
        sweep: Its id.
        executor: Where the jobs run. Its folder must be the same from call to call for jobs to be found again.
        workers: Jobs at a time.
        count: The most trials to start in this call.
        exclusive: As the sweep's coordinator, of which there is one; False: as one of any number of agents.
        on_event: Told what happens.
        on_tick: Called about ten times a second, for displays.
        cwd: The jobs' working directory; default this process's.

    Raises:
        AlreadyDriven: there is a coordinator already.
        StudyError: the sweep has no program, or `workers` or `count` is below 1.
    """
    if workers < 1 or (count is not None and count < 1):
        raise StudyError(f"workers={workers}, count={count}", "give 1 or more")
    loop = _Loop(store, sweep, executor, workers, count, exclusive, on_event or (lambda event: None), cwd)
    if exclusive:
        store.sweeps.drive(sweep, here(), silent_s=LEASE_S)
    try:
        return loop.run(on_tick or (lambda engine: None))
    finally:
        if exclusive:
            store.sweeps.release(sweep, here())


@final
class _Loop:
    def __init__(
        self,
        store: Store,
        sweep: str,
        executor: Executor,
        workers: int,
        count: int | None,
        exclusive: bool,
        emit: Callable[[Event], None],
        cwd: Path | None,
    ) -> None:
        self.store = store
        self.executor = executor
        self.workers = workers
        self.left = count
        self.exclusive = exclusive
        self.emit = emit
        self.cwd = cwd
        self.engine = Engine(store, sweep, recover=self._adopt)
        if self.engine.config.program is None and self.engine.config.command is None:
            raise StudyError(
                f"sweep {self.engine.name!r} has no program to run",
                f"add program: to its file, or run its trials as a Python function: whet agent {sweep} --function module:function",
            )
        self.jobs: dict[int, Job] = {}
        self.counts = {EventKind.FINISHED: 0, EventKind.STOPPED: 0, EventKind.FAILED: 0}
        self.failures = 0
        self.last_failure = ""
        self.ending: str | None = None
        self.final = False
        self.beaten = time.monotonic()

    def run(self, on_tick: Callable[[Engine], None]) -> Ending:
        try:
            self.engine.recover_lost()
            while True:
                self._watch()
                self._fill()
                on_tick(self.engine)
                if self.ending is not None and not self.jobs:
                    return self._end(self.ending)
                time.sleep(_TICK_S)
        except KeyboardInterrupt:
            self._abandon()
            return self._end("interrupted", interrupted=True)
        except BaseException:
            self._abandon()
            raise

    def _end(self, reason: str, *, interrupted: bool = False) -> Ending:
        self.engine.sync()
        return Ending(
            reason=reason,
            final=self.final,
            interrupted=interrupted,
            num_finished=self.counts[EventKind.FINISHED],
            num_stopped=self.counts[EventKind.STOPPED],
            num_failed=self.counts[EventKind.FAILED],
        )

    def _abandon(self) -> None:
        """Cancel what runs and put it back into the queue, so that the next call goes on with it."""
        for job in self.jobs.values():
            self.executor.cancel(job.handle)
        for job in list(self.jobs.values()):
            job.collect_all()
            with contextlib.suppress(Conflict):
                self.store.trials.requeue(self.engine.id, job.number, job.attempt, "the sweep was interrupted")
        self.jobs.clear()

    # -- start ----------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        while self.ending is None and len(self.jobs) < self.workers:
            if self.left is not None and self.left <= 0:
                self.ending = "the trials asked for are done"
                return
            answer = self.engine.ask()
            if isinstance(answer, Assignment):
                if self.left is not None:
                    self.left -= 1
                self._launch(answer)
            elif answer.final:
                if not self.jobs and self.engine.finish_if_done(exhausted=self.engine.state is SweepState.RUNNING):
                    pass
                self.ending, self.final = answer.reason, True
                return
            else:
                if self.exclusive and self.engine.state is SweepState.PAUSED:
                    self.ending = f"{answer.reason}: whet sweep {self.engine.id} --resume goes on"
                return

    def _launch(self, assignment: Assignment, *, adopted: bool = False) -> None:
        try:
            job = launch(self.engine, self.executor, assignment, cwd=self.cwd)
        except LaunchError as error:
            self.engine.tell(assignment.number, assignment.attempt, None, phase=Phase.FAILED, reason=str(error))
            self._failed(assignment.number, str(error))
            return
        self.jobs[assignment.number] = job
        if adopted:
            self.emit(
                Event(
                    EventKind.ADOPTED,
                    job.number,
                    f"trial {job.number} goes on: its coordinator was lost, its job was not",
                )
            )
        else:
            note = f" ({assignment.note})" if assignment.note else ""
            self.emit(
                Event(EventKind.STARTED, job.number, f"trial {job.number} started: {describe(assignment.params)}{note}")
            )

    def _adopt(self, lease: Lease) -> bool:
        """Take over a trial whose coordinator is gone, whatever its job does; False for one of another machine, whose jobs are out of reach."""
        if lease.owner.partition("|")[0] != here().partition("|")[0]:
            return False
        try:
            self.store.trials.take_over(self.engine.id, lease.number, lease.attempt, owner=here(), was=lease.owner)
        except Conflict:
            return True  # somebody else has
        trial = self.engine.trial(lease.number)
        self._launch(
            Assignment(
                run_id=lease.run_id, number=lease.number, attempt=lease.attempt, params=trial.params, note=trial.note
            ),
            adopted=True,
        )
        return True

    # -- watch ----------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        now = time.monotonic()
        if now - self.beaten > _BEAT_S:
            self.beaten = now
            self.store.trials.beat(self.engine.id, here())
            if self.exclusive:
                self.store.sweeps.drive(self.engine.id, here(), silent_s=LEASE_S)
        if not self.jobs:
            return
        self.engine.sync()
        canceled = self.engine.state is SweepState.CANCELED
        statuses = self.executor.poll([job.handle for job in self.jobs.values()])
        for job in list(self.jobs.values()):
            status = statuses[job.handle]
            if status.state.is_over:
                self._over(job, status)
                continue
            job.collect(status)
            if canceled and job.ending is None:
                job.ending = EventKind.CANCELED
                self.executor.cancel(job.handle)
            elif job.ending is None:
                self._judge(job)

    def _judge(self, job: Job) -> None:
        reports = self.engine.trial(job.number).reports
        if len(reports) == job.num_judged:
            return
        job.num_judged = len(reports)
        decision = self.engine.decide(job.number)
        if decision is not None and decision.verdict is not Verdict.CONTINUE:
            job.ending, job.reason = EventKind.STOPPED, decision.reason
            job.verdict = decision.verdict
            self.executor.cancel(job.handle)

    def _over(self, job: Job, status: JobStatus) -> None:
        del self.jobs[job.number]
        job.collect_all()
        try:
            self._tell(job, status)
        except Conflict as error:
            self.emit(Event(EventKind.NOTICE, job.number, f"the result of trial {job.number} came too late: {error}"))

    def _tell(self, job: Job, status: JobStatus) -> None:
        engine, number, attempt = self.engine, job.number, job.attempt
        if job.ending is EventKind.STOPPED and status.state is not JobState.SUCCEEDED:
            phase = Phase.PAUSED if job.verdict is Verdict.PAUSE else Phase.FINISHED
            engine.tell(number, attempt, None, phase=phase, stopped=phase is Phase.FINISHED, reason=job.reason)
            self._count(EventKind.STOPPED, number, f"trial {number} stopped early: {job.reason}")
            return
        if job.ending is EventKind.CANCELED or status.state is JobState.CANCELED:
            engine.tell(number, attempt, None, phase=Phase.CANCELED, reason="the sweep was canceled")
            self.emit(Event(EventKind.CANCELED, number, f"trial {number} canceled"))
            return
        if status.state is JobState.LOST:
            engine.requeue(number, attempt, "its process vanished without an exit status")
            self.emit(Event(EventKind.REQUEUED, number, f"trial {number} is queued again: its process vanished"))
            return
        if status.state is not JobState.SUCCEEDED:
            reason = job.why_failed(status)
            engine.tell(number, attempt, None, phase=Phase.FAILED, reason=reason)
            self._failed(number, reason)
            return
        values, problem = job.result()
        if values is None:
            engine.tell(number, attempt, None, phase=Phase.FAILED, reason=problem)
            self._failed(number, problem)
        elif engine.tell(number, attempt, values) is Phase.FAILED:
            engine.sync()
            self._failed(number, engine.trial(number).reason)
        else:
            shown = "  ".join(f"{m.name}={v:.4g}" for m, v in zip(engine.problem.metrics, values, strict=True))
            self._count(EventKind.FINISHED, number, f"trial {number} finished: {shown}")

    def _count(self, kind: EventKind, number: int, text: str) -> None:
        self.failures = 0
        self.counts[kind] += 1
        self.emit(Event(kind, number, text))

    def _failed(self, number: int, reason: str) -> None:
        self.counts[EventKind.FAILED] += 1
        self.failures += 1
        self.last_failure = reason
        self.emit(Event(EventKind.FAILED, number, f"trial {number} failed: {reason}"))
        if self.failures >= FAILURES_IN_A_ROW and not any(t.phase is Phase.FINISHED for t in self.engine.in_order()):
            self.ending = f"the first {self.failures} trials failed, so no more are started; the last: {reason}"
