"""Turns to suggest, for clients that have their searchers themselves: a lock by sweep, which a silent holder loses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import final

__all__ = ["Turns"]

_HELD_S = 30.0


@final
class Turns:
    """Who has which sweep's turn. It saves work only (see `whet.store.base.Trials.turn`), so it is kept in memory."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._free = threading.Condition()
        self._held: dict[str, tuple[str, float]] = {}

    def take(self, sweep: str, key: str, wait_s: float) -> bool:
        """Give the turn to `key`, waiting up to `wait_s` seconds for it, and return whether it has it."""
        deadline = time.monotonic() + wait_s
        with self._free:
            while self._is_held(sweep, key):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._free.wait(min(left, 1.0))  # a silent holder's time may be over
            self._held[sweep] = key, self._now() + _HELD_S
        return True

    def _is_held(self, sweep: str, key: str) -> bool:
        holder, until = self._held.get(sweep, ("", 0.0))
        return holder not in ("", key) and until > self._now()

    def release(self, sweep: str, key: str) -> None:
        """Free the turn, if `key` has it."""
        with self._free:
            if self._held.get(sweep, ("",))[0] == key:
                del self._held[sweep]
                self._free.notify_all()
