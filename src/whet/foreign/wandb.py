"""W&B's run files (``wandb/offline-run-*/run-*.wandb``): a log in LevelDB's format of Protocol Buffers messages.

The file begins with seven bytes (``:W&B``, 0xBEE1, a version). Records lie in blocks of 32 KiB; each piece of one has a header: CRC-32 of
what follows, length, and kind (whole, first, middle, last). Of the messages, those that tell of the run, its configuration, history, summary,
machine and end are read; the numbers of their fields have been the same since offline runs exist, and were compared with wandb 0.31.
"""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, final

from whet.errors import TrackError
from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, quiet_since, run_id
from whet.foreign.protobuf import fields, text, whole
from whet.foreign.reading import tamed
from whet.store.base import Row
from whet.track.capture import command_line, mask
from whet.track.readers.base import Reader, Rows
from whet.track.readers.files import numbers_of
from whet.trial import Phase

__all__ = ["Wandb", "WandbReader", "records"]

_MAGIC = b":W&B\xe1\xbe"
_HEADER_BYTES = 7
_BLOCK = 32 << 10
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_PIECE_BYTES = 2 << 20
_LONGEST = 64 << 20
_HEAD_BYTES = 1 << 20  # within which the record of the run comes
_HISTORY, _SUMMARY, _CONFIG, _STATS, _RUN, _EXIT, _ENVIRONMENT = 2, 3, 5, 7, 17, 18, 26


@final
class Wandb(Format):
    """Folders of one W&B run each; what lies beside the file is not looked at."""

    name: ClassVar[str] = "wandb"
    about: ClassVar[str] = "wandb/offline-run-*/run-*.wandb"

    def find(self, folder: Folder, scope: Scope) -> Claim:
        names = [name for name in folder.files if name.startswith("run-") and name.endswith(".wandb")]
        runs, troubles = [], []
        for name in names:
            try:
                runs.append(_Run(folder.path / name, scope))
            except TrackError as error:
                troubles.append((folder.path / name, str(error)))
        return Claim(runs=tuple(runs), whole=bool(names) and not scope.sure, taken=frozenset(names), troubles=tuple(troubles))  # fmt: skip


@final
class _Run(ForeignRun):
    def __init__(self, path: Path, scope: Scope) -> None:
        self._reader = head = WandbReader(path, most_bytes=_HEAD_BYTES)
        head.read()
        if head.offset == 0 and path.stat().st_size >= _HEADER_BYTES:
            raise TrackError(f"{path} is no file of W&B", "leave it out")
        told = head.run
        own = told.get("run_id") or path.name[len("run-") : -len(".wandb")]
        project = told.get("project") or None
        super().__init__(
            kind="wandb",
            path=path.parent,
            id=run_id("wandb", told.get("entity", ""), project or "", own),
            project=project,
            name=told.get("display_name") or own,
            began=head.started,
        )
        self._file = path
        self._scope = scope
        self._readers: list[WandbReader] = []

    def streams(self) -> Sequence[Stream]:
        # A run that was resumed has several folders, and is one run.
        source = f"wandb:{self.path.name}/{self._file.name}"
        return [Stream(source=source, path=self._file, open=self._open)]

    def _open(self, offset: int) -> Reader:
        reader = WandbReader(self._file, offset)
        reader.started = self._reader.started  # it is told at the beginning only
        self._readers.append(reader)
        return reader

    def facts(self) -> Facts:
        read = [self._reader, *self._readers]
        run, last = self._reader.run, {name: v for reader in read for name, v in reader.last.items()}
        config: dict[str, object] = {}
        summary: dict[str, object] = {}
        meta: dict[str, object] = {}
        host = ""
        code: int | None = None
        for reader in read:
            config |= reader.config
            summary |= reader.summary
            meta |= reader.meta
            host = reader.host or host
            code = reader.exit_code if reader.exit_code is not None else code
        quiet = quiet_since([self._file], self._scope.now)
        if code is not None:
            phase, reason = (Phase.FINISHED, "") if code == 0 else (Phase.FAILED, f"exit code {code}")
        elif quiet is not None:  # W&B writes to it every few seconds as long as the process lives
            phase, reason = Phase.FAILED, "its file ends without a word (killed?)"
        else:
            phase, reason = Phase.RUNNING, ""
        kept = {name: v for name, v in summary.items() if not _repeats(name, v, last)}
        files = self.path / "files"
        return Facts(
            config=config,
            summary=kept,
            meta=meta,
            group=run.get("run_group", ""),
            tags=tuple(self._reader.tags),
            notes=run.get("notes", ""),
            owner=host,
            folder=str(files) if (files / "output.log").is_file() else "",
            started=self._reader.started,
            quiet=quiet,
            phase=phase,
            reason=reason,
        )


