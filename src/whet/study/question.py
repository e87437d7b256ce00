"""One question for a trial, and how it is answered."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, final

from whet.errors import Conflict
from whet.store.base import SweepState
from whet.study.assignment import Assignment, Nothing
from whet.study.lost import answered
from whet.study.pauses import assigned, end_paused, filled, may_go_on, promoted
from whet.trial import Phase, Suggestion, Trial

if TYPE_CHECKING:
    from whet.study.engine import Engine

__all__ = ["Question", "Unwanted"]

_LOOK_FOR_LOST_S = 2.0


class Unwanted(Exception):
    """Who asked is gone."""


@final
class Question:
    """Somebody asks an engine for a trial, and holds its searcher.

    Args:
        engine: The sweep's.
        mine: The trials that were started for whoever asks, if there are to be no others.
        owner: To whom the trial is handed out.
        key: The question's: the same again gets what it got before, while that runs.
        is_new: It was never asked before, by that key.
        is_wanted: Whether there is still somebody to answer. Looked at before a trial is handed out; once it is, it is.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        mine: Collection[int] | None,
        owner: str,
        key: str | None,
        is_new: bool = False,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._engine, self._mine, self._owner, self._key = engine, mine, owner, key
        self._is_new, self._is_wanted = is_new, is_wanted

    def answer(self) -> Assignment | Nothing:
        """Return a trial: one that waits, else a paused one worth resuming, else a new one; or why there is none.

        Raises:
            Unwanted: nobody waits for the answer any more; nothing was handed out.
        """
        engine = self._engine
        if self._is_new and engine.searching.is_quick:
            engine.look_for_lost(_LOOK_FOR_LOST_S)
            with engine.store.trials.turn(engine.id, brief=True):
                new = self._at_once()
            if new is not None:
                return new
        with engine.store.trials.turn(engine.id):
            return self._in_turn()

    def _in_turn(self) -> Assignment | Nothing:
        engine = self._engine
        before = None if self._is_new else answered(engine.store, engine.id, self._key)
        if before is not None:
            engine.sync()
            trial = engine.trial(before.number)
            return assigned(engine.store, before.run_id, before.attempt, before.number, trial, trial.last_step)
        engine.look_for_lost(_LOOK_FOR_LOST_S)
        if (new := self._at_once()) is not None:
            return new
        while True:
            engine.sync()
            if engine.config.terminate is not None:
                engine.finish_if_done(may_search=True)
            try:
                answer = self._waiting() or self._resumed() or self._suggested()
                if isinstance(answer, Nothing) and answer.final:
                    if (closed := self._closed(answer)) is None:
                        continue  # the paused ones are over: the method may have waited for them
                    answer = closed
            except Conflict:
                continue  # somebody was quicker, or has just closed the sweep: the next sync shows it
            if isinstance(answer, Nothing) and answer.final and engine.look_for_lost(0.0):
                continue  # nobody may come back to look again
            return answer

    def _at_once(self) -> Assignment | None:
        """Return a new trial where nothing else is to be done, and none of the others need be read for it: the method looks at nothing but its number."""
        engine = self._engine
        if self._mine is not None or engine.keeps_up:
            return None
        version, searching = engine.method()
        now = engine.store.trials.glance(engine.id)
        if now.is_waiting or now.version != version or now.state is not SweepState.RUNNING:
            return None
        if now.cap is not None and now.next_number >= now.cap:
            return None
        suggestion = searching.at(now.next_number)
        if suggestion is None:
            return None
        try:
            return self._added(now.next_number, suggestion, seen=now.revision, version=now.version)
        except Conflict:
            return None

    def _added(self, number: int, suggestion: Suggestion, *, seen: int, version: int) -> Assignment:
        self._check_wanted()
        store, sweep = self._engine.store, self._engine.id
        run_id = store.trials.add(
            sweep, number, suggestion, owner=self._owner, seen=seen, version=version, asked=self._key
        )
        return assigned(store, run_id, 0, number, suggestion)

    def _waiting(self) -> Assignment | None:
        engine = self._engine
        if engine.state is not SweepState.RUNNING or self._mine is not None:
            return None
        waiting = [trial for trial in engine.pending() if trial.phase is Phase.PENDING]
        return self._claimed(waiting[0]) if waiting else None

    def _resumed(self, *, closing: bool = False) -> Assignment | None:
        engine = self._engine
        if engine.state is not SweepState.RUNNING:
            return None
        found = promoted(engine.stopper, engine.pending(), engine.in_order, closing=closing)
        return None if found is None else self._claimed(replace(found[1], note=found[0].note), found[1].last_step)

    def _claimed(self, trial: Trial, after: int | None = None) -> Assignment:
        self._check_wanted()
        store, sweep = self._engine.store, self._engine.id
        run_id, attempt = store.trials.claim(sweep, trial.number, owner=self._owner, asked=self._key)
        return assigned(store, run_id, attempt, trial.number, trial, after)

    def _closed(self, answer: Nothing) -> Assignment | Nothing | None:
        """Return what becomes of paused trials now that there is nothing else: the best may go on; when none does, all are over (None)."""
        engine, mine = self._engine, self._mine
        pending = engine.pending()
        later = may_go_on(engine.stopper, pending, answer, mine) or self._resumed(closing=True)
        if later is not None and engine.state is SweepState.RUNNING:
            return later
        why = (
            answer.reason if mine is None else filled(engine.cap, len(engine.trials), pending)
        )  # empty: others may start more
        if not why or not end_paused(engine.store, engine.id, pending, why):
            return answer
        engine.finish_if_done()
        return None

    def _suggested(self) -> Assignment | Nothing:
        engine = self._engine
        seen = engine.snapshot()
        if seen.state is SweepState.FINISHED and (why := engine.why_over(may_search=True)):
            return Nothing(f"the sweep is finished: {why}", final=True)
        if seen.state is not SweepState.RUNNING:
            return Nothing(f"the sweep is {seen.state.value}", final=seen.state is not SweepState.PAUSED)
        if self._mine is not None:
            return Nothing("the trials asked for are done", final=True)
        if seen.cap is not None and seen.num_trials >= seen.cap:
            return Nothing(f"the run cap of {seen.cap} is used up", final=True)
        suggestion = seen.searching.suggest(seen.news)  # however long: nobody but the next question waits for it
        if suggestion is None:
            if waiting := sum(t.phase is not Phase.PAUSED for t in seen.news.pending):
                return Nothing(f"{seen.method} waits for {waiting} running trial(s)", final=False)
            return Nothing(f"{seen.method} has tried everything", final=True)
        return self._added(seen.num_trials, suggestion, seen=seen.revision, version=seen.version)

    def _check_wanted(self) -> None:
        if not self._is_wanted():
            raise Unwanted
