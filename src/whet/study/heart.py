"""Signs of life for the trials of this process, so that other machines don't take them for lost."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import final

from whet.errors import StoreError
from whet.store.base import Store
from whet.store.owner import here
from whet.study.lost import LEASE_S

__all__ = ["Heart"]


@final
class Heart:
    """Beats in a thread of its own, from the first `start` until it is no longer referred to.

    Args:
        store: Where the sweep is kept. A store in memory needs no signs of life: nobody else sees it.
        sweep: Its id.
        interval_s: Between two beats.
    """

    def __init__(self, store: Store, sweep: str, *, interval_s: float = LEASE_S / 4) -> None:
        self._store = store
        self._sweep = sweep
        self._interval_s = interval_s
        self._pid = 0  # of the process in which it beats: threads stay behind in a fork
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start beating; again: nothing."""
        if self._store.url == "memory":
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
        over = threading.Event()
        weakref.finalize(self, over.set)
        args = (self._store, self._sweep, self._interval_s, over)
        threading.Thread(target=_beat, args=args, name="whet-heart", daemon=True).start()


def _beat(store: Store, sweep: str, interval_s: float, over: threading.Event) -> None:
    while not over.wait(interval_s):
        with contextlib.suppress(StoreError):  # out of reach, or deleted: the next beat tries again
            store.trials.beat(sweep, here())