def _repeats(name: str, value: object, last: Mapping[str, float]) -> bool:
    """Return whether a value of the summary is but the last logged one, as W&B puts it there by itself."""
    if isinstance(value, Mapping) and value:
        return all(_repeats(f"{name}.{inner}", v, last) for inner, v in value.items())
    return name in last and isinstance(value, int | float) and repr(float(value)) == repr(last[name])


def records(path: Path, offset: int, most_bytes: int = _PIECE_BYTES) -> Iterator[tuple[bytes | None, int]]:
    """Yield the records of a file from `offset` (0, or where a record ended), each with the byte at which it ends.

    None stands for one that is damaged; reading goes on in the next block. What is not whole yet is left for later.

    Raises:
        TrackError: it is no file of W&B, or a record is too long.
    """
    with path.open("rb") as file:
        if offset == 0:
            head = file.read(_HEADER_BYTES)
            if len(head) < _HEADER_BYTES:
                return
            if not head.startswith(_MAGIC):
                raise TrackError(f"{path} is no file of W&B: it begins with {head!r}", "leave it out")
            offset = _HEADER_BYTES
        file.seek(offset)
        start = at = offset
        parts: list[bytes] = []
        size = 0
        while at - start < most_bytes or parts:
            room = _BLOCK - at % _BLOCK
            if room < 7:  # too little for a header: zeros
                if len(file.read(room)) < room:
                    return
                at += room
                continue
            head = file.read(7)
            if len(head) < 7:
                return
            checksum, length, kind = struct.unpack("<IHB", head)
            if length <= room - 7:
                data = file.read(length)
                if len(data) < length:
                    return
                intact = zlib.crc32(data, zlib.crc32(head[6:7])) == checksum
            else:
                data, intact = b"", False
            if not intact:
                parts, size = [], 0
                at += room
                file.seek(at)
                if not file.read(1):
                    return  # the last block may still be written
                file.seek(at)
                yield None, at
                continue
            if kind in (_MIDDLE, _LAST) and not parts:  # what is left of a record whose beginning was damaged
                at += 7 + length
                continue
            if kind in (_WHOLE, _FIRST) and parts:  # its end was never written
                parts, size = [], 0
                yield None, at
            at += 7 + length
            parts.append(data)
            size += length
            if size > _LONGEST:
                raise TrackError(f"{path} has a record of more than {_LONGEST} bytes before byte {at}", "leave it out")
            if kind in (_WHOLE, _LAST):
                yield b"".join(parts), at
                parts, size = [], 0


