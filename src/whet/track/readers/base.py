"""What every reader is."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from whet.store.base import Row

__all__ = ["Reader", "Rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows in [start, end) of a file (bytes; of a table rows), for ``store.runs.ship(id, attempt, source, start, end, Batch(rows=rows))``."""

    rows: tuple[Row, ...]
    start: int
    end: int


class Reader(ABC):
    """Reads a growing file from where it stopped.

    A new reader with `offset` (what the store has) goes on exactly as the old one would have: what it has to remember from before
    that offset, such as the step at hand, it reads again. A file that is not there yet is empty.

    It reads a piece at a time: a file is read to its end once a piece ends where it started. What is damaged is passed over, and counted.

    Args:
        path: The file.
        offset: 0, or the `end` of an earlier piece.
        clock: Gives a row its time where the file has none.
    """

    def __init__(self, path: Path, offset: int = 0, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.offset = offset
        self.clock = clock
        self.num_damaged = 0
        self.damage = ""
        """Where the first damage is, in words."""

    @abstractmethod
    def read(self, *, final: bool = False) -> Rows:
        """Return what is new. `final`: nothing more will come, so an unfinished last line counts too."""

    @property
    def share(self) -> float:
        """How much of the file is behind, from 0 to 1: about, and for people."""
        return self._share_at(self.offset)

    def _share_at(self, byte: int) -> float:
        try:
            return min(1.0, byte / self.path.stat().st_size)
        except (OSError, ZeroDivisionError):
            return 1.0

    def damaged(self, where: str) -> None:
        """Count something that is passed over."""
        self.num_damaged += 1
        self.damage = self.damage or where

    def bytes_from(self, offset: int, limit: int | None = None) -> bytes:
        """Return the file's bytes from `offset` on; none when there is no such file."""
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read() if limit is None else file.read(limit)
        except FileNotFoundError:
            return b""
