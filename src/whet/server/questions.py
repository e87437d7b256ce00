"""Who waits for a trial: one question of a sweep is answered at a time, and looked at again when something changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, final

from anyio import CapacityLimiter, to_thread

from whet.server.pulse import Pulse
from whet.study.assignment import Nothing

__all__ = ["NotNow", "Questions"]

_SEARCHING = 4
"""Sweeps that search at a time, in threads, so that others are left for those who only report."""
_LOOK_S = 1.0
"""Other processes may work on the same database: how often a waiting question looks by itself."""
_LINE_S = 30.0
"""How long a question waits for those before it, at least."""
_MOST = 1000

T = TypeVar("T")


class NotNow(Exception):
    """There is no trial to hand out, or not now."""

    def __init__(self, nothing: Nothing) -> None:
        self.nothing = nothing


@dataclass(slots=True)
class _Line:
    """Those who ask for a trial of one sweep."""

    turn: asyncio.Lock
    num_waiting: int = 0
    count: int = -1
    """The pulse's, when somebody was told that there is"""
    nothing: Nothing | None = None
    at: float = 0.0
    """at this time: it holds for everybody, as long as nothing changes, but not for long."""


@final
class Questions:
    """All questions that wait.

    Args:
        pulse: Beats when a sweep changes.
    """

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._lines: dict[str, _Line] = {}
        self._threads: CapacityLimiter | None = None

    async def answer(
        self,
        sweep: str,
        ask: Callable[[], T],
        *,
        wait_s: float,
        is_alike: bool,
        has_left: Callable[[], Awaitable[bool]],
    ) -> T:
        """Return what `ask` returns, which is called in a thread, again when the sweep changes, for as long as it raises `NotNow`.

        Args:
            sweep: The sweep's id.
            ask: Asks for a trial.
            wait_s: For how long; it is asked once at least.
            is_alike: What others were told holds for this one, too.
            has_left: Whether nobody waits for the answer any more.

        Raises:
            NotNow: there is none: for good, or when the time was over, the server ended, or whoever asked had left.
        """
        deadline = time.monotonic() + wait_s
        is_first = True  # it may be one that was answered before, by its key: what others were told holds for what it does later
        while True:
            count = self._pulse.count(sweep)
            try:
                async with self._turn(sweep, max(deadline, time.monotonic() + _LINE_S), has_left) as line:
                    if is_alike and not is_first and line.nothing is not None and self._holds(sweep, line):
                        raise NotNow(line.nothing)
                    count = self._pulse.count(sweep)
                    try:
                        return await to_thread.run_sync(ask, limiter=self._limiter())
                    except NotNow as not_now:
                        if is_alike and not not_now.nothing.final:
                            line.count, line.nothing, line.at = count, not_now.nothing, time.monotonic()
                        raise
            except NotNow as not_now:
                left = deadline - time.monotonic()
                if not_now.nothing.final or left <= 0 or await has_left():
                    raise
                await self._pulse.wait(sweep, count, min(left, _LOOK_S))
                if self._pulse.ended:
                    raise
            is_first = False

    def _holds(self, sweep: str, line: _Line) -> bool:
        return line.count == self._pulse.count(sweep) and time.monotonic() - line.at < _LOOK_S / 2

    def _limiter(self) -> CapacityLimiter:
        if self._threads is None:
            self._threads = CapacityLimiter(_SEARCHING)
        return self._threads

    @asynccontextmanager
    async def _turn(self, sweep: str, deadline: float, has_left: Callable[[], Awaitable[bool]]) -> AsyncIterator[_Line]:
        """Wait for those who asked before, in a line that takes up no thread."""
        if len(self._lines) > _MOST:
            self._lines = {id: line for id, line in self._lines.items() if line.num_waiting}
        line = self._lines.setdefault(sweep, _Line(asyncio.Lock()))
        line.num_waiting += 1
        turn = asyncio.ensure_future(line.turn.acquire())
        try:
            while not turn.done():
                await asyncio.wait({turn}, timeout=_LOOK_S)
                if not turn.done() and (self._pulse.ended or time.monotonic() > deadline or await has_left()):
                    raise NotNow(Nothing(f"{line.num_waiting - 1} other(s) wait for a suggestion", final=False))
            if self._pulse.ended:
                raise NotNow(Nothing("the server ends", final=False))
            if await has_left():
                raise NotNow(Nothing("whoever asked has left", final=False))
            yield line
        finally:
            line.num_waiting -= 1
            if not turn.done():
                turn.cancel()
            elif not turn.cancelled():
                line.turn.release()
