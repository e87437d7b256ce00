"""The contents of the files that runs keep: a run's own folder has them, or the blobs of the store.

The store's rows say what a run keeps (`Runs.artifacts`: name, size, SHA-256); this says where the content is and brings it. As a facet it
is the same next to the data (`LocalFiles`) and over HTTP (`whet.store.http.files`).
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import threading
import weakref
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest, sha256
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, final
from urllib.parse import parse_qsl, urlsplit

from whet.blobs.base import Blobs, check_digest, is_digest, room_of
from whet.blobs.drafts import Drafts
from whet.blobs.folder import Folder, pieces_of
from whet.blobs.names import is_safe
from whet.blobs.open import folder_at, open_blobs
from whet.errors import NotFound, TooLarge
from whet.store.values import Artifact

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["Content", "Files", "Limits", "LocalFiles", "Standing", "own_file"]

_MOST_KNOWN = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A run's file and whether its content is here; where it is not, how many of its bytes have come."""

    artifact: Artifact
    here: bool
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The bytes [start, end) of a file, in pieces that are read as they are asked for."""

    artifact: Artifact
    start: int
    end: int
    pieces: Iterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most bytes that one file may have, and all contents of a project together: about, for what comes at one moment is not seen."""

    file_bytes: int | None = None
    project_bytes: int | None = None


class Files(ABC):
    """The contents of runs' files, by the run's id.

    Laws (`whet.testing.store_file_laws`):

    - What is read has the SHA-256 that the run's artifact says.
    - A piece that does not begin at what has come changes nothing, so sending again is harmless.
    - Only what the run says that it keeps can be sent, and it is in that run's project alone.
    """

    @property
    @abstractmethod
    def collects(self) -> bool:
        """Whether those who log a run are to send its files; otherwise they stay in the run's folder, and are read there."""

    @abstractmethod
    def standing(self, run: str) -> list[Standing]:
        """Return the run's files, by name. What the blobs have of them stays as long as the run keeps it."""

    @abstractmethod
    def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
        """Add a piece to a content that the run keeps, and return how many bytes are here now: all of them, once it is looked at and kept.

        Raises:
            NotFound: the run keeps no such file (any more).
            Damaged: all came, and it is something else: begin again.
            TooLarge: it passes a limit, or what the run says that the file has.
        """

    @abstractmethod
    def read(self, run: str, name: str, start: int = 0, end: int | None = None) -> Content:
        """Return what is in [start, end) of a file; what lies behind its end is left out.

        Raises:
            NotFound: the run keeps no such file, or its content is not here.
        """


