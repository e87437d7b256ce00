"""What the verbs allow, decided once for every store: pure checks on plain facts, and the words of their errors."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence

from whet.errors import (
    AlreadyDriven,
    CapReached,
    Conflict,
    IllegalMove,
    NotFound,
    NumberTaken,
    StoreError,
    SweepClosed,
    nearest,
)
from whet.store import owner as owners
from whet.store.base import MOVES, SweepState
from whet.trial import Goal, Phase

__all__ = [
    "tagged",
    "CANCELED",
    "ambiguous",
    "beats",
    "best_of",
    "check_attempt",
    "check_run_id",
    "is_run_id",
    "check_cap",
    "check_driver",
    "check_ended",
    "check_extra",
    "check_finish",
    "check_goals",
    "check_hand_out",
    "check_lost",
    "check_most",
    "check_move",
    "check_limit",
    "check_number",
    "check_open",
    "check_result",
    "check_run_edit",
    "check_running",
    "check_time",
    "check_told",
    "check_unchanged",
    "check_version",
    "check_waiting",
    "extended",
    "landing",
    "name_taken",
    "no_trial",
    "not_found",
    "same_values",
    "searches_alike",
]

# Looking up an enum's member costs a tenth of a microsecond, and these are on every trial's way.
_RUNNING, _FINISHED = Phase.RUNNING, Phase.FINISHED
_SWEEP_RUNNING, _SWEEP_FINISHED, _SWEEP_CANCELED = SweepState.RUNNING, SweepState.FINISHED, SweepState.CANCELED

CANCELED = "the sweep was canceled"
"""The reason of trials that waited when it was."""


def not_found(kind: str, text: str, known: Iterable[str]) -> NotFound:
    """Return the error for a `kind` ("sweep", "run") called `text`, naming the nearest known ones."""
    names = nearest(text, known)
    close = difflib.get_close_matches(text, names, n=1, cutoff=0.6)
    shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
    fix = f"there is no {kind} yet" if not names else f"known: {shown}"
    return NotFound(f"no {kind} {text!r}", f"did you mean {close[0]!r}? {fix}" if close else fix, kind=kind, name=text)


def no_trial(sweep: str, number: int, next_number: int) -> NotFound:
    """Return the error for a trial that the sweep has not got."""
    fix = f"it has {next_number}, counted from 0" if next_number else "it has none yet"
    return NotFound(f"sweep {sweep!r} has no trial {number}", fix, number=number)


def ambiguous(kind: str, text: str, ids: Sequence[str]) -> NotFound:
    """Return the error for `text`, which could be any of `ids`."""
    shown = ", ".join(ids[:8]) + (" …" if len(ids) > 8 else "")
    return NotFound(f"{text!r} could be any of {len(ids)} {kind}s", f"give one of their ids: {shown}", ids=tuple(ids))


def name_taken(project: str, name: str) -> Conflict:
    """Return the error for a sweep's name that the project has already."""
    return Conflict(f"project {project!r} has a sweep {name!r} already", "load that one, or give another name")


def is_run_id(id: str) -> bool:
    """Return whether `id` may name a run, and so a folder: up to 64 letters, digits, ``-``, ``_`` and ``.``, not dots alone."""
    return bool(id.strip(".")) and all(c.isalnum() or c in "-_." for c in id) and len(id) <= 64


def check_run_id(id: str) -> None:
    """Raise StoreError where no run may be called `id`."""
    if not is_run_id(id):
        raise StoreError(f"run id {id!r:.100} can't be", "use up to 64 letters, digits, '-', '_' and '.'")


def check_run_edit(run: str, sweep: str | None, what: str) -> None:
    """Raise Conflict where `what` is asked of a trial's run."""
    if sweep is not None:
        fix = "delete the sweep instead" if what == "deleted" else "tell its trial instead"
        raise Conflict(f"run {run!r} is a trial of sweep {sweep!r} and can't be {what} alone", fix, sweep=sweep)


def check_open(sweep: str, state: SweepState) -> None:
    """Raise SweepClosed unless a sweep in `state` hands out trials."""
    if state is not _SWEEP_RUNNING:
        fix = "it can't be reopened: create a new one" if state is SweepState.CANCELED else "set it running again first"
        raise SweepClosed(f"sweep {sweep!r} is {state.value} and hands out no trial", fix, state=state)


def check_hand_out(sweep: str, state: SweepState, cap: int | None, next_number: int) -> None:
    """Raise SweepClosed or CapReached unless there may be one more trial."""
    check_open(sweep, state)
    if cap is not None and next_number >= cap:
        raise CapReached(f"sweep {sweep!r} has handed out all {cap} trials of its run cap", "raise the cap for more")


