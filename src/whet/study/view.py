"""A sweep as one process knows it: its configuration, its trials, its searcher, brought up to date by revision."""

from __future__ import annotations

import threading
from abc import ABC
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from whet.config import SweepConfig, parse
from whet.plugins import build
from whet.store import owner as owners
from whet.store import rules
from whet.store.base import Store, Sweep
from whet.study import distant
from whet.study.catching_up import catch_up
from whet.study.ending import Ending
from whet.study.history import History
from whet.study.learning import Learning
from whet.study.pace import Pace
from whet.study.searching import News, Searching, basis
from whet.study.snapshot import Snapshot
from whet.trial import Problem, Trial

if TYPE_CHECKING:
    from whet.stop.base import Stopper

__all__ = ["View"]


class View(ABC):
    """What an engine knows of its sweep. Safe to use from several threads: a lock that is held for moments keeps it whole."""

    config: SweepConfig
    version: int
    """Of the stored sweep."""
    stopper: Stopper | None
    history: History
    """All trials as last seen."""
    searching: Searching

    def __init__(self, store: Store, sweep: Sweep | str) -> None:
        sweep = store.sweeps.get(sweep) if isinstance(sweep, str) else sweep
        self.store = store
        self.id, self.name, self.project = sweep.id, sweep.name, sweep.project
        self.state, self.cap = sweep.state, sweep.cap
        self._lock = threading.RLock()
        self.paced = Pace()
        self._read_config(sweep)
        self.history = History(self.problem)

    def _read_config(self, sweep: Sweep) -> None:
        """Take in the sweep as it is stored now; searcher and stopper stay as they are where nothing changed for them.

        Raises:
            WhetError: its stopper can't be built here. Then nothing is taken in, and the next look tries again.
        """
        old: SweepConfig | None = getattr(self, "config", None)
        new = parse(dict(sweep.config), source=f"sweep {sweep.id}")
        if old is not None and old.problem == new.problem:
            new = replace(new, problem=old.problem)  # the same object, for those who compare by identity
        if old is None or (old.problem, old.stopper) != (new.problem, new.stopper):
            plug = new.stopper
            self.stopper = (
                None if plug is None else build("stopper", plug.name, new.problem, knobs_given=dict(plug.knobs))
            )
        if old is None or old.aims != new.aims:
            self._ending = Ending(new)
            if old is not None:
                self.history.judge_by(new.problem)
        if old is None or basis(old) != basis(new):
            self.searching, self._learning = Searching(new), Learning(new)
        self.config, self.version = new, sweep.version

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
    def keeps_up(self) -> bool:
        """Whether the other trials matter to what is next, so that they are read with each step; else only when somebody looks at them."""
        return self.searching.looks or self.config.terminate is not None

    @property
    def pauses(self) -> bool:
        """Whether trials may be paused, and go on later."""
        return self.stopper is not None and self.stopper.pauses

    def sync(self) -> None:
        """Bring the trials up to date."""
        with self._lock:
            changes = catch_up(self.history, self.store, self.id)
            self.state, self.cap = changes.state, changes.cap
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

    def now(self, number: int) -> Trial:
        """Return a trial as it is now.

        Raises:
            NotFound: there is none.
        """
        if self.keeps_up:
            self.sync()
            return self.trial(number)
        alone = History(None)
        alone.apply(self.store.trials.changes(self.id, limit=1, after=number - 1))
        return alone.trials[number] if number in alone.trials else self.trial(number)

    def lead(self) -> tuple[int, float] | None:
        """Return number and value of the best trial as of now; None before there is one, and with several metrics."""
        if not self.keeps_up:
            return self.store.trials.glance(self.id).best
        self.sync()
        best = self.best
        return None if best is None or best.value is None else (best.number, best.value)

    def in_order(self) -> list[Trial]:
        """Return all trials by number."""
        with self._lock:
            return self.history.in_order()

    def pending(self) -> list[Trial]:
        """Return the trials that are not over, by number."""
        with self._lock:
            return self.history.pending()

    def snapshot(self) -> Snapshot:
        """Return the sweep as last seen, for whoever holds the searcher's lock."""
        with self._lock:
            return Snapshot(
                state=self.state, cap=self.cap, version=self.version, revision=self.history.revision,
                num_trials=len(self.trials), method=self.config.method.name, searching=self.searching, news=self._news(),
            )  # fmt: skip

    def method(self) -> tuple[int, Searching]:
        """Return the sweep's version as last seen, and what searches by it, for whoever holds the searcher's lock."""
        with self._lock:
            return self.version, self.searching

    def _news(self) -> News:
        return self.searching.news(self.history, is_first_version=self.version == 0)