@final
class WandbReader(Reader):
    """Reads a run's file: history as rows; what else it tells is gathered in the attributes as it is met.

    Args:
        most_bytes: About as much is read at a time.
    """

    def __init__(self, path: Path, offset: int = 0, *, most_bytes: int = _PIECE_BYTES) -> None:
        super().__init__(path, offset)
        self._most_bytes = most_bytes
        self.run: dict[str, str] = {}
        self.tags: list[str] = []
        self.config: dict[str, object] = {}
        self.summary: dict[str, object] = {}
        self.meta: dict[str, object] = {}
        self.last: dict[str, float] = {}
        """The last value of each metric."""
        self.host = ""
        self.started: float | None = None
        self.exit_code: int | None = None

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        rows: list[Row] = []
        for record, end in records(self.path, start, self._most_bytes):
            at, self.offset = self.offset, end
            try:
                row = None if record is None else self._take(record)
                if record is None:
                    self.damaged(f"the record at byte {at}")
            except TrackError:
                self.damaged(f"the record at byte {at}")
                continue
            if row is not None:
                rows.append(row)
        return Rows(rows=tuple(rows), start=start, end=self.offset)

    def _take(self, record: bytes) -> Row | None:
        for number, body in fields(record):
            if not isinstance(body, bytes):
                continue
            if number == _HISTORY:
                return self._row(body)
            if number == _SUMMARY:
                self.summary |= _theirs(_items(body))
            elif number == _CONFIG:
                self.config |= {k: v for k, v in _items(body).items() if k != "_wandb"}
            elif number == _STATS:
                return self._stats(body)
            elif number == _RUN:
                self._run(body)
            elif number == _EXIT:
                self.exit_code = next((whole(value) for n, value in fields(body) if n == 1), 0)
            elif number == _ENVIRONMENT:
                self._environment(body)
        return None

    def _row(self, body: bytes) -> Row | None:
        values = _items(body)
        step, when = values.pop("_step", None), values.pop("_timestamp", None)
        if not isinstance(step, int):
            inner = next((value for n, value in fields(body) if n == 2 and isinstance(value, bytes)), b"")
            step = next((whole(value) for n, value in fields(inner) if n == 1), 0)
        values = _theirs(values)
        numbers = numbers_of(values)
        self.last |= numbers
        if not isinstance(when, int | float) or not 0 <= when < 1e11:
            when = self.started or 0.0
        return Row(step=step, time=float(when), values=numbers) if numbers and abs(step) < 1 << 62 else None

    def _stats(self, body: bytes) -> Row | None:
        seconds = next((_timestamp(value) for n, value in fields(body) if n == 2 and isinstance(value, bytes)), None)
        numbers = {f"system/{k}": v for k, v in numbers_of(_items(body, repeated=3)).items()}
        if seconds is None or not numbers:
            return None
        return Row(step=max(0, int(seconds - (self.started or seconds))), time=seconds, values=numbers)

    def _run(self, body: bytes) -> None:
        names = {
            1: "run_id",
            2: "entity",
            3: "project",
            6: "run_group",
            7: "job_type",
            8: "display_name",
            9: "notes",
            12: "sweep_id",
        }
        tags = []
        for number, value in fields(body):
            if number in names:
                self.run[names[number]] = text(value)
            elif number == 10:
                tags.append(text(value))
            elif number == 13:
                self.host = text(value)
            elif isinstance(value, bytes):
                if number == 4:
                    self.config |= {k: v for k, v in _items(value).items() if k != "_wandb"}
                elif number == 5:
                    self.summary |= _theirs(_items(value))
                elif number == 17:
                    self.started = _timestamp(value)
                elif number == 21:
                    self._git(value)
        self.tags = tags or self.tags
        self.meta |= {k: self.run[k] for k in ("job_type", "sweep_id") if self.run.get(k)}

    def _environment(self, body: bytes) -> None:
        arguments: list[str] = []
        program = ""
        names = {1: "os", 2: "python", 12: "host", 13: "user"}
        for number, value in fields(body):
            if number in names:
                self.meta[names[number]] = text(value)
            elif number == 5:
                arguments.append(text(value))
            elif number == 6:
                program = text(value)
            elif number == 9 and isinstance(value, bytes):
                self._git(value)
        if "python" in self.meta:
            self.meta["python"] = str(self.meta["python"]).removeprefix("CPython ")
        self.host = str(self.meta.get("host", "")) or self.host
        if program:
            self.meta["command"] = command_line([program, *arguments])

    def _git(self, body: bytes) -> None:
        told = {number: text(value) for number, value in fields(body)}
        if told.get(2):
            self.meta["git"] = {"commit": told[2], "remote": mask(told[1]) if told.get(1) else None}


def _items(body: bytes, *, repeated: int = 1) -> dict[str, Any]:
    """Return the items of a message: names (nested ones dotted) and values, which are JSON."""
    found: dict[str, Any] = {}
    for number, item in fields(body):
        if number != repeated or not isinstance(item, bytes):
            continue
        names, value = [], b""
        for inner, part in fields(item):
            if inner in (1, 2):  # a name, or the parts of a nested one
                names.append(text(part))
            elif inner == 16 and isinstance(part, bytes):
                value = part
        with contextlib.suppress(ValueError, RecursionError, TrackError):
            found[".".join(names)] = tamed(json.loads(value))
    return found


def _theirs(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the items that are the user's own, without pictures, tables and histograms, whole or item by item: these have a ``_type``."""
    media = tuple(f"{name.removesuffix('._type')}." for name in values if name.endswith("._type"))
    return {
        name: value
        for name, value in values.items()
        if not name.startswith(("_", *media)) and not (isinstance(value, Mapping) and "_type" in value)
    }


def _timestamp(body: bytes) -> float | None:
    told = {number: whole(value) for number, value in fields(body)}
    seconds = told.get(1, 0) + told.get(2, 0) / 1e9
    return seconds if 0 < seconds < 1e11 else None