def check_most(limit: int | None) -> None:
    """Raise StoreError where so many can't be asked for."""
    if limit is not None and not 0 <= limit < 2**63:
        raise StoreError(f"limit={limit} is no count", "give 0 or more, or none for all")


def check_limit(limit: int | None) -> None:
    """Raise StoreError unless pages of `limit` come to an end."""
    if limit is not None and not 1 <= limit <= 1_000_000:
        raise StoreError(f"limit={limit}", "give 1 to 1000000, or none")


def extended(sweep: str, state: SweepState, cap: int | None, next_number: int) -> tuple[SweepState, int | None]:
    """Return state and cap of a sweep that is to have one more trial than it was.

    Raises:
        SweepClosed: it is paused or canceled.
    """
    if state is not _SWEEP_FINISHED:
        check_open(sweep, state)
    return _SWEEP_RUNNING, None if cap is None else max(cap, next_number) + 1


def check_number(sweep: str, number: int, next_number: int) -> None:
    """Raise NumberTaken unless `number` is the next one."""
    if number != next_number:
        raise NumberTaken(
            f"trial {number} of sweep {sweep!r} is not the next one, {next_number} is", "read the changes and ask again"
        )


def check_attempt(what: str, attempt: int, now: int) -> None:
    """Raise Conflict where `attempt` is not the one that counts `now`."""
    if attempt != now:
        raise Conflict(
            f"attempt {attempt} at {what} is over: it was handed out again (attempt {now})",
            "end this worker",
            attempt=now,
        )


def check_running(number: int, phase: Phase, attempt: int, now: int) -> None:
    """Raise Conflict unless the trial runs in this `attempt`."""
    if attempt != now:
        check_attempt(f"trial {number}", attempt, now)
    if phase is not _RUNNING:
        raise Conflict(f"trial {number} is {phase.value}, not running", "ask for another one", phase=phase)


def check_told(number: int, phase: Phase, attempt: int, now: int, *, stopped: bool) -> None:
    """Raise Conflict unless the trial may be told: it runs in this `attempt`, or it is paused and is now `stopped` for good."""
    if phase is not Phase.PAUSED or not stopped:
        check_running(number, phase, attempt, now)
    elif attempt != now:
        check_attempt(f"trial {number}", attempt, now)


def check_waiting(number: int, phase: Phase) -> None:
    """Raise Conflict unless the trial waits to be handed out."""
    if phase not in (Phase.PENDING, Phase.PAUSED):
        raise Conflict(
            f"trial {number} is {phase.value}, neither pending nor paused", "ask for another one", phase=phase
        )


def check_lost(number: int, owner: str, was: str) -> None:
    """Raise Conflict unless the trial's owner is still `was`."""
    if owner != was:
        raise Conflict(f"trial {number} is in the hands of {owner!r}, not of {was!r}", "leave it there", owner=owner)


def check_move(sweep: str, state: SweepState, to: SweepState) -> bool:
    """Return whether anything changes.

    Raises:
        IllegalMove: there is no such transition.
    """
    if state is to:
        return False
    if to not in MOVES[state]:
        legal = ", ".join(sorted(s.value for s in MOVES[state]))
        fix = f"from here it can go to: {legal}" if legal else "create a new one"
        raise IllegalMove(f"sweep {sweep!r} is {state.value} and can't become {to.value}", fix, state=state)
    return True


def check_unchanged(sweep: str, revision: int | None, version: int | None, now: int, version_now: int) -> None:
    """Raise Conflict where a sweep is not at the revision and the version any more at which it was looked at; None is any."""
    if revision not in (None, now) or version not in (None, version_now):
        raise Conflict(
            f"sweep {sweep!r} went on meanwhile: it is at revision {now} of version {version_now}", "look at it again"
        )


def check_version(sweep: str, version: int, now: int) -> None:
    """Raise Conflict where somebody changed the sweep since `version`."""
    if version != now:
        raise Conflict(
            f"sweep {sweep!r} was changed meanwhile: it is at version {now}, not {version}",
            "read it again, then change it",
        )


def check_cap(sweep: str, cap: int, next_number: int) -> None:
    """Raise Conflict where a new `cap` is below what was handed out."""
    if cap < next_number:
        raise Conflict(
            f"cap={cap} is below the {next_number} trials that sweep {sweep!r} has handed out",
            f"give at least {next_number}",
        )


def check_goals(sweep: str, goals: Sequence[Goal], now: Sequence[Goal], next_number: int) -> None:
    """Raise Conflict where trials were handed out under other goals."""
    if next_number and list(goals) != list(now):
        raise Conflict(
            f"sweep {sweep!r} has {next_number} trials under the goals {_words(now)}, not {_words(goals)}",
            "make a new sweep, with start_from",
        )


