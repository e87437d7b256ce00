"""The sweeps' engines: searchers live here, rebuilt from history when they are first needed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from whet.store.base import Lease, Store
from whet.study.engine import LEASE_S, Engine
from whet.trial import Problem, Trial

__all__ = ["Engines", "Seen"]

_MOST = 64


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A sweep as it is now.

    Args:
        mark: Equal as long as nothing changed in it.
        problem: Its space and metrics.
        trials: Returns its trials by number, of this moment or a later one.
    """

    mark: tuple[str, int, int]
    problem: Problem
    trials: Callable[[], list[Trial]]


@final
class Engines:
    """The engines of the sweeps that were asked for last. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._kept: OrderedDict[str, Engine] = OrderedDict()

    def get(self, sweep: str) -> Engine:
        """Return the engine of a sweep, given by its id.

        Raises:
            NotFound: there is no such sweep.
        """
        with self._lock:
            if sweep in self._kept:
                self._kept.move_to_end(sweep)
                return self._kept[sweep]
        made = Engine(self._store, sweep, recover=self._patient)
        with self._lock:
            engine = self._kept.setdefault(sweep, made)  # the first one, where two were made
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return engine

    def see(self, sweep: str) -> Seen:
        """Bring the engine of a sweep up to date and return what it knows, for those who only look.

        Raises:
            NotFound: there is no such sweep.
        """
        engine = self.get(sweep)
        engine.sync()
        mark = engine.id, engine.version, engine.history.revision  # before what is read
        return Seen(mark=mark, problem=engine.problem, trials=engine.in_order)

    def drop(self, sweep: str) -> None:
        """Forget the engine of a sweep that is gone."""
        with self._lock:
            self._kept.pop(sweep, None)

    def _patient(self, lease: Lease) -> bool | None:
        """Leave a lost worker's trial alone for a while, and hand it out again after that.

        Of one that died on this machine its coordinator may be started again and take its job over; and while the server was away
        nobody could give a sign of life.
        """
        is_new = time.monotonic() - self._began < LEASE_S
        return None if is_new or time.time() - lease.beat < LEASE_S else False
