"""How a job's end is told: what it came to, as an event."""

from __future__ import annotations

from whet.launch.base import JobState, JobStatus
from whet.stop.base import Verdict
from whet.store.base import SweepState
from whet.study.judging import judge
from whet.trial import Phase
from whet.tune.events import Event, EventKind, failed, finished
from whet.tune.job import Job
from whet.tune.signals import ENDING, name_of

__all__ = ["judged", "told"]


def judged(job: Job) -> None:
    """Ask the stopper about a job's new reports, and end the job if it says so."""
    job.num_judged, decision = judge(job.engine, job.number, job.num_judged, job.after)
    if decision is not None:
        phase = Phase.PAUSED if decision.verdict is Verdict.PAUSE else Phase.FINISHED
        job.end(phase, decision.reason)


def told(job: Job, status: JobStatus) -> Event:
    """Tell how a job ended that is over, and return what to say. What ran to its end counts, whatever was meant to become of it.

    Raises:
        Conflict: its trial was handed out again since.
    """
    engine, number = job.engine, job.number
    if status.state is JobState.SUCCEEDED:
        values, problem = job.result()
        if values is None and (why := _signal_of(job, status)):
            return _given_back(job, why)
        if values is None:
            engine.tell(number, job.attempt, None, phase=Phase.FAILED, reason=problem)
            return failed(number, problem)
        if engine.tell(number, job.attempt, values, attrs=job.attrs()) is Phase.FAILED:
            engine.sync()
            return failed(number, engine.trial(number).reason, is_result=True)
        return finished(number, engine.problem.metrics, values)
    if status.state is JobState.LOST:
        return _queued_again(job, "its process vanished without an exit status")
    if status.state is JobState.CANCELED:
        return _canceled(job)
    if why := _signal_of(job, status):
        return _given_back(job, why)
    reason = job.why_failed(status)
    engine.tell(number, job.attempt, None, phase=Phase.FAILED, reason=reason, attrs=job.attrs())
    return failed(number, reason)


def _canceled(job: Job) -> Event:
    engine, number, attempt = job.engine, job.number, job.attempt
    if job.intent is None:
        # Who canceled it was killed before telling why. A stopper says the same again, or it runs again.
        engine.sync()
        if engine.state is SweepState.CANCELED:
            job.end(Phase.CANCELED, "the sweep was canceled")
        else:
            judged(job)
    intent = job.intent
    if intent is None or intent.phase is Phase.PENDING:
        return _given_back(job, intent.reason if intent else "it was interrupted")
    if intent.phase is Phase.CANCELED:
        engine.tell(number, attempt, None, phase=Phase.CANCELED, reason=intent.reason)
        return Event(EventKind.CANCELED, number, f"trial {number} canceled: {intent.reason}")
    stopped = intent.phase is Phase.FINISHED
    engine.tell(number, attempt, None, phase=intent.phase, stopped=stopped, reason=intent.reason, attrs=job.attrs())
    kind, how = (EventKind.STOPPED, "stopped early") if stopped else (EventKind.PAUSED, "paused")
    return Event(kind, number, f"trial {number} {how}: {intent.reason}")


def _signal_of(job: Job, status: JobStatus) -> str:
    """Return which signal that was passed on has ended the job, in words; empty: none.

    A training that is told to end may save and leave with any status, so after such a signal no result is no failure. The others end
    only what does not listen to them.
    """
    death = -(status.exit_code or 0)
    ended_by = [death] if death in job.signals else sorted(job.signals & ENDING)
    return f"it was ended by {name_of(ended_by[0])}" if ended_by else ""


def _given_back(job: Job, reason: str) -> Event:
    job.engine.give_back(job.number, job.attempt, reason)
    return Event(EventKind.REQUEUED, job.number, f"trial {job.number} is queued again: {reason}")


def _queued_again(job: Job, reason: str) -> Event:
    engine, number = job.engine, job.number
    engine.requeue(number, job.attempt, reason)
    engine.sync()
    trial = engine.trial(number)
    if trial.phase is Phase.FAILED:
        return failed(number, trial.reason)
    return Event(EventKind.REQUEUED, number, f"trial {number} is queued again: {reason}")
