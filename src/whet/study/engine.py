"""Where searcher, stopper and store meet: ask, report, decide, tell, recover. Everything that runs trials goes through here.

An `Engine` is one process's view of one sweep. It keeps the sweep's trials in memory and brings them up to date by revision, so the
cost of a step does not grow with the history, and it rebuilds its searcher from them, so nothing about a search is ever saved. Where the
next trial depends on none of the others (`keeps_up` is False) it does so only when somebody looks at them.

Two locks: one of what is known, held for moments; one of the searcher, held for as long as it searches, from a `Snapshot`. Who holds the
second may take the first, never the other way round, so whoever reports, tells or looks at a sweep that goes on never
waits for a search; why a finished one has ended may take one. Nor does he make one: whether
there is little to gain is found out by who asks for a trial, or leaves.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, final

from whet.config import SweepConfig, to_mapping
from whet.errors import Conflict, IllegalMove
from whet.space import Parameter
from whet.store.base import Lease, Store, Sweep, SweepState
from whet.study import distant
from whet.study.assignment import Assignment, Nothing
from whet.study.fill import completed, fitting
from whet.study.learn import with_space
from whet.study.lost import LEASE_S, recover_lost, requeue
from whet.study.pauses import end_paused
from whet.study.question import Question
from whet.study.results import as_end
from whet.study.view import View
from whet.trial import Phase, Report, Trial

if TYPE_CHECKING:
    from whet.stop.base import Decision

__all__ = ["LEASE_S", "Assignment", "Engine", "Nothing"]

_LOOK_FROM_AFAR_S = 10.0


@final
class Engine(View):
    """One process's handle on a sweep. Safe to use from several threads.

    Args:
        store: Where the sweep is kept.
        sweep: The sweep, or its id.
        recover: Called with each lease whose worker is lost; it returns True when it took the trial over itself (its job still
            runs, say), and None when somebody else may yet do that. Otherwise the trial is handed out again.
    """

    def __init__(
        self, store: Store, sweep: Sweep | str, *, recover: Callable[[Lease], bool | None] | None = None
    ) -> None:
        super().__init__(store, sweep)
        self._recover = recover
        self._asking = threading.RLock()  # held by who uses the searcher
        self.question: str | None = None  # the key of one that was not answered yet

    # -- ask ----------------------------------------------------------------------------------------------------------

    def ask(self, *, mine: Collection[int] | None = None) -> Assignment | Nothing:
        """Hand out the next trial to this process: a waiting one, else a paused one worth resuming, else a new one.

        If all `mine` were started, only a paused one. Asked again after an error, it is the same question, and gets what it got before while that runs.
        """
        if self.store.server is not None:
            with self._asking:
                self.look_for_lost(_LOOK_FROM_AFAR_S)
                return distant.ask(self, self.store.server, mine)
        with self._asking:
            # The store may have kept what it handed out though the word of that was lost, so this stays the same question until it is answered.
            is_new = self.question is None
            key = self.question = self.question or secrets.token_hex(16)
            answer = Question(self, mine=mine, owner=self.owner, key=key, is_new=is_new).answer()
            self.question = None
            return answer

    def ask_for(
        self,
        owner: str,
        *,
        mine: Collection[int] | None = None,
        key: str | None = None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Assignment | Nothing:
        """Do as `ask`, for somebody else; only where the history is, not from afar.

        Args:
            owner: To whom the trial is handed out.
            mine: As for `ask`.
            key: The question's: the same again gets what it got before, while that runs.
            is_wanted: Whether there is still somebody to answer.

        Raises:
            Unwanted: the answer `is_wanted` no more, so nothing was handed out.
        """
        with self._asking:
            return Question(self, mine=mine, owner=owner, key=key, is_wanted=is_wanted).answer()

    # -- report, decide, tell -----------------------------------------------------------------------------------------

    def report(self, number: int, attempt: int, report: Report) -> None:
        """Keep an intermediate result of a trial of this process."""
        self.store.trials.report(self.id, number, attempt, [report])

    def decide(self, number: int, after: int | None = None) -> Decision | None:
        """Return what the stopper says of a running trial; None without a stopper, or a report (later than step `after`)."""
        if self.stopper is None:
            return None
        if self.store.server is not None:
            return distant.judge(self, self.store.server, number, None, after)[1]
        with self._lock:
            self.sync()
            trial, stopper = self.trial(number), self.stopper
            if stopper is None or not trial.reports or (after is not None and trial.reports[-1].step <= after):
                return None
            peers = [t for t in self.trials.values() if t.number != number]
        return stopper.decide(trial, peers)

    def tell(
        self,
        number: int,
        attempt: int,
        values: Sequence[float] | None,
        *,
        phase: Phase = Phase.FINISHED,
        stopped: bool = False,
        reason: str = "",
        asked: Mapping[str, Parameter] | None = None,
        params: Mapping[str, object] | None = None,
        attrs: Mapping[str, object] | None = None,
    ) -> Phase:
        """End a trial of this process and return the phase it got: a result with NaN in it makes it FAILED, and says so.

        Args:
            values: One a metric; of a stopped trial None takes its last report.
            asked: What a define-by-run objective asked for, in its order; the space learns from it.
            params: The values it got.

        Raises:
            StudyError: not one value a metric.
            Conflict: the trial is over, or was handed out again since.
        """
        end = as_end(self.problem, number, values, self.now, phase=phase, stopped=stopped, reason=reason, attrs=attrs)
        self.store.trials.tell(
            self.id, number, attempt, phase=end.phase, values=end.values, stopped=stopped, reason=end.reason, params=params, attrs=attrs,
            may_be_best=end.may_be_best,
        )  # fmt: skip
        if asked is not None and end.phase is not Phase.CANCELED:
            self._learn(asked, params or {})
        if end.phase is Phase.PAUSED or self._may_be_over():
            self.finish_if_done()
        return end.phase

    def _may_be_over(self) -> bool:
        if self.keeps_up or not self._ending.is_by_cap_alone:
            return self._ending.is_possible(self.cap)
        if self.cap is None:
            return False
        now = self.store.trials.glance(self.id)
        return now.cap is not None and now.next_number >= now.cap

    def finish_if_done(self, *, exhausted: bool = False, may_search: bool = False) -> bool:
        """Finish the sweep where there is a reason to (or its method is `exhausted` and nothing runs), and return whether it is finished.

        With `may_search` also where only its method can tell, as `why_over`.
        """
        if self.store.server is not None:
            self.state = distant.settle(self, self.store.server, exhausted=exhausted, may_search=may_search)
            return self.state is SweepState.FINISHED
        while not self._settled(exhausted, may_search):
            exhausted = False  # somebody queued a trial, or raised the cap, while it was looked at: so it is not
        if self.state is SweepState.FINISHED and any(t.phase is Phase.PAUSED for t in self.pending()):
            why = self.why_over(may_search=may_search)
            end_paused(self.store, self.id, self.pending(), why or "the sweep is finished")
        return self.state is SweepState.FINISHED

    def leave(self, *, exhausted: bool = False) -> None:
        """Do as `finish_if_done`, for whoever asks for no more trials: if nobody else does, nobody would see that there is little to gain."""
        if exhausted or self._ending.may_foresee:
            self.finish_if_done(exhausted=exhausted, may_search=True)

    def _settled(self, exhausted: bool, may_search: bool) -> bool:
        """Finish the sweep where there is a reason to; returns False where that reason may have gone meanwhile."""
        self.sync()
        with self._lock:
            is_idle, revision, version = not self.history.open, self.history.revision, self.version
        if self.state is SweepState.RUNNING and ((exhausted and is_idle) or self.why_over(may_search=may_search)):
            # That there is nothing more to do holds as long as there is nothing new. Other reasons hold whatever comes.
            seen = {"revision": revision, "version": version} if is_idle else {}
            try:
                self.state = self.store.sweeps.move(self.id, SweepState.FINISHED, **seen).state
            except IllegalMove:  # somebody has just canceled it
                self.sync()
            except Conflict:
                return False
        return True

    def why_over(self, *, may_search: bool = False) -> str:
        """Return why the sweep is over, as last seen, in words; empty while it goes on, and where nothing but a person or its method ended it.

        Whether the method sees little to gain takes as long as a search to find out. It is asked only with `may_search`, and while nobody else searches:
        who does will see it. Otherwise what it said last counts, as long as nothing has ended since.
        """
        now = time.time() if self.state is SweepState.RUNNING else self.store.sweeps.get(self.id).updated
        with self._lock:
            ending = self._ending
            why = ending.why(self.history, self.cap, now)
            if why or not ending.asks_for_gain(self.history.best):
                return why
            gain = self.searching.known_gain(self.history.num_ended)
        if gain is None and may_search:
            gain = self._expected_gain()
        with self._lock:
            return ending.little_to_gain(self.history.best, gain)

    def _expected_gain(self) -> float | None:
        if not self._asking.acquire(blocking=False):
            return None
        try:
            with self._lock:
                searching, news = self.searching, self._news()
            return searching.expected_gain(news)
        finally:
            self._asking.release()

    # -- other ways in ------------------------------------------------------------------------------------------------

    def enqueue(
        self, params: Mapping[str, object], attrs: Mapping[str, object] | None = None, *, once: str | None = None
    ) -> int:
        """Queue a configuration and return its number. What it leaves open is drawn: in a declared space now, else when it is asked for.

        With the same key `once` it is queued once.

        Raises:
            SpaceError: it is not legal in the space.
        """
        self.sync()
        whole = completed(self.config, params, len(self.trials))
        return self.store.trials.enqueue(self.id, whole, attrs=attrs or {}, once=once)

    def extend(self, trials: Iterable[Trial]) -> list[int]:
        """Add trials that ran elsewhere.

        Raises:
            SpaceError: one does not fit the space (of a declared space).
        """
        fit = fitting(self.config, trials)
        return self.store.trials.extend(
            self.id, fit, barred=[i for i, t in enumerate(fit) if not self.problem.keeps(t)]
        )

    def edit(self, change: Callable[[SweepConfig], SweepConfig]) -> None:
        """Bring a change of the configuration to the store; it is made again on what others have stored meanwhile."""
        with self._lock:
            while True:
                self.sync()
                changed = change(self.config)
                if changed == self.config:
                    return
                try:
                    stored = self.store.sweeps.edit(self.id, version=self.version, config=to_mapping(changed))
                except Conflict:
                    continue
                self._read_config(stored)
                return

    # -- learned spaces -----------------------------------------------------------------------------------------------

    def check_asked(self, name: str, parameter: Parameter) -> None:
        """Raise SpaceError where a define-by-run objective may not ask for `parameter` under this name."""
        self._learning.check(name, parameter)

    def _learn(self, asked: Mapping[str, Parameter], params: Mapping[str, object]) -> None:
        """Bring what a define-by-run objective asked for, and the values it got, into the stored space."""
        with self._lock:
            if not self.keeps_up and self._learning.explains(asked, params):
                return  # if others have taught the space otherwise meanwhile, a later trial shows which is right
            self.sync()
            if self._learning.space(asked, self.history) is not self.problem.space:
                self.edit(lambda config: with_space(config, self._learning.space(asked, self.history)))

    # -- lost workers -------------------------------------------------------------------------------------------------

    def look_for_lost(self, interval_s: float) -> int:
        """Do as `recover_lost`, but only where that was last done `interval_s` ago or longer."""
        return self.recover_lost() if self.paced("lost", interval_s) else 0

    def recover_lost(self) -> int:
        """Find running trials whose worker is gone, have them taken over or queued again, and return how many these were."""
        return recover_lost(self.store, self.id, self._recover)

    def requeue(self, number: int, attempt: int, reason: str) -> None:
        """Hand a trial out again whose worker was lost, or fail it when that was too often."""
        requeue(self.store, self.id, number, attempt, reason)

    def give_back(self, number: int, attempt: int, reason: str) -> None:
        """Put a trial of this process back into the queue; that does not count as a loss (Ctrl-C is not its fault)."""
        with contextlib.suppress(Conflict):
            self.store.trials.requeue(self.id, number, attempt, reason)
