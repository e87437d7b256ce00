"""A run's own append-only file: what was logged is here before it is anywhere else.

One record a line: the CRC-32 of the payload as eight hex digits, a space, the payload (a JSON array, its first element the
kind of record), a newline. There is one writer, and any number of readers that each keep their own offset. Nothing but `open` with
``O_APPEND``, `write` and `read` is used, so it works on network file systems (no locks, no mmap, no rename).

A record whose checksum does not fit is skipped and counted, the rest is read on; an unfinished last line is left for later.
After `kill -9`, everything that was written is there; `SpoolWriter.flush` returns once it is written.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, final

from whet.errors import StoreUnavailable
from whet.track.notices import Notices

__all__ = ["Kind", "Piece", "SpoolReader", "SpoolWriter", "encode", "path_of", "torn"]

_RETRY_S = 1.0  # how often it tries again when the disk refuses
_KEEP_BYTES = 16 << 20  # how much it keeps in memory meanwhile
_LONG_QUEUE = 50_000
_MOST_QUEUED = 1_000_000
_START = re.compile(rb'[0-9a-f]{8} \["')
_to_json = json.JSONEncoder(separators=(",", ":")).encode


class Kind(Enum):
    """What a record tells; the value is its first element."""

    HEADER = "h"  # facts about the run: once, first
    ROW = "r"  # step, time, {metric: value}, and for a sweep's metrics the report: step, [values]
    CONFIG = "c"
    SUMMARY = "s"
    META = "m"
    ARTIFACT = "a"
    EDIT = "e"  # name, tags, notes, group
    FINISH = "f"  # phase, reason


def path_of(folder: Path, attempt: int) -> Path:
    """Return the spool file of an attempt in a run's folder."""
    return folder / f"spool-{attempt}"


def encode(record: list[Any]) -> bytes:
    """Return the line of a record."""
    payload = _to_json(record).encode()
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def _decode(line: bytes) -> list[Any] | None:
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:]) or line[8:9] != b" ":
            return None
        record = json.loads(line[9:])
    except ValueError:
        return None
    return record if isinstance(record, list) and record else None


def _as_it_is(item: Any) -> list[Any] | None:
    return list(item)


@final
class _Mark:
    """Stands in the queue for a `flush`: whether all before it was written when its turn came."""

    __slots__ = ("reached", "written")

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.written = False


