"""Where searcher, stopper and store meet: ask, report, decide, tell, recover. Everything that runs trials goes through here.

An `Engine` is one process's view of one sweep. It keeps the sweep's trials in memory and brings them up to date by revision, so the
cost of a step does not grow with the history, and it rebuilds its searcher from them, so nothing about a search is ever saved.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, final

from whet.config import SweepConfig, parse, to_mapping
from whet.errors import Conflict, IllegalMove
from whet.plugins import build
from whet.space import Parameter, Space
from whet.store import owner as owners
from whet.store import rules
from whet.store.base import Lease, Store, Sweep, SweepState
from whet.study import distant
from whet.study.assignment import Assignment, Nothing
from whet.study.ending import Ending
from whet.study.fill import completed, fitting
from whet.study.history import History
from whet.study.learn import Learned, with_space
from whet.study.lost import LEASE_S, recover_lost, requeue
from whet.study.pace import Pace
from whet.study.pauses import end_paused
from whet.study.question import Question
from whet.study.results import as_end
from whet.study.searching import Searching, basis
from whet.trial import Phase, Problem, Report, Trial

if TYPE_CHECKING:
    from whet.stop.base import Decision, Stopper

__all__ = ["LEASE_S", "Assignment", "Engine", "Nothing"]

_LOOK_FROM_AFAR_S = 10.0


@final
class Engine:
    """One process's handle on a sweep. Safe to use from several threads.

    Args:
        store: Where the sweep is kept.
        sweep: The sweep, or its id.
        recover: Called with each lease whose worker is lost; it returns True when it took the trial over itself (its job still
            runs, say), and None when somebody else may yet do that. Otherwise the trial is handed out again.
    """

    config: SweepConfig
    version: int
    """Of the stored sweep."""
    stopper: Stopper | None
    history: History
    """All trials as last seen."""
    searching: Searching

    def __init__(
        self, store: Store, sweep: Sweep | str, *, recover: Callable[[Lease], bool | None] | None = None
    ) -> None:
        sweep = store.sweeps.get(sweep) if isinstance(sweep, str) else sweep
        self.store = store
        self.id, self.name, self.project = sweep.id, sweep.name, sweep.project
        self.state, self.cap = sweep.state, sweep.cap
        self._recover = recover
        self._lock = threading.RLock()
        self.paced = Pace()
        self.question: str | None = None  # the key of one that was not answered yet
        self._read_config(sweep)
        self.history = History(self.problem)

    def _read_config(self, sweep: Sweep) -> None:
        """Take in the sweep as it is stored now; searcher and stopper stay as they are where nothing changed for them."""
        old: SweepConfig | None = getattr(self, "config", None)
        new = parse(dict(sweep.config), source=f"sweep {sweep.id}")
        if old is not None and old.problem == new.problem:
            new = replace(new, problem=old.problem)  # the same object, for those who compare by identity
        self.config = new
        self.version = sweep.version
        if old is None or (old.problem, old.stopper) != (new.problem, new.stopper):
            self.stopper = None
            if (plug := new.stopper) is not None:
                self.stopper = build("stopper", plug.name, new.problem, knobs_given=dict(plug.knobs))
        if old is None or old.aims != new.aims:
            self._ending = Ending(new)
            if old is not None:
                self.history.judge_by(new.problem)
        if old is None or basis(old) != basis(new):
            self.searching, self._num_learned = Searching(new), 0
            self._learned = Learned(new.problem.space) if new.define_by_run else None

    # -- what is known ------------------------------------------------------------------------------------------------

    @property
    def problem(self) -> Problem:
        """The space, as declared or as learned so far, and the metrics."""
        return self.config.problem

    @property
    def owner(self) -> str:
        """This process, as leases name it; after a fork, the child."""
        return owners.here()

    @property
    def seed(self) -> int:
        """The searcher's seed."""
        return self.config.seed or 0

    @property
    def trials(self) -> Mapping[int, Trial]:
        """The trials by number, as last seen."""
        return self.history.trials

    @property
    def best(self) -> Trial | None:
        """The best complete trial as last seen; None before there is one, and with several metrics."""
        return self.history.best

    @property
    def pauses(self) -> bool:
        """Whether trials may be paused, and go on later."""
        return self.stopper is not None and self.stopper.pauses

    def sync(self) -> None:
        """Bring the trials up to date."""
        with self._lock:
            changes = self.store.trials.changes(self.id, self.history.revision)
            self.state, self.cap = changes.state, changes.cap
            if changes.revision != self.history.revision:
                self.history.apply(changes)
            if changes.version != self.version:
                self._read_config(self.store.sweeps.get(self.id))

    def watch(self) -> None:
        """See whether the sweep goes on: as `sync`, but for a store behind a server without the trials, and once a second at most."""
        if self.store.server is None:
            self.sync()
            return
        with self._lock:
            if not self.paced("watch", distant.WATCH_S):
                return
            sweep = self.store.sweeps.get(self.id)
            self.state, self.cap = sweep.state, sweep.cap
            if sweep.version != self.version:
                self._read_config(sweep)

    def trial(self, number: int) -> Trial:
        """Return trial `number` as last seen.

        Raises:
            NotFound: there is none.
        """
        if number not in self.trials:
            self.sync()
        if number in self.trials:
            return self.trials[number]
        raise rules.no_trial(self.name, number, len(self.trials))

    def in_order(self) -> list[Trial]:
        """Return all trials by number."""
        with self._lock:
            return self.history.in_order()

    def pending(self) -> list[Trial]:
        """Return the trials that are not over, by number."""
        with self._lock:
            return self.history.pending()

    # -- ask ----------------------------------------------------------------------------------------------------------

    def ask(
        self, *, mine: Collection[int] | None = None, owner: str | None = None, key: str | None = None
    ) -> Assignment | Nothing:
        """Hand out the next trial: a waiting one, else a paused one worth resuming, else a new one; if all `mine` were started, only a paused one.

        It goes to `owner`, by default this process. The same question again, by its `key`, gets what it got before while that runs.
        """
        if self.store.server is not None:
            with self._lock:
                self.look_for_lost(_LOOK_FROM_AFAR_S)
                return distant.ask(self, self.store.server, mine)
        with self._lock, self.store.trials.turn(self.id):
            return Question(self, mine=mine, owner=owner or self.owner, key=key).answer()

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
            trial = self.trial(number)
            if not trial.reports or (after is not None and trial.reports[-1].step <= after):
                return None
            return self.stopper.decide(trial, [t for t in self.trials.values() if t.number != number])

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
        end = as_end(self.problem, number, values, self._now, phase=phase, stopped=stopped, reason=reason, attrs=attrs)
        self.store.trials.tell(
            self.id, number, attempt, phase=end.phase, values=end.values, stopped=stopped, reason=end.reason, params=params, attrs=attrs,
            may_be_best=end.may_be_best,
        )  # fmt: skip
        if asked is not None and end.phase is not Phase.CANCELED:
            self._learn(asked)
        if end.phase is Phase.PAUSED or self._ending.is_possible(self.cap):
            self.finish_if_done()
        return end.phase

    def _now(self, number: int) -> Trial:
        self.sync()
        return self.trial(number)

    def finish_if_done(self, *, exhausted: bool = False) -> bool:
        """Finish the sweep where there is a reason to (or its method is `exhausted` and nothing runs), and return whether it is finished."""
        if self.store.server is not None:
            self.state = distant.settle(self, self.store.server, exhausted=exhausted)
            return self.state is SweepState.FINISHED
        with self._lock:
            self.sync()
            if self.state is SweepState.RUNNING and ((exhausted and not self.history.open) or self.why_over()):
                try:
                    self.state = self.store.sweeps.move(self.id, SweepState.FINISHED).state
                except IllegalMove:  # somebody has just canceled it
                    self.sync()
            if self.state is SweepState.FINISHED:
                end_paused(self.store, self.id, self.history.open, self.why_over() or "the sweep is finished")
            return self.state is SweepState.FINISHED

    def why_over(self) -> str:
        """Return why the sweep is over, as last seen, in words; empty while it goes on, and where nothing but a person or its method ended it."""
        with self._lock:
            now = time.time() if self.state is SweepState.RUNNING else self.store.sweeps.get(self.id).updated
            gain = partial(self.searching.expected_gain, self.history, is_first_version=self.version == 0)
            return self._ending.why(self.history, self.cap, now, gain)

    # -- other ways in ------------------------------------------------------------------------------------------------

    def enqueue(self, params: Mapping[str, object], attrs: Mapping[str, object] | None = None) -> int:
        """Queue a configuration and return its number. What it leaves open is drawn: in a declared space now, else when it is asked for.

        Raises:
            SpaceError: it is not legal in the space.
        """
        self.sync()
        return self.store.trials.enqueue(self.id, completed(self.config, params, len(self.trials)), attrs=attrs or {})

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
        if self._learned is not None:
            self._learned.check(name, parameter)

    def _learn(self, asked: Mapping[str, Parameter]) -> None:
        """Bring what a define-by-run objective asked for into the stored space."""
        with self._lock:
            self.sync()
            if self._learned_space(asked) is not self.problem.space:  # the same object as long as nothing is new
                self.edit(lambda config: with_space(config, self._learned_space(asked)))

    def _learned_space(self, asked: Mapping[str, Parameter]) -> Space:
        if self._learned is None:
            return self.problem.space
        ended = self.history.ended_since(self._num_learned)
        self._num_learned += len(ended)
        return self._learned.learn(asked, ended)

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
