"""Guild AI's runs (``.guild/runs/<id>``): attributes as YAML files, scalars as TensorBoard events.

Batches (which only start other runs), staged and deleted runs are left out. The environment that Guild keeps is not read: it may hold secrets.
"""

from __future__ import annotations

import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, final

import psutil

from whet.errors import TrackError
from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, files_below, run_id
from whet.foreign.reading import document, text_of
from whet.foreign.tensorboard import event_files, is_events
from whet.store.base import Row
from whet.track.capture import command_line
from whet.track.readers.base import Reader, Rows
from whet.track.readers.tfevents import EventReader
from whet.trial import Phase

__all__ = ["Guild"]

_OWN = ".guild"
_DEEPEST = 8
_WANTED = ("flags", "label", "tags", "comments", "started", "stopped", "exit_status", "host", "user", "cmd", "vcs_commit", "initialized", "marked")  # fmt: skip


@final
class Guild(Format):
    """Run folders of Guild."""

    name: ClassVar[str] = "guild"
    about: ClassVar[str] = ".guild/runs folders"

    def find(self, folder: Folder, scope: Scope) -> Claim:
        if folder.path.name == _OWN and "runs" in folder.folders:
            return Claim(taken=frozenset({"trash", "cache", "locks", "remotes"}))
        own = folder.child(_OWN)
        if own is None or "opref" not in own.files or "attrs" not in own.folders:
            return Claim()
        waits = "PENDING" in own.files or "STAGED" in own.files
        if waits or "proto" in own.folders or "proto" in own.files:
            return Claim(whole=True)
        return Claim(runs=(_Run(folder, own),), whole=True)


@final
class _Run(ForeignRun):
    def __init__(self, folder: Folder, own: Folder) -> None:
        super().__init__(
            kind="guild",
            path=folder.path,
            id=run_id("guild", folder.path.name),
            project=None,
            name=folder.path.name[:8],
        )
        self._folder = folder
        self._own = own
        self._facts: Facts | None = None

    def streams(self) -> Sequence[Stream]:
        whole = self.facts().phase.is_over
        return [
            Stream(
                source=f"guild:{prefix}{path.name}",
                path=path,
                open=partial(_ScalarReader, path, prefix=prefix),
                whole=whole,
            )
            for prefix, path in [*_events(self._own, "", 0), *_events(self._folder, "", 0)]
        ]

    def files(self) -> Iterator[tuple[str, Path]]:
        for name, path in files_below(self._folder.without({_OWN})):
            if not is_events(path.name):
                yield name, path

    def facts(self) -> Facts:
        if self._facts is None:
            self._facts = self._read()
        return self._facts

    def _read(self) -> Facts:
        told = self._attributes()
        operation = self._operation()
        label = str(told.get("label") or "")
        self.name = " ".join(filter(None, (operation, label))) or self.name
        flags, tags, comments = told.get("flags"), told.get("tags"), told.get("comments")
        meta: dict[str, object] = {"operation": operation} if operation else {}
        if isinstance(command := told.get("cmd"), list):
            meta["command"] = command_line([str(word) for word in command])
        if commit := told.get("vcs_commit"):
            meta["git"] = {"commit": str(commit).removeprefix("git:")}
        if user := told.get("user"):
            meta["user"] = str(user)
        phase, reason = self._ending(told)
        bodies = [str(c.get("body", "")) for c in comments if isinstance(c, Mapping)] if isinstance(comments, list) else []  # fmt: skip
        return Facts(
            config=flags if isinstance(flags, Mapping) else {},
            meta=meta,
            group=operation,
            tags=(*(map(str, tags) if isinstance(tags, list) else ()), *(["marked"] if told.get("marked") else ())),
            notes="\n".join(filter(None, bodies)),
            owner=str(told.get("host") or ""),
            started=_seconds(told.get("started")) or _seconds(told.get("initialized")),
            ended=_seconds(told.get("stopped")),
            phase=phase,
            reason=reason,
        )

    def _attributes(self) -> dict[str, Any]:
        attrs = self._own.child("attrs")
        told = {}
        for name in attrs.files if attrs is not None else ():
            if name in _WANTED and attrs is not None:
                try:
                    told[name] = document(attrs.path / name)
                except TrackError as error:
                    self.troubles.append(str(error))
        return told

    def _operation(self) -> str:
        """Return the name of the operation, with its model's before it where there is one."""
        try:
            words = shlex.split(text_of(self._own.path / "opref"))
        except (TrackError, ValueError) as error:
            self.troubles.append(f"{self._own.path / 'opref'} can't be read ({error})")
            return ""
        return ":".join(filter(None, words[-2:])) if len(words) >= 4 else ""

    def _ending(self, told: Mapping[str, Any]) -> tuple[Phase, str]:
        status = told.get("exit_status")
        if status == 0:
            return Phase.FINISHED, ""
        if isinstance(status, int):
            return (Phase.CANCELED, f"ended by signal {-status}") if status < 0 else (Phase.FAILED, f"exit status {status}")  # fmt: skip
        return (Phase.RUNNING, "") if self._runs(str(told.get("host") or "")) else (Phase.FAILED, "it left no exit status")  # fmt: skip

    def _runs(self, host: str) -> bool:
        if "LOCK" not in self._own.files:
            return "LOCK.remote" in self._own.files
        try:
            pid = int(text_of(self._own.path / "LOCK").split()[0])
        except (TrackError, ValueError, IndexError):
            return False
        return host != socket.gethostname() or (0 < pid < 1 << 31 and psutil.pid_exists(pid))


def _events(folder: Folder, prefix: str, depth: int) -> Iterator[tuple[str, Path]]:
    """Yield the event files below a folder, each with the prefix that its scalars get: where it is, seen from the run's folder."""
    for name in event_files(folder):
        yield prefix, folder.path / name
    for name in folder.folders:
        child = folder.child(name) if name != _OWN and depth < _DEEPEST else None
        if child is not None:
            yield from _events(child, f"{prefix}{name}/", depth + 1)


@final
class _ScalarReader(Reader):
    def __init__(self, path: Path, offset: int = 0, *, prefix: str) -> None:
        super().__init__(path, offset)
        self._inner = EventReader(path, offset)
        self._prefix = prefix

    def read(self, *, final: bool = False) -> Rows:
        piece = self._inner.read(final=final)
        self.offset, self.num_damaged, self.damage = self._inner.offset, self._inner.num_damaged, self._inner.damage
        if not self._prefix:
            return piece
        rows = (Row(step=r.step, time=r.time, values={self._prefix + k: v for k, v in r.values.items()}) for r in piece.rows)  # fmt: skip
        return Rows(rows=tuple(rows), start=piece.start, end=piece.end)


def _seconds(microseconds: object) -> float | None:
    if isinstance(microseconds, int | float) and 0 < microseconds < 1e17:
        return microseconds / 1e6
    return None
