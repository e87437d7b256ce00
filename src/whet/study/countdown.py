"""Turns, so many of them, shared by threads."""

from __future__ import annotations

import threading
from typing import final

__all__ = ["Countdown"]


@final
class Countdown:
    """Hands out `count` turns among threads; None: without end."""

    def __init__(self, count: int | None) -> None:
        self._left = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take a turn, and return whether there was one."""
        with self._lock:
            if self._left is None:
                return True
            if self._left <= 0:
                return False  # and owe nothing: a turn given back later is there to take
            self._left -= 1
            return True

    def give_back(self) -> None:
        """Give back a turn that was not needed."""
        with self._lock:
            if self._left is not None:
                self._left += 1
