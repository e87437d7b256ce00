"""A copy of what the run prints, in its folder."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, final

__all__ = ["Copy", "owner"]

_LIMIT_BYTES = 64 << 20

owner: ContextVar[str | None] = ContextVar("whet.track.stdout", default=None)
"""The id of the run that prints in this context, so that runs in several threads don't get each other's lines."""

_active: dict[str, Callable[[str], None]] = {}
_lock = threading.Lock()


class _Tee:
    """Stands in for a stream: passes everything on, and copies what is written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> Any:
        written = self._stream.write(text)
        mine = _active.get(owner.get() or "")
        for keep in [mine] if mine else list(_active.values()):
            keep(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Any:
        return iter(self._stream)


@final
class Copy:
    """Copies ``sys.stdout`` and ``sys.stderr`` into `path` from now until `close`; the first 64 MB of it.

    The file is made with the first text. Every text is written at once, so nothing is lost when the process is killed.
    """

    def __init__(self, path: Path, id: str) -> None:
        self._path = path
        self._id = id
        self._file: io.FileIO | None = None
        self._left = _LIMIT_BYTES
        with _lock:
            _active[id] = self._keep
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream is not None and not isinstance(stream, _Tee):
                    setattr(sys, name, _Tee(stream))

    def close(self) -> None:
        """Stop copying; harmless twice."""
        with _lock:
            _active.pop(self._id, None)
            if not _active:
                for name in ("stdout", "stderr"):
                    stream = getattr(sys, name)
                    if isinstance(stream, _Tee):  # somebody may have put his own in its place meanwhile
                        setattr(sys, name, stream._stream)
            self._left = 0
            if self._file is not None:
                self._file.close()

    def _keep(self, text: str) -> None:
        if self._left <= 0 or not text:
            return
        try:
            data = text.encode(errors="replace")
            if self._file is None:
                self._file = io.FileIO(self._path, "a")
            if len(data) >= self._left:
                data = data[: self._left] + b"\n[whet: output.log is full; what follows is not kept]\n"
                self._left = 0
            self._left -= len(data)
            self._file.write(data)
        except (OSError, ValueError, AttributeError):
            self._left = 0  # a full disk must not stop a print
