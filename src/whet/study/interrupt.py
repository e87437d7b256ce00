"""Ctrl-C between two steps, so that no step is left half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self, final

__all__ = ["Interrupts"]


@final
class Interrupts:
    """Notes Ctrl-C rather than raising it; the second one raises KeyboardInterrupt wherever the program is.

    Does nothing outside the main thread, or where Ctrl-C has another meaning already.
    """

    def __init__(self) -> None:
        self.came = False
        self._allowed = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C came."""
        if self.came:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let Ctrl-C raise KeyboardInterrupt within, at once if it came before; for the user's own code."""
        self._allowed = True
        try:
            self.check()
            yield
        finally:
            self._allowed = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self.came = self.came, True
        if again or self._allowed:
            raise KeyboardInterrupt
