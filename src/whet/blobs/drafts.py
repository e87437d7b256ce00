"""Contents on their way: what has come of each so far, in a file that grows."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import final

from whet.errors import Damaged, StoreUnavailable, TooLarge
from whet.locks import FileLock

__all__ = ["Drafts"]

_LOCKS = 64  # shared by all drafts: one each would be left lying about


@final
class Drafts:
    """The drafts in a folder, each known by a key and the SHA-256 that it shall have. Safe under many threads and processes.

    A piece counts where it begins at what is there already, so that sending again is harmless. Whoever is killed in the middle of a
    piece leaves some of it: what is there is asked for before going on, and looked at as a whole in the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def part(self, name: str) -> Drafts:
        """Return drafts that are counted apart; `drop_before` of the whole sees them."""
        return Drafts(self.folder / name)

    def num_bytes(self) -> int:
        """Return how many bytes have come of all drafts here."""
        total = 0
        for path in self.folder.glob("*.draft"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def size(self, key: str, sha256: str) -> int:
        """Return how many bytes have come; 0 where nothing has."""
        try:
            return self._path(key, sha256).stat().st_size
        except FileNotFoundError:
            return 0

    def append(
        self, key: str, sha256: str, offset: int, piece: bytes, size: int, *, whole: Callable[[Path], None]
    ) -> int:
        """Add a piece that begins at `offset`, and return how many bytes are there. Elsewhere it changes nothing.

        Args:
            size: How many it will be. It is returned once `whole` has taken them, and not before.
            whole: Called with the draft when all is there; it takes the file away.

        Raises:
            TooLarge: it would be more than `size`.
            Damaged, TooLarge: as `whole` says, or more was there already; then the draft is dropped.
            StoreUnavailable: the disk refuses it.
        """
        path = self._path(key, sha256)
        with _said(path), self._lock(path):
            have = self.size(key, sha256)
            if have > size:
                path.unlink(missing_ok=True)
                raise Damaged(f"{have} bytes had come of {size}", "send it again, from its beginning")
            if offset == have:
                if have + len(piece) > size:
                    raise TooLarge(f"{have + len(piece)} bytes came of {size}", "send what the run says that it keeps")
                _write(path, have, piece)
                have += len(piece)
            # Whatever the offset: who sends the last piece again has got no answer, as nobody may have taken the draft yet.
            if have == size and path.exists():
                try:
                    whole(path)
                except (Damaged, TooLarge):
                    path.unlink(missing_ok=True)
                    raise
            return have

    def drop(self, key: str, sha256: str) -> None:
        """Forget what has come."""
        path = self._path(key, sha256)
        with _said(path):
            path.unlink(missing_ok=True)

    def drop_before(self, when: float) -> int:
        """Drop those to which nothing was added since `when` (seconds since the epoch), and return how many there were."""
        dropped = 0
        for path in self.folder.rglob("*.draft"):
            with _said(path), self._lock(path):
                if path.exists() and path.stat().st_mtime < when:
                    path.unlink(missing_ok=True)
                    dropped += 1
        return dropped

    def _path(self, key: str, sha256: str) -> Path:
        return self.folder / f"{sha256}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.draft"

    @contextlib.contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        number = int(hashlib.sha256(path.name.encode()).hexdigest(), 16) % _LOCKS
        lock = FileLock(path.parent / f"lock-{number}")
        with contextlib.closing(lock), lock:
            yield


def _write(path: Path, at: int, piece: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666)
    try:
        os.lseek(fd, at, os.SEEK_SET)
        left = memoryview(piece)
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, at)
        raise
    finally:
        os.close(fd)


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"can't write {path} ({error.strerror or error})", "free space there, or name another place with WHET_BLOBS"
        ) from error
