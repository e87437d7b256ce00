"""A lock between processes that waits in the kernel and is freed when its holder dies."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import final

__all__ = ["FileLock"]


_closing = threading.RLock()  # for the collector may close one while another is being closed


@final
class FileLock:
    """An exclusive lock on a file. Each holder (a thread) has its own object; the same object may enter again.

    Waiters sleep in the kernel and are woken when the lock is free, unlike SQLite's, which sleep for ever longer and come late.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self._depth = 0

    def __enter__(self) -> None:
        if self._depth == 0:
            if self._file < 0:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                _lock(self._file)
            except BaseException:  # Ctrl-C may come when it is taken already
                _unlock(self._file)
                raise
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            _unlock(self._file)  # aloud: a forked child may have a copy of the descriptor, which would keep it locked

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._depth > 0

    def close(self) -> None:
        """Let go of the file."""
        with (
            _closing
        ):  # a thread's end and its store's may come at once, and a number closed twice may be another file's by then
            file, self._file, self._depth = self._file, -1, 0
        if file >= 0:
            os.close(file)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            self.close()


try:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)

except ImportError:  # Windows
    import msvcrt

    def _lock(file: int) -> None:
        while True:
            try:
                os.lseek(file, 0, os.SEEK_SET)
                msvcrt.locking(file, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined, unused-ignore]
                return
            except OSError:  # it gives up after ten seconds
                continue

    def _unlock(file: int) -> None:
        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined, unused-ignore]