def _words(goals: Sequence[Goal]) -> str:
    return ", ".join(goal.value for goal in goals) or "none"


def check_result(number: int, phase: Phase, values: Sequence[float] | None, stopped: bool, goals: int) -> None:
    """Raise where a trial can't end like this."""
    if phase is _FINISHED and not stopped:
        if values is not None and len(values) == goals:
            for value in values:
                if value != value:
                    break
            else:
                return
        raise StoreError(
            f"trial {number} finished with values={values}, wanted {goals} number{'s' * (goals != 1)}, none of them NaN",
            "tell it as failed where there is no result",
        )
    if phase is Phase.PENDING or phase is _RUNNING:
        raise IllegalMove(f"trial {number} can't be told as {phase.value}", "tell finished, failed, canceled or paused")


def check_extra(phase: Phase) -> None:
    """Raise IllegalMove unless a trial in `phase` may be added as one that ran elsewhere."""
    if not phase.is_over:
        raise IllegalMove(
            f"a {phase.value} trial can't be added from elsewhere", "add those that are over, enqueue the others"
        )


def check_driver(sweep: str, driver: str | None, owner: str, beat: float | None, now: float, silent_s: float) -> None:
    """Raise AlreadyDriven unless `owner` may take the wheel from `driver`, last heard of at `beat`."""
    if driver is None or driver == owner or (beat is not None and now - beat > silent_s):
        return
    if owners.alive(driver) is False:
        return
    host, pid = (*driver.split("|"), "?")[:2]
    raise AlreadyDriven(
        f"sweep {sweep!r} is driven by process {pid} on {host}",
        "let that one go on, or end it first; agents may join at any time",
        owner=driver,
    )


def check_time(name: str, seconds: float | None) -> None:
    """Raise StoreError where `seconds` can't be a time: seconds since the epoch, up to the year 5138."""
    if seconds is not None and not 0 <= seconds <= 1e11:
        raise StoreError(f"{name}={seconds} is no time", "give seconds since the epoch")


def check_finish(run: str, phase: Phase, to: Phase) -> bool:
    """Return whether anything changes when a run ends as `to`.

    Raises:
        IllegalMove: `to` is no end, or it has ended otherwise.
    """
    if not to.is_over:
        raise IllegalMove(f"run {run!r} can't end as {to.value}", "end it as finished, failed or canceled")
    if phase is to:
        return False
    if phase.is_over:
        raise IllegalMove(
            f"run {run!r} is {phase.value} and can't become {to.value}", "leave it, or start a new one", phase=phase
        )
    return True


def check_ended(run: str, phase: Phase) -> None:
    """Raise Conflict where the run still runs."""
    if phase is Phase.RUNNING:
        raise Conflict(f"run {run!r} is running and can't be deleted", "end it first", phase=phase)


def landing(state: SweepState, phase: Phase) -> Phase:
    """Return where a trial goes: a canceled sweep has none that waits."""
    if state is _SWEEP_CANCELED and phase in (Phase.PENDING, Phase.PAUSED):
        return Phase.CANCELED
    return phase


def same_values(a: Sequence[float] | None, b: Sequence[float] | None) -> bool:
    """Return whether two results are the same, NaN being the same as NaN."""
    if a is None or b is None:
        return a is b
    return len(a) == len(b) and all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))


def beats(goal: Goal, value: float, number: int, best: float | None, best_number: int | None) -> bool:
    """Return whether trial `number` becomes the best: by its value, among equals by the smaller number."""
    if best is None or best_number is None:
        return True
    loss, least = goal.loss(value), goal.loss(best)
    return loss < least or (loss == least and number < best_number)


def best_of(goal: Goal, results: Iterable[tuple[str, float, int]]) -> tuple[str, float, int] | None:
    """Return the best of (run, value, number), by `beats`; None where there is none."""
    best: tuple[str, float, int] | None = None
    for run, value, number in results:
        if best is None or beats(goal, value, number, best[1], best[2]):
            best = run, value, number
    return best


def searches_alike(config: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Return whether two configurations of a sweep differ in nothing but the user's own attributes."""
    return {k: v for k, v in config.items() if k != "attrs"} == {k: v for k, v in other.items() if k != "attrs"}


def tagged(tags: Sequence[str], add: Collection[str], remove: Collection[str]) -> list[str]:
    """Return the tags of a run without those that go, and with those that come at the end."""
    gone = set(remove)
    return list(dict.fromkeys([*(tag for tag in tags if tag not in gone), *add]))
