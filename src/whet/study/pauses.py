"""Paused trials: which one goes on, and what becomes of those that never do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence

from whet.errors import Conflict
from whet.stop.base import Stopper
from whet.store.base import Store
from whet.study.assignment import Assignment, Nothing
from whet.trial import Phase, Suggestion, Trial

__all__ = ["assigned", "end_paused", "filled", "may_go_on", "parent_run", "promoted"]


def promoted(
    stopper: Stopper | None, pending: Sequence[Trial], trials: Callable[[], Sequence[Trial]], *, closing: bool
) -> tuple[Suggestion, Trial] | None:
    """Return the paused trial that the stopper resumes, and why, or None.

    Args:
        stopper: The sweep's.
        pending: Its trials that are not over.
        trials: Returns all of them.
        closing: As in `Stopper.promote`.
    """
    paused = {t.number: t for t in pending if t.phase is Phase.PAUSED}
    if stopper is None or not paused:
        return None
    found = stopper.promote(trials(), closing=closing)
    trial = None if found is None or found.parent is None else paused.get(found.parent)
    return None if found is None or trial is None else (found, trial)


def may_go_on(
    stopper: Stopper | None, pending: Sequence[Trial], answer: Nothing, mine: Collection[int] | None
) -> Nothing | None:
    """Return that it is too early to leave, though there is nothing new to do, while what runs may have paused trials go on; else None.

    Args:
        stopper: The sweep's.
        pending: Its trials that are not over.
        answer: Why there is nothing new to do.
        mine: The trials that the caller has started, if it is to start no other: it waits for those only, and where only others run, it
            leaves what is paused to whoever runs them and gets the `answer` as it is.
    """
    running = [trial.number for trial in pending if trial.phase is Phase.RUNNING]
    paused = sum(t.phase is Phase.PAUSED for t in pending)
    if not running or not (paused or (stopper is not None and stopper.pauses)):
        return None
    if mine is not None and not any(number in mine for number in running):
        return answer
    return Nothing(
        f"{answer.reason}; {paused} paused trial(s) may go on once the {len(running)} that run(s) got further",
        final=False,
    )


def filled(cap: int | None, num_trials: int, pending: Sequence[Trial]) -> str:
    """Return that all the trials a sweep may have were started, in words; empty while that is not so."""
    if cap is None or num_trials < cap or any(t.phase is Phase.PENDING for t in pending):
        return ""
    return f"the run cap of {cap} is used up"


def end_paused(store: Store, sweep: str, pending: Sequence[Trial], why: str) -> int:
    """End the paused trials as stopped early, with the reason, and return how many there were."""
    count = 0
    for trial in pending:
        if trial.phase is Phase.PAUSED:
            values = trial.reports[-1].values if trial.reports else None
            reason = f"{trial.reason}; it never went on: {why}" if trial.reason else f"it never went on: {why}"
            with contextlib.suppress(Conflict):  # somebody else did
                store.trials.tell(
                    sweep, trial.number, trial.attempt, phase=Phase.FINISHED, values=values, stopped=True, reason=reason
                )
                count += 1
    return count


def assigned(
    store: Store, run_id: str, attempt: int, number: int, chosen: Suggestion | Trial, after: int | None = None
) -> Assignment:
    """Return what a process is handed out: `chosen`, and the run that it goes on from."""
    parent = parent_run(store, run_id, chosen.parent)
    return Assignment(
        run_id=run_id, number=number, attempt=attempt, params=chosen.params, note=chosen.note, parent=parent, after=after
    )  # fmt: skip


def parent_run(store: Store, run_id: str, parent: int | None) -> str | None:
    """Return the id of the run that a trial goes on from."""
    return None if parent is None else store.runs.get(run_id).parent
