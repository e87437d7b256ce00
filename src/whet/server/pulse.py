"""Waking those who wait for something to change."""

from __future__ import annotations

import asyncio
import threading
from typing import final

__all__ = ["Pulse"]

_Waiter = tuple[asyncio.AbstractEventLoop, asyncio.Event]


@final
class Pulse:
    """Counts changes by topic and wakes coroutines that wait for one. `beat` and `end` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, set[_Waiter]] = {}
        self.ended = False
        """Whether the server ends: nobody is to wait any more."""

    def count(self, topic: str) -> int:
        """Return how many changes there were."""
        return self._counts.get(topic, 0)

    def beat(self, topic: str) -> None:
        """Say that something changed."""
        with self._lock:
            self._counts[topic] = self._counts.get(topic, 0) + 1
            waiting = self._waiting.pop(topic, set())
        _wake(waiting)

    def end(self) -> None:
        """Wake everybody, for good."""
        with self._lock:
            self.ended = True
            waiting = {one for some in self._waiting.values() for one in some}
            self._waiting.clear()
        _wake(waiting)

    async def wait(self, topic: str, since: int, timeout_s: float) -> None:
        """Return once there were more than `since` changes, after `timeout_s` seconds, or when the server ends."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self.ended or self.count(topic) > since:
                return
            self._waiting.setdefault(topic, set()).add(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await entry[1].wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                left = self._waiting.get(topic, set())
                left.discard(entry)
                if not left:
                    self._waiting.pop(topic, None)


def _wake(waiting: set[_Waiter]) -> None:
    for loop, event in waiting:
        loop.call_soon_threadsafe(event.set)
