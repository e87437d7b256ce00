"""What every format is: it finds runs in folders, and reads each as facts and streams of metrics."""

from __future__ import annotations

import hashlib
import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, final

from whet.errors import TrackError
from whet.track.readers.base import Reader
from whet.trial import Phase

__all__ = [
    "Claim",
    "Facts",
    "Folder",
    "ForeignRun",
    "Format",
    "Scope",
    "Stream",
    "files_below",
    "folder_at",
    "quiet_since",
    "run_id",
]

_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_NATIVE = re.compile(r"[0-9a-f]{32}")
_DEEPEST = 40
_STILL_S = 600.0  # what was written to so lately may go on


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a source says of a run besides its curves; times in seconds since the epoch.

    Args:
        owner: The machine that it ran on.
        ended: As the source says.
        quiet: When its files were last written to, if that is a while ago: when it ended, if nothing tells.
        phase: RUNNING, or how it ended, with the `reason` in words.
        parent: Id of the run that it belongs to.
    """

    config: Mapping[str, object] = field(default_factory=dict)
    summary: Mapping[str, object] = field(default_factory=dict)
    meta: Mapping[str, object] = field(default_factory=dict)
    group: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""
    owner: str = ""
    folder: str = ""
    parent: str | None = None
    started: float | None = None
    ended: float | None = None
    quiet: float | None = None
    phase: Phase = Phase.RUNNING
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A file with metrics: the name by which the store knows how far it was read, and how to go on from there.

    Args:
        whole: Nobody writes to it any more, so that an unfinished end is its end.
    """

    source: str
    path: Path
    open: Callable[[int], Reader]
    whole: bool = False


class ForeignRun(ABC):
    """A run as another tool wrote it. Nothing is read before it is asked for.

    Args:
        kind: The format's name.
        path: Its folder or file.
        id: The same each time it is found.
        project: What it says it belongs to; None: nothing.
        name: For people.
        began: When, as far as can be told without reading much: runs come into the store in this order.
    """

    is_all_in_streams: ClassVar[bool] = False
    """Whether its facts are from its streams alone, so that nothing is new where these are not."""

    def __init__(
        self, *, kind: str, path: Path, id: str, project: str | None, name: str, began: float | None = None
    ) -> None:
        self.kind = kind
        self.path = path
        self.id = id
        self.project = project
        self.name = name
        self.began = _written(path) if began is None else began
        self.troubles: list[str] = []

    @abstractmethod
    def facts(self) -> Facts:
        """Return what is known of it; asked before its streams are read, and again afterwards, when it may be more."""

    @abstractmethod
    def streams(self) -> Sequence[Stream]:
        """Return its files with metrics, in the order in which they are read."""

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the files that belong to it, besides those that were read for what they tell: the name of each in the run, and where it is."""
        return iter(())


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder: names of its regular files and of its folders, sorted. Links are counted, not followed."""

    path: Path
    files: tuple[str, ...]
    folders: tuple[str, ...]
    links: int = 0

    def child(self, name: str) -> Folder | None:
        """Return the folder `name` in this one, or None where there is none (or it can't be read)."""
        if name not in self.folders:
            return None
        try:
            return folder_at(self.path / name)
        except TrackError:
            return None

    def without(self, taken: Collection[str]) -> Folder:
        """Return the folder without these names."""
        if not taken:
            return self
        return replace(
            self,
            files=tuple(n for n in self.files if n not in taken),
            folders=tuple(n for n in self.folders if n not in taken),
        )


def folder_at(path: Path) -> Folder:
    """Return the folder at `path`.

    Raises:
        TrackError: it can't be read.
    """
    files, folders, links = [], [], 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links += 1
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
    except OSError as error:
        raise TrackError(f"{path} can't be read ({error.strerror})", "make it readable, or leave it out") from error
    return Folder(path=path, files=tuple(sorted(files)), folders=tuple(sorted(folders)), links=links)


def files_below(folder: Folder | None, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Path]]:
    """Yield the regular files in and below a folder with their names, seen from there; links are not followed."""
    if folder is None or depth > _DEEPEST:
        return
    for name in folder.files:
        yield prefix + name, folder.path / name
    for name in folder.folders:
        yield from files_below(folder.child(name), f"{prefix}{name}/", depth + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What is looked at, and how.

    Args:
        root: The folder that was given (of a file: the one that it is in); names are told from here.
        sure: The user named the file or the format, so nothing has to look like metrics.
        rows: What the rows of a table are: "steps" of one run, "runs", or "auto".
        now: Seconds since the epoch.
    """

    root: Path
    sure: bool = False
    rows: str = "auto"
    now: float = field(default_factory=time.time)

    def name(self, path: Path) -> str:
        """Return the name of a run at `path`: where it is, seen from the root."""
        inner = path.relative_to(self.root).as_posix()
        return self.root.name or str(self.root) if inner == "." else inner


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a format finds in a folder: runs, and the names that it has dealt with, which nobody else is offered.

    Args:
        whole: The folder and all below is dealt with.
        troubles: (path, what is wrong) of what it could not make a run of.
    """

    runs: tuple[ForeignRun, ...] = ()
    taken: frozenset[str] = frozenset()
    whole: bool = False
    troubles: tuple[tuple[Path, str], ...] = ()


class Format(ABC):
    """A kind of files that another tool writes."""

    name: ClassVar[str]
    about: ClassVar[str]

    @abstractmethod
    def find(self, folder: Folder, scope: Scope) -> Claim:
        """Return what of the folder is this format's."""


def run_id(kind: str, *identity: str) -> str:
    """Return the id of the run that `kind` knows by `identity`: always the same, and nobody else's.

    An identity of 32 hex digits, as MLflow and Guild have them, is kept as it is.

    Example:
        >>> run_id("csv", "/a/b.csv") == run_id("csv", "/a/b.csv") != run_id("csv", "/a/c.csv")
        True
    """
    if len(identity) == 1 and _NATIVE.fullmatch(identity[0]):
        return identity[0]
    digest = hashlib.sha256("\0".join((kind, *identity)).encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:8], "big")
    return "".join(_LETTERS[number >> 5 * i & 31] for i in range(12))


def quiet_since(paths: Sequence[Path], now: float) -> float | None:
    """Return when these files were last written to, or None where that was within ten minutes, so that they may go on."""
    last = max(map(_written, paths), default=0.0)
    return None if now - last < _STILL_S else last


def _written(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
