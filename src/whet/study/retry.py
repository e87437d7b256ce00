"""Running failed trials again.

A trial that is over stays as it is: searchers and replays rest on when it ended, and its output is what tells why it failed. So the same
params are queued as a new trial, whose attributes say which one it repeats.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import final

from whet.errors import StudyError, SweepClosed
from whet.store import rules
from whet.store.base import Store, SweepState
from whet.study.engine import Engine
from whet.study.fill import completed
from whet.trial import Phase, Trial

__all__ = ["RETRY_OF", "Retried", "retry"]

RETRY_OF = "retry_of"
"""The attribute of a trial that says which one it runs again."""
_GOES_ON = "it goes on from another trial's checkpoint, and its method makes a new one by itself"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What was queued.

    Args:
        queued: The new trials by the number of the one that each repeats.
        waiting: Those that were queued by an earlier call and are not over yet.
        skipped: Why a failed trial can't be run again, by number.
        state, cap: The sweep's now.
    """

    queued: Mapping[int, int]
    waiting: Mapping[int, int]
    skipped: Mapping[int, str]
    state: SweepState
    cap: int | None


def retry(store: Store, sweep: str, numbers: Collection[int] | None = None) -> Retried:
    """Queue trials that are over once more, as new ones with the same params, and return which.

    Repeating the call queues nothing twice: a trial that was retried is passed over (its retry may fail and be retried in turn). A cap is raised by as
    many as are queued, each together with its trial, and a finished sweep is reopened, also for retries that wait in it. Params are completed where
    the space has grown since.

    Args:
        store: Where the sweep is kept.
        sweep: Its id.
        numbers: Any that are over, whether retried before or not (but for those whose retry still waits or runs); None: all that
            failed and were not retried.

    Raises:
        NotFound: there is no such trial.
        StudyError: one of `numbers` is not over, or goes on from another trial.
        SpaceError: params are not legal any more; then nothing is queued.
        SweepClosed: the sweep is paused or canceled, or it would be over at once: its target is reached, its time or budget used up.
    """
    engine = Engine(store, sweep)
    with store.trials.turn(sweep):  # so that of two calls the second sees what the first has queued
        engine.sync()
        repeats = _repeats(engine.in_order())
        chosen, waiting, skipped = _chosen(engine, numbers, repeats)
        is_stuck = engine.state is SweepState.FINISHED and any(
            engine.trial(n).phase is Phase.PENDING for n in waiting.values()
        )
        queued: dict[int, int] = {}
        if chosen or is_stuck:
            made = {
                trial.number: completed(engine.config, trial.params, len(engine.trials) + place)
                for place, trial in enumerate(chosen)
            }
            _check_goes_on(engine)
            if is_stuck:
                store.sweeps.move(sweep, SweepState.RUNNING)
            for number, params in made.items():
                queued[number] = store.trials.enqueue(sweep, params, attrs={RETRY_OF: number}, extra=True)
        now = store.sweeps.get(sweep)
    return Retried(queued=queued, waiting=waiting, skipped=skipped, state=now.state, cap=now.cap)


def _repeats(trials: list[Trial]) -> dict[int, Trial]:
    """Return the latest retry of each trial that has one."""
    found: dict[int, Trial] = {}
    for trial in trials:
        of = trial.attrs.get(RETRY_OF)
        if isinstance(of, int) and not isinstance(of, bool):
            found[of] = trial
    return found


def _chosen(
    engine: Engine, numbers: Collection[int] | None, repeats: Mapping[int, Trial]
) -> tuple[list[Trial], dict[int, int], dict[int, str]]:
    waiting = {of: trial.number for of, trial in repeats.items() if not trial.phase.is_over}
    if numbers is None:
        failed = [t for t in engine.in_order() if t.phase is Phase.FAILED and t.number not in repeats]
        skipped = {t.number: _GOES_ON for t in failed if t.parent is not None}
        return [t for t in failed if t.parent is None], waiting, skipped
    asked = [engine.trial(number) for number in dict.fromkeys(numbers)]
    for trial in asked:
        if not trial.phase.is_over:
            raise StudyError(
                f"trial {trial.number} is {trial.phase.value}, not over",
                "wait for its end; a trial whose worker is lost is handed out again by itself",
            )
        if trial.parent is not None:
            raise StudyError(f"trial {trial.number} can't be run again: {_GOES_ON}", "let the sweep go on")
    waiting = {n: new for n, new in waiting.items() if n in {t.number for t in asked}}
    return [t for t in asked if t.number not in waiting], waiting, {}


def _check_goes_on(engine: Engine) -> None:
    """Raise SweepClosed where a trial that is queued now would never be run."""
    if engine.state is not SweepState.FINISHED:
        rules.check_open(engine.name, engine.state)
        return
    engine.state, engine.cap = SweepState.RUNNING, None  # as it is about to be; nobody else has this engine
    if why := engine.why_over(may_search=True):
        raise SweepClosed(
            f"sweep {engine.name!r} is over and would be again at once: {why}",
            "change its target or terminate first (PUT /sweeps/ID), or make a new sweep with start_from",
        )
