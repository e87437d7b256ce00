"""What keeps contents: the same few things whatever it is."""

from __future__ import annotations

import contextlib
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from whet.errors import Damaged, StoreError

__all__ = ["PIECE_BYTES", "Blob", "Blobs", "check_digest", "digest_of", "is_digest", "room_of"]

PIECE_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A content that is kept: in which room (`room_of` a project), its SHA-256 in hex, its bytes, and since when.

    That is in seconds since the epoch; inf where the place doesn't tell, so that nobody takes it for old.
    """

    room: str
    sha256: str
    size: int
    since: float


def room_of(project: str) -> str:
    """Return the room of a project's contents: letters that any file system takes, and no two projects share."""
    return hashlib.sha256(project.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def is_digest(sha256: str) -> bool:
    """Return whether it is a SHA-256 in lower hex."""
    return _DIGEST.fullmatch(sha256) is not None


def check_digest(sha256: str) -> None:
    """Raise StoreError unless it is a SHA-256 in lower hex."""
    if not is_digest(sha256):
        raise StoreError(f"{sha256!r:.80} is no SHA-256", "give 64 of 0-9 and a-f")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Blobs(ABC):
    """Contents, each under a project's room and its SHA-256.

    Laws (`whet.testing.blob_laws`):

    - What is kept under a digest has that digest, whole: nobody ever sees a part of it, whoever was killed.
    - Keeping what is there already changes nothing that can be read; any number of processes may keep the same at once.
    - Rooms don't know each other: who has the digest of another project's content has nothing.

    Raises (each verb):
        StoreUnavailable: disk full, no permission, no connection.
    """

    url: str

    def keep(self, room: str, sha256: str, file: Path) -> None:
        """Take over a file on this machine, which is gone afterwards.

        Raises:
            Damaged: it has another SHA-256; then it stays.
        """
        check_digest(sha256)
        if (found := digest_of(file)) != sha256:
            raise Damaged(f"what came has the SHA-256 {found}, not {sha256}", "send it again, from its beginning")
        self._take(room, sha256, file)

    @abstractmethod
    def _take(self, room: str, sha256: str, file: Path) -> None:
        """Move the file, which was looked at, to its place, in one step."""

    @abstractmethod
    def find(self, room: str, sha256: str) -> Blob | None:
        """Return what is kept under it, or None."""

    @abstractmethod
    def read(self, room: str, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return the bytes [start, end) in pieces.

        Raises:
            NotFound: there is no such content.
        """

    @abstractmethod
    def all(self, room: str | None = None) -> Iterator[Blob]:
        """Yield all that is kept, or what one room has."""

    @abstractmethod
    def drop(self, blob: Blob) -> None:
        """Delete it; harmless where it is gone already."""

    def gate(self) -> AbstractContextManager[None]:
        """Hold off whoever drops something while one looks whether it is there, or the reverse. Not to be entered twice by one thread."""
        return contextlib.nullcontext()