@final
class LocalFiles(Files):
    """Next to the data.

    Args:
        store: Whose runs they are.
        runs: The folder that has the folders of runs on this machine.
        place: Where contents are kept, this store's alone: a folder or a URL (`open_blobs`).
        drafts: A folder of this machine, for what is on its way.
        former: A folder that several stores may have shared: what is there is read, and nothing is written or dropped.
        collects: Whether whoever logs is to send files here.
        limits: Held against what comes.
    """

    def __init__(
        self,
        store: Store,
        *,
        runs: Path,
        place: str | Path,
        drafts: Path,
        former: Path | None = None,
        collects: bool = False,
        limits: Limits = Limits(),
    ) -> None:
        self._store = store
        self._runs = runs
        self._place = place
        self._former = Folder(former) if former is not None and former.is_dir() else None
        self._collects = collects
        self._known: OrderedDict[tuple[object, ...], str] = OrderedDict()
        self._lock = threading.Lock()
        self.drafts = Drafts(drafts)
        self.limits = limits

    @classmethod
    def of(cls, store: Store) -> LocalFiles:
        """Return those of a store: at ``$WHET_BLOBS``, else in a folder of its own (`_home`), beside SQLite's file or in Whet's folder."""
        from whet.store.open import whet_dir

        runs = whet_dir().absolute() / "runs"
        if store.url == "memory":
            folder = tempfile.mkdtemp(prefix="whet-blobs-")
            found = cls(store, runs=runs, place=folder, drafts=Path(folder) / ".drafts")
            weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
            return found
        home, former = _home(store.url, runs.parent)
        place = os.environ.get("WHET_BLOBS")
        if not place:
            return cls(store, runs=runs, place=home, drafts=home / ".drafts", former=former)
        here = folder_at(place)
        drafts = (home if here is None else here.path) / ".drafts"  # on the disk where it is renamed in the end
        return cls(store, runs=runs, place=place, drafts=drafts, collects=True)

    @cached_property
    def blobs(self) -> Blobs:
        """Where contents are kept."""
        return open_blobs(self._place)

    @property
    def places(self) -> list[Blobs]:
        """Where contents are read: there, and where they were in the past."""
        return [self.blobs] if self._former is None else [self.blobs, self._former]

    @property
    def collects(self) -> bool:
        return self._collects

    def standing(self, run: str) -> list[Standing]:
        room = self._room(run)
        with self.blobs.gate():
            # Rows first: what `whet.store.gc` has just dropped was in none of them.
            return [self._standing(run, room, artifact) for artifact in self._store.runs.artifacts(run)]

    def _standing(self, run: str, room: str, artifact: Artifact) -> Standing:
        here = self._kept_at(room, artifact) is not None or self._own_size(run, artifact)
        if here:
            received = artifact.size
        else:  # whoever ships a record may write anything into it
            received = self.drafts.part(room).size(run, artifact.sha256) if is_digest(artifact.sha256) else 0
        return Standing(artifact=artifact, here=here, received=received)

    def send(self, run: str, sha256: str, offset: int, piece: bytes) -> int:
        check_digest(sha256)
        found = [one for one in self._store.runs.artifacts(run) if one.sha256 == sha256]
        # Where records disagree the least is what nobody takes for all before it is looked at.
        artifact = min(found, key=lambda one: one.size, default=None)
        if artifact is None:
            raise NotFound(f"run {run} keeps no file with the SHA-256 {sha256}", "ship its record first")
        room = self._room(run)
        with self.blobs.gate():
            kept = self._kept_at(room, artifact)
        drafts = self.drafts.part(room)
        if kept is not None:
            drafts.drop(run, sha256)
            return artifact.size

        def whole(path: Path) -> None:
            self._check(artifact, self._used(room))
            self.blobs.keep(room, sha256, path)

        # At each piece, for the record may say something else by now; what is kept is counted at the first and at the last.
        others = self._under_way(drafts, run, sha256)
        begins = not offset and len(piece) < artifact.size
        try:
            self._check(artifact, others + (self._used(room) if begins else 0))
        except TooLarge:
            drafts.drop(run, sha256)
            raise
        return drafts.append(run, sha256, offset, piece, artifact.size, whole=whole)

    def _used(self, room: str) -> int:
        return 0 if self.limits.project_bytes is None else sum(blob.size for blob in self.blobs.all(room))

    def _under_way(self, drafts: Drafts, run: str, sha256: str) -> int:
        return 0 if self.limits.project_bytes is None else max(0, drafts.num_bytes() - drafts.size(run, sha256))

    def _check(self, artifact: Artifact, used: int) -> None:
        most, all_of = self.limits.file_bytes, self.limits.project_bytes
        if most is not None and artifact.size > most:
            raise TooLarge(
                f"{artifact.name!r} has {artifact.size} bytes, and this server takes {most} a file",
                "keep it elsewhere, or ask whoever keeps the server",
            )
        if all_of is not None and used + artifact.size > all_of:
            raise TooLarge(
                f"{artifact.name!r} has {artifact.size} bytes, and of the {all_of} of its project {used} are used",
                "remove runs (then: whet db gc), or ask whoever keeps the server",
            )

    def read(self, run: str, name: str, start: int = 0, end: int | None = None) -> Content:
        artifact = next((a for a in self._store.runs.artifacts(run) if a.name == name), None)
        if artifact is None:
            raise NotFound(f"run {run} keeps no file {name!r}", f"whet artifacts ls {run}")
        end = artifact.size if end is None else max(0, min(end, artifact.size))
        start = max(0, min(start, end))
        room = self._room(run)
        with suppress(NotFound):
            if (kept := self._kept_at(room, artifact)) is not None:
                pieces = kept.read(room, artifact.sha256, start, end)
                return Content(artifact=artifact, start=start, end=end, pieces=pieces)
        if (file := self._own(run, artifact)) is not None:
            return Content(artifact=artifact, start=start, end=end, pieces=pieces_of(file, start, end))
        raise NotFound(
            f"the content of {name!r} of run {run} is not here",
            "it is where the run was logged: whet sync brings it to a server",
        )

    # -- where a content is

    def _room(self, run: str) -> str:
        return room_of(self._store.runs.get(run).project)

    def _kept_at(self, room: str, artifact: Artifact) -> Blobs | None:
        """Return the place that has a file's content, by the room of its project."""
        if not is_digest(artifact.sha256):
            return None
        for blobs in self.places:
            found = blobs.find(room, artifact.sha256)
            if found is not None and found.size == artifact.size:
                return blobs
        return None

    def _own_size(self, run: str, artifact: Artifact) -> bool:
        """Return whether the run's own folder has a file of that size: reading it is for those who want it."""
        file = own_file(self._runs / run, artifact)
        if file is not None:
            file.close()
        return file is not None

    def _own(self, run: str, artifact: Artifact) -> BufferedReader | None:
        """Return the file in the run's own folder, open, if it is what was kept: the training may have changed it since."""
        file = own_file(self._runs / run, artifact)
        if file is None:
            return None
        found = os.fstat(file.fileno())
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        digest = self._known.get(key)
        if digest is None:
            digest = file_digest(file, "sha256").hexdigest()
            with self._lock:
                self._known[key] = digest
                while len(self._known) > _MOST_KNOWN:
                    self._known.popitem(last=False)
        if digest != artifact.sha256:
            file.close()
            return None
        return file


_DECIDES = frozenset({"host", "hostaddr", "port", "dbname", "user", "service", "options"})


def _home(url: str, whet: Path) -> tuple[Path, Path]:
    """Return the folder where a database's contents are by default, and the one where they were in the past.

    Each database has its own, as `whet.store.gc` knows the runs of one alone: SQLite's has its file's name, PostgreSQL's the digest of its
    URL: of what decides which tables are seen, for a password, a port that is the usual one and options of the connection may come and go.
    """
    if url.startswith("sqlite:///"):
        file = Path(url.removeprefix("sqlite:///"))
        real = file.resolve()  # one database under several names has one place
        return real.with_name(f"{real.name}.blobs"), file.absolute().parent / "blobs"
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    options = sorted(pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] in _DECIDES)
    name = repr((user.partition(":")[0], host.removesuffix(":5432"), parts.path, options))
    return whet / f"postgresql-{sha256(name.encode()).hexdigest()[:16]}.blobs", whet / "blobs"


def own_file(folder: Path, artifact: Artifact) -> BufferedReader | None:
    """Return the file of that name and size in a run's folder, open, or None. No name and no link leads out of the folder."""
    if not is_safe(artifact.name):
        return None
    files = folder / "files"
    path = files / artifact.name
    try:
        if not path.resolve().is_relative_to(files.resolve()):
            return None
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))  # fmt: skip
    except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
        return None
    file = os.fdopen(fd, "rb")
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_size == artifact.size:
        return file
    file.close()
    return None
