"""Waking those who wait for something to change."""

from __future__ import annotations

import asyncio
import threading
from typing import final

__all__ = ["Pulse"]


@final
class Pulse:
    """Counts changes by topic and wakes coroutines that wait for one. `beat` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._waiting: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    def count(self, topic: str) -> int:
        """Return how many changes there were."""
        return self._counts.get(topic, 0)

    def beat(self, topic: str) -> None:
        """Say that something changed."""
        with self._lock:
            self._counts[topic] = self._counts.get(topic, 0) + 1
            waiting = self._waiting.pop(topic, ())
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    async def wait(self, topic: str, since: int, timeout_s: float) -> None:
        """Return once there were more than `since` changes, or after `timeout_s` seconds."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            if self.count(topic) > since:
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
