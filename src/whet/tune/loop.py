"""The coordinator of a sweep of commands.

It may be killed at any moment. What it knows is in the store and in the jobs' folders, and every step can be repeated:

- a trial's job is named by run and attempt, and submitting a name twice starts nothing twice, so a coordinator killed between handing
  out a trial and launching it does no harm;
- a job outlives its coordinator; the next one takes the trial over, finds the job running or over, and goes on from there;
- a result is told once: telling ends the trial in one transaction.

Hence no finished trial is lost and none runs twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import final

from whet.errors import Conflict, LaunchError, StoreUnavailable, StudyError
from whet.launch.base import Executor, JobStatus
from whet.store.base import Lease, Store, SweepState
from whet.store.owner import here
from whet.study.engine import LEASE_S, Assignment, Engine
from whet.study.interrupt import Interrupts
from whet.study.pauses import parent_run
from whet.trial import Phase
from whet.tune.ends import judged, told
from whet.tune.events import Ending, Event, EventKind, Tally, failed, started
from whet.tune.job import Job, launch, paused_at, was_launched
from whet.tune.patience import PATIENCE_S, Patience
from whet.tune.sharing import at_the_wheel, num_in_other_hands, stays_for, why_end
from whet.tune.signals import ENDING, Signals, name_of

__all__ = ["Ending", "Event", "EventKind", "drive"]

_TICK_S = 0.05
_ASK_S = 0.25
"""How long it waits before it asks again when there was nothing to do."""
_BEAT_S = LEASE_S / 4
_GRACE_S = 30.0
"""How long an interrupted loop waits for its jobs to end."""
_AGAIN_S = 1.0
"""How long it waits before it tries a store again that was out of reach."""


def drive(
    store: Store,
    sweep: str,
    executor: Executor,
    *,
    workers: int = 1,
    count: int | None = None,
    exclusive: bool = True,
    max_failures: int | None = None,
    forward_signals: bool = False,
    patience_s: float = PATIENCE_S,
    on_event: Callable[[Event], None] | None = None,
    on_tick: Callable[[Engine], None] | None = None,
    cwd: Path | None = None,
) -> Ending:
    """Run a sweep's trials as jobs until there is none left, `count` were started, the sweep is closed, or Ctrl-C.

    It stays while other processes of this machine still run trials of the sweep, and takes over those whose process is killed.

    Args:
        store: Where the sweep is kept; not in memory, as the jobs could not see it.
        sweep: Its id.
        executor: Where the jobs run. Its folder must be the same from call to call for jobs to be found again.
        workers: Jobs at a time.
        count: The most trials to start in this call.
        exclusive: As the sweep's coordinator, of which there is one; False: as one of any number of agents.
        max_failures: It ends when so many trials in a row failed here; 0: never. Otherwise also when the first three failed and nobody has a
            result, and with None only then.
        forward_signals: SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 go on to the jobs. After one of the first three no trial is started any more; what
            ends without a result because of it is queued again. A second one ends the jobs as Ctrl-C does otherwise.
        patience_s: How long to wait for a store that is out of reach; what runs goes on meanwhile.
        on_event: Told what happens.
        on_tick: Called ten to twenty times a second, for displays.
        cwd: The jobs' working directory; default this process's.

    Raises:
        AlreadyDriven: there is a coordinator already, perhaps in another thread.
        StudyError: the sweep has no program, `workers` or `count` is below 1, or the store is in memory.
        StoreUnavailable: the store is out of reach from the start, or was for longer than `patience_s`.
    """
    if workers < 1 or (count is not None and count < 1):
        raise StudyError(f"workers={workers}, count={count}", "give 1 or more")
    if store.url.startswith("memory"):
        raise StudyError("a store in memory can't be shared by processes", "use the default store, or a URL")
    say = on_event or (lambda event: None)
    signals = Signals(forward_signals)
    loop = _Loop(store, sweep, executor, workers, count, exclusive, max_failures, signals, patience_s, say, cwd)
    with at_the_wheel(store, sweep) if exclusive else contextlib.nullcontext():
        return loop.run(on_tick or (lambda engine: None))


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
        max_failures: int | None,
        signals: Signals,
        patience_s: float,
        emit: Callable[[Event], None],
        cwd: Path | None,
    ) -> None:
        self.store = store
        self.executor = executor
        self.workers = workers
        self.left = count
        self.exclusive = exclusive
        self.max_failures = max_failures
        self.signals = signals
        self.on_event = emit
        self.cwd = cwd
        self.engine = Engine(store, sweep, recover=self._adopt)
        if self.engine.config.program is None and self.engine.config.command is None:
            raise StudyError(
                f"sweep {self.engine.name!r} has no program to run",
                f"add program: to its file, or run its trials as a Python function: whet agent {sweep} --function module:function",
            )
        self.jobs: dict[int, Job] = {}
        self.held: list[Assignment] = []  # handed out, and waiting for a device
        self.tally = Tally()
        self.ending: str | None = None
        self.final = self.aside = False
        self.said = ""
        self.ask_at = self.beaten = time.monotonic()
        self.patience = Patience(patience_s, self._say)

    def run(self, on_tick: Callable[[Engine], None]) -> Ending:
        with self.signals, Interrupts() as interrupts:
            try:
                self.engine.recover_lost()
                while True:
                    self._step()
                    on_tick(self.engine)
                    if self.ending is not None and not self.jobs:
                        break
                    interrupts.check()
                    self._pass_on(self.signals.taken())
                    time.sleep(_TICK_S)
            except KeyboardInterrupt:
                with contextlib.suppress(KeyboardInterrupt):
                    self._abandon()
                return self.tally.ending("interrupted", interrupted=True)
            except BaseException:
                with contextlib.suppress(Exception):  # what went wrong first matters
                    self._abandon()
                raise
        for assignment in self.held:
            self.engine.give_back(assignment.number, assignment.attempt, "its agent ended before it was started")
        if self.final or (self.left is not None and self.left <= 0):
            self.engine.leave(exhausted=self.final)
        return self.tally.ending(self.ending, final=self.final, aside=self.aside)

    def _step(self) -> None:
        try:
            if self.patience.is_waiting:
                self._reclaim()
                self.patience.succeeded()
            self._watch()
            self._fill()
        except StoreUnavailable as error:
            self.patience.failed(error, "what runs goes on" if self.jobs else "")
            time.sleep(_AGAIN_S)

    def _emit(self, kind: EventKind, number: int | None, text: str) -> None:
        self._say(Event(kind, number, text))

    def _say(self, event: Event) -> None:
        self.tally.add(event)
        self.on_event(event)

    # -- start ----------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        while self.ending is None and len(self.jobs) < self.workers and time.monotonic() >= self.ask_at:
            if self.held:
                if not self._launch(self.held.pop(0)):
                    return
                continue
            if self.left is not None and self.left <= 0:
                self.ending = "the trials asked for are done"
                return
            asked = time.monotonic()
            answer = self.engine.ask()
            if isinstance(answer, Assignment):
                if self.left is not None:
                    self.left -= 1
                self._launch(answer)
                continue
            self.ask_at = (time.monotonic() if self.jobs else asked) + _ASK_S  # a server has waited already
            if answer.final:
                if self.engine.state is SweepState.RUNNING and (others := num_in_other_hands(self.engine)):
                    self._once(stays_for(answer.reason, others))
                    return
                self.ending, self.final = answer.reason, True
            elif self.engine.state is SweepState.PAUSED:
                goes_on = f"{answer.reason}; it goes on with: whet sweep {self.engine.id} --resume"
                if self.exclusive:
                    self.ending = goes_on
                else:
                    self._once(goes_on)
            return

    def _once(self, text: str) -> None:
        if text != self.said:
            self.said = text
            self._emit(EventKind.NOTICE, None, text)

    def _launch(self, assignment: Assignment, *, adopted: bool = False) -> bool:
        """Launch a trial, and return False when it has to wait for a device."""
        number = assignment.number
        try:
            job = launch(self.engine, self.executor, assignment, cwd=self.cwd)
        except LaunchError as error:
            wanted, total = error.facts.get("wanted"), error.facts.get("total")
            if isinstance(wanted, int) and isinstance(total, int) and wanted <= total:
                self._once(f"trial {number} waits: {error.problem}")
                self.held.insert(0, assignment)
                self.ask_at = time.monotonic() + _ASK_S
                return False
            with contextlib.suppress(Conflict):
                self.engine.tell(number, assignment.attempt, None, phase=Phase.FAILED, reason=str(error))
            self._failed(failed(number, str(error)))
            return True
        self.jobs[number] = job
        if adopted:
            self._emit(EventKind.ADOPTED, number, f"trial {number} goes on: who watched it is gone, its job is not")
        else:
            resumed = assignment.after is not None
            self._say(started(number, assignment.params, job.starts or assignment.note, resumed=resumed))
        return True

    def _adopt(self, lease: Lease) -> bool:
        """Take over a trial whose coordinator is gone, whatever its job does; False where its job is out of reach."""
        if lease.owner.partition("|")[0] != here().partition("|")[0] or not was_launched(lease.run_id, lease.attempt):
            return False
        try:
            self.store.trials.take_over(self.engine.id, lease.number, lease.attempt, owner=here(), was=lease.owner)
        except Conflict:
            return True  # somebody else has
        self._take(lease)
        return True

    def _take(self, lease: Lease) -> None:
        trial = self.engine.trial(lease.number)
        self._launch(
            Assignment(
                run_id=lease.run_id,
                number=lease.number,
                attempt=lease.attempt,
                params=trial.params,
                note=trial.note,
                parent=parent_run(self.store, lease.run_id, trial.parent),
                after=paused_at(lease.run_id, lease.attempt),
            ),
            adopted=True,
        )

    def _reclaim(self) -> None:
        """After the store was away: find trials that it gave to this process without this process getting to know."""
        known = self.jobs.keys() | {assignment.number for assignment in self.held}
        self.engine.question = None  # its answer, if there was one, is found here
        self.engine.sync()
        for lease in self.store.trials.leases(self.engine.id):
            if lease.owner == here() and lease.number not in known:
                self._take(lease)

    # -- watch ----------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        now = time.monotonic()
        if now - self.beaten > _BEAT_S:
            self.store.trials.beat(self.engine.id, here())
            if self.exclusive:
                self.store.sweeps.drive(self.engine.id, here(), silent_s=LEASE_S)
            self.beaten = now
        if not self.jobs:
            return
        self.engine.watch()
        canceled = self.engine.state is SweepState.CANCELED
        for job, status in self._polled():
            if status.state.is_over:
                self._over(job, status)
                continue
            job.collect(status)
            if canceled and (job.intent is None or job.intent.phase is not Phase.CANCELED):
                job.end(Phase.CANCELED, "the sweep was canceled")
            elif job.intent is None:
                judged(job)

    def _polled(self) -> list[tuple[Job, JobStatus]]:
        statuses = self.executor.poll([job.handle for job in self.jobs.values()])
        return [(job, statuses[job.handle]) for job in self.jobs.values()]

    def _over(self, job: Job, status: JobStatus) -> None:
        job.collect_all(status)
        try:
            event = told(job, status)
            (self._failed if event.kind is EventKind.FAILED else self._say)(event)
        except Conflict as error:
            self._emit(EventKind.NOTICE, job.number, f"the result of trial {job.number} came too late: {error.problem}")
        del self.jobs[job.number]
        self.ask_at = time.monotonic()

    def _failed(self, event: Event) -> None:
        self._say(event)
        why, self.aside = why_end(self.engine, self.tally, self.max_failures)
        self.ending = why or self.ending

    def _pass_on(self, signals: list[int]) -> None:
        for number in signals:
            name, running = name_of(number), sorted(self.jobs)
            for job in self.jobs.values():
                job.signal(number)
            to = f"goes on to trial {', '.join(map(str, running))}" if running else "finds nothing running"
            if number in ENDING:
                self.ending = self.ending or f"{name} came"
                to += ", and no other is started; a second signal ends at once"
            self._emit(EventKind.NOTICE, None, f"{name} {to}")

    # -- end ------------------------------------------------------------------------------------------------------------

    def _abandon(self) -> None:
        """Cancel what runs and put it back into the queue, so that the next call goes on with it; what ends by itself counts."""
        reason = "the sweep was interrupted"
        try:
            for job in self.jobs.values():
                job.end(Phase.PENDING, reason)
            deadline = time.monotonic() + _GRACE_S
            while self.jobs and time.monotonic() < deadline:
                for job, status in self._polled():
                    if status.state.is_over:
                        self._over(job, status)
                time.sleep(_TICK_S)
        finally:  # also at the second Ctrl-C
            left = [(job.number, job.attempt) for job in self.jobs.values()]
            for number, attempt in [*left, *((a.number, a.attempt) for a in self.held)]:
                self.engine.give_back(number, attempt, reason)