@final
class SpoolWriter:
    """The one writer of a spool file.

    `append` only puts the item into a queue; a thread of its own turns items into records, and writes them every 0.1 s.
    When the disk refuses, it says so once, keeps up to 16 MB in memory, and goes on trying; what exceeds that is lost and counted.

    Args:
        path: The file; its folder is made. A file that is there is continued.
        prepare: Called in the writer's thread: item to record, or None to write nothing.
        written: Called in the writer's thread after each write.
        gather_s: How long it gathers items before it writes them.

    Raises:
        StoreUnavailable: the file can't be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        prepare: Callable[[Any], list[Any] | None] = _as_it_is,
        written: Callable[[], None] | None = None,
        notices: Notices | None = None,
        gather_s: float = 0.1,
    ) -> None:
        self.path = path
        self._gather_s = gather_s
        self.lost = 0
        self._prepare = prepare
        self._written = written
        self._notices = notices or Notices()
        self._queue: deque[Any] = deque()
        self._wake = threading.Event()  # there is something to do
        self._hurry = threading.Event()  # do it now
        self._closed = False
        self._stuck = False
        self._rest = bytearray()  # what the disk has not taken yet
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
            if torn(path):
                # An earlier writer was killed within a line: what it left is skipped by its checksum, and must not spoil ours.
                os.write(self._fd, b"\n")
        except OSError as error:
            raise StoreUnavailable(
                f"can't write {path} ({error.strerror})",
                "make that folder writable, or name another one with WHET_DIR or whet.init(dir=…)",
                path=str(path),
            ) from error
        self._thread = threading.Thread(target=self._work, name="whet-spool", daemon=True)
        self._thread.start()

    def append(self, item: Any) -> None:
        """Queue `item`; returns at once (with a million items waiting: as soon as the writer catches up, if it does within a second)."""
        if len(self._queue) > _LONG_QUEUE:
            self._hurry.set()
            if len(self._queue) > _MOST_QUEUED and self._is_stuck():
                self.lost += 1
                return
        self._queue.append(item)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, timeout_s: float | None = None) -> bool:
        """Return once everything appended before is in the file; False when the disk refuses it or time is over."""
        if not self._thread.is_alive():
            return not self._queue
        mark = _Mark()
        self._queue.append(mark)
        self._hurry.set()
        self._wake.set()
        waited = 0.0
        while not mark.reached.wait(0.2 if timeout_s is None else min(0.2, max(0.0, timeout_s - waited))):
            waited += 0.2
            if not self._thread.is_alive() or (timeout_s is not None and waited >= timeout_s):
                return False
        return mark.written

    def close(self, timeout_s: float | None = None) -> bool:
        """Flush and end; harmless twice."""
        if self._closed:
            return not self._rest and not self.lost
        complete = self.flush(timeout_s)
        self._closed = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            os.close(self._fd)
        if self.lost or self._rest:
            lost = self.lost + self._rest.count(b"\n")
            self._notices.once(
                "spool-lost",
                f"{lost} records could not be written to {self.path} and are lost: free space on that disk",
            )
        return complete

    def _is_stuck(self) -> bool:
        # A disk that hangs: a training that waited for it, or ran out of memory, would be worse off than one that loses metrics.
        for _ in range(0 if self._stuck else 100):
            if len(self._queue) <= _MOST_QUEUED:
                break
            time.sleep(0.01)
        self._stuck = len(self._queue) > _MOST_QUEUED
        if self._stuck:
            self._notices.once(
                "spool-hangs",
                f"{self.path} takes no more for the time being: what is logged meanwhile is lost; look at that disk",
            )
        return self._stuck

    def _work(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._hurry.wait(_RETRY_S if self._rest else self._gather_s)
            self._hurry.clear()
            self._wake.clear()
            try:
                self._drain()
            except Exception as error:  # a training must never die of its log
                self._notices.once("spool-bug", f"the writer of {self.path} stumbled ({error!r}); it goes on")
            if self._rest:
                self._wake.set()

    def _drain(self) -> None:
        lines: list[bytes] = []
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, _Mark):
                self._write(lines)
                lines = []
                item.written = not self._rest and not self.lost
                item.reached.set()
                continue
            try:
                record = self._prepare(item)
                if record is not None:
                    lines.append(encode(record))
            except Exception as error:
                self._notices.once("spool-record", f"a record could not be kept and was left out ({error!r})")
            if len(lines) >= 4096:
                self._write(lines)
                lines = []
        self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        if len(self._rest) > _KEEP_BYTES:
            self.lost += len(lines)
        else:
            self._rest += b"".join(lines)
        if not self._rest:
            return
        try:
            while self._rest:
                del self._rest[: os.write(self._fd, self._rest)]
        except OSError as error:
            self._notices.once(
                "spool-disk",
                f"can't write {self.path} ({error.strerror}): training goes on, what it logs stays in memory and is lost "
                f"beyond {_KEEP_BYTES >> 20} MB or when the process ends; free space on that disk and nothing will be",
            )
        if self._written is not None:
            self._written()


def torn(path: Path) -> bool:
    """Return whether the last line of the file is unfinished."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The records in bytes [start, end) of a spool, where each one's line ends, and how many lines were damaged."""

    records: tuple[list[Any], ...]
    ends: tuple[int, ...]
    start: int
    end: int
    damaged: int


@final
class SpoolReader:
    """Reads a spool from an offset (0, or the `end` of an earlier piece); a file that is not there yet is empty."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset

    def read(self, limit_bytes: int = 1 << 20) -> Piece:
        """Return the next piece, about `limit_bytes` at most, of whole lines only; empty when there is nothing new yet."""
        start = self.offset
        data = b""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(start)
                data = file.read(limit_bytes)
                if b"\n" not in data and len(data) == limit_bytes:
                    data += file.readline()
        data = data[: data.rfind(b"\n") + 1]
        self.offset = start + len(data)
        records: list[list[Any]] = []
        ends: list[int] = []
        end = start
        damaged = 0
        for line in data.split(b"\n")[:-1]:
            end += len(line) + 1
            record = _decode(line)
            if record is None and line:
                damaged += 1
                # A line that was torn may have swallowed the whole one after it.
                tails = (_decode(line[m.start() :]) for m in _START.finditer(line, 1))
                record = next((r for r in tails if r is not None), None)
            if record is not None:
                records.append(record)
                ends.append(end)
        return Piece(records=tuple(records), ends=tuple(ends), start=start, end=self.offset, damaged=damaged)
