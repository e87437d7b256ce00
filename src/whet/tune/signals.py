"""Signals that an agent passes on to what it runs, rather than acting on them itself."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self, final

__all__ = ["ENDING", "Signals", "name_of"]

ENDING = frozenset(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Those after which no trial is started any more; the others are only passed on."""
_PASSED_ON = (*sorted(ENDING), *(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)))


@final
class Signals:
    """Notes the signals that this process gets while the block runs. A second one of `ENDING` raises KeyboardInterrupt out of `taken`, a third wherever the program is.

    Args:
        wanted: Whether to do anything at all. Nothing is done outside the main thread, which alone gets signals.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._came: list[int] = []
        self._num_endings = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if self._wanted and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _PASSED_ON}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def taken(self) -> list[int]:
        """Return the signals that came since the last time.

        Raises:
            KeyboardInterrupt: whoever sends them means it.
        """
        came, self._came = self._came, []
        if self._num_endings > 1:
            raise KeyboardInterrupt
        return came

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._num_endings += number in ENDING
        if self._num_endings > 2:
            raise KeyboardInterrupt
        self._came.append(number)


def name_of(number: int) -> str:
    """Return a signal's name."""
    return signal.Signals(number).name
