"""Contents in a folder: ``<room>/ab/cdef…``, each file renamed into place when it is whole."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, final

from whet.blobs.base import PIECE_BYTES, Blob, Blobs
from whet.errors import NotFound, StoreUnavailable
from whet.locks import FileLock

__all__ = ["Folder", "pieces_of"]

_ROOM = re.compile(r"[0-9a-f]{32}")
_TWO = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{62}")


@final
class Folder(Blobs):
    """A folder on this machine, or on a file system that several share. It is made when something is kept in it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.url = str(self.path)

    def _take(self, room: str, sha256: str, file: Path) -> None:
        target = self._path(room, sha256)
        with _said(f"keep {target}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb+") as written:  # before its name: a power cut must not leave a name without its content
                os.fsync(written.fileno())
            with self.gate():
                os.replace(file, target)
            _fsync_folder(target.parent)

    def find(self, room: str, sha256: str) -> Blob | None:
        with _said(f"look for {sha256}"):
            try:
                found = self._path(room, sha256).lstat()
            except FileNotFoundError:
                return None
        return (
            Blob(room=room, sha256=sha256, size=found.st_size, since=found.st_mtime)
            if stat.S_ISREG(found.st_mode)
            else None
        )

    def read(self, room: str, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        with _said(f"read {sha256}"):
            try:  # now, not when the first piece is asked for: what is open can't be dropped
                file = self._path(room, sha256).open("rb")
            except FileNotFoundError:
                raise NotFound(f"there is no content {sha256}", "bring it again: whet sync") from None
        return pieces_of(file, start, end)

    def all(self, room: str | None = None) -> Iterator[Blob]:
        for name in _names(self.path, _ROOM) if room is None else [room]:
            for first in _names(self.path / name, _TWO):
                for rest in _names(self.path / name / first, _REST):
                    if (blob := self.find(name, first + rest)) is not None:
                        yield blob

    def drop(self, blob: Blob) -> None:
        with _said(f"drop {blob.sha256}"):
            self._path(blob.room, blob.sha256).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(self.path / ".lock")
        with contextlib.closing(lock), contextlib.ExitStack() as held:
            with _said(f"lock {lock.path}"):  # what its holder fails in is another matter
                held.enter_context(lock)
            yield

    def gate(self) -> AbstractContextManager[None]:
        return self._locked() if self.path.is_dir() else contextlib.nullcontext()

    def _path(self, room: str, sha256: str) -> Path:
        return self.path / room / sha256[:2] / sha256[2:]


def pieces_of(file: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the bytes [start, end) of an open file, which is closed afterwards."""
    with file:
        file.seek(start)
        left = None if end is None else end - start
        while left is None or left > 0:
            piece = file.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
            if not piece:
                return
            yield piece
            left = None if left is None else left - len(piece)


def _names(folder: Path, like: re.Pattern[str]) -> list[str]:
    with _said(f"list {folder}"):
        try:
            return sorted(name for name in os.listdir(folder) if like.fullmatch(name))
        except (FileNotFoundError, NotADirectoryError):
            return []


@contextlib.contextmanager
def _said(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"can't {what} ({error.strerror or error})", "free space there, or name another place with WHET_BLOBS"
        ) from error


def _fsync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
