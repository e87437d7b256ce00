"""W&B's run files (``wandb/offline-run-*/run-*.wandb``): a log in LevelDB's format of Protocol Buffers messages.

Its records are read by `whet.foreign.frames`. Of the messages, those that tell of the run, its configuration, history, summary,
machine and end are read; the numbers of their fields have been the same since offline runs exist, and were compared with wandb 0.31.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, final

from whet.errors import TrackError
from whet.foreign.base import (
    Claim,
    Facts,
    Folder,
    ForeignRun,
    Format,
    Scope,
    Stream,
    files_below,
    folder_at,
    quiet_since,
    run_id,
)
from whet.foreign.frames import HEADER_BYTES, records
from whet.foreign.protobuf import fields, text, whole
from whet.foreign.reading import tamed
from whet.store.base import Row
from whet.track.capture import command_line, mask
from whet.track.readers.base import Reader, Rows
from whet.track.readers.files import numbers_of
from whet.trial import Phase

__all__ = ["Wandb", "WandbReader"]

_PIECE_BYTES = 2 << 20
_HEAD_BYTES = 1 << 20  # within which the record of the run comes
_HEAD_PIECE_BYTES = 1 << 10
_TOLD = frozenset(
    {"config.yaml", "wandb-summary.json", "wandb-metadata.json"}
)  # by the run's file, too; the last may hold secrets
_HISTORY, _SUMMARY, _CONFIG, _STATS, _RUN, _EXIT, _ENVIRONMENT = 2, 3, 5, 7, 17, 18, 26


@final
class Wandb(Format):
    """Folders of W&B runs; what lies beside the file is not looked at. A run that was resumed has several folders, and is one run."""

    name: ClassVar[str] = "wandb"
    about: ClassVar[str] = "wandb/offline-run-*/run-*.wandb"

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def find(self, folder: Folder, scope: Scope) -> Claim:
        names = [name for name in folder.files if name.startswith("run-") and name.endswith(".wandb")]
        runs, troubles = [], []
        for name in names:
            try:
                run = _Run(folder.path / name, scope)
                first = self._runs.setdefault(run.id, run)
                if first is run:
                    runs.append(run)
                else:
                    first.join(run)
            except TrackError as error:
                troubles.append((folder.path / name, str(error)))
        return Claim(runs=tuple(runs), whole=bool(names) and not scope.sure, taken=frozenset(names), troubles=tuple(troubles))  # fmt: skip


@final
class _Run(ForeignRun):
    is_all_in_streams: ClassVar[bool] = True

    def __init__(self, path: Path, scope: Scope) -> None:
        head = WandbReader(path, most_bytes=_HEAD_PIECE_BYTES)
        while not head.run and head.offset < _HEAD_BYTES:
            piece = head.read()
            if piece.end == piece.start:
                break
        if head.offset == 0 and path.stat().st_size >= HEADER_BYTES:
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
        self._files = [path]
        self._scope = scope
        self._readers: dict[Path, WandbReader] = {}

    def join(self, other: _Run) -> None:
        """Take in the files of the same run that another folder has; folders are named by the time at which they were begun."""
        files = {path.parent.name.removeprefix("offline-") + str(path): path for path in [*self._files, *other._files]}
        self._files = [files[when] for when in sorted(files)]
        self.path = self._files[0].parent
        self.began = min(self.began, other.began)

    def streams(self) -> Sequence[Stream]:
        return [
            Stream(source=f"wandb:{path.parent.name}/{path.name}", path=path, open=partial(self._open, path))
            for path in self._files
        ]

    def _open(self, path: Path, offset: int) -> Reader:
        # The whole file is read at each look: what it says of the run stands anywhere in it, the last word counts.
        reader = self._readers[path] = WandbReader(path)
        reader.pass_over(offset)
        return reader

    def files(self) -> Iterator[tuple[str, Path]]:
        found: dict[str, Path] = {}
        for path in self._files:  # what a later folder has replaces what an earlier one had
            with contextlib.suppress(TrackError):
                found |= dict(files_below(folder_at(path.parent).child("files")))
        return ((name, path) for name, path in found.items() if name not in _TOLD)

    def facts(self) -> Facts:
        readers = [self._readers[path] for path in self._files if path in self._readers]
        run: dict[str, str] = {}
        config: dict[str, object] = {}
        summary: dict[str, object] = {}
        meta: dict[str, object] = {}
        logged: dict[str, float] = {}
        host = ""
        tags: list[str] = []
        for reader in readers:
            run |= reader.run
            config |= reader.config
            summary |= reader.summary
            meta |= reader.meta
            logged |= reader.last
            host, tags = reader.host or host, reader.tags or tags
        code = readers[-1].exit_code if readers else None
        quiet = quiet_since(self._files, self._scope.now)
        if code is not None:
            phase, reason = (Phase.FINISHED, "") if code == 0 else (Phase.FAILED, f"exit code {code}")
        elif quiet is not None:  # W&B writes to it every few seconds as long as the process lives
            phase, reason = Phase.FAILED, "its file ends without a word (killed?)"
        else:
            phase, reason = Phase.RUNNING, ""
        # Until it has ended, the summary may be a step behind what was logged.
        kept = {k: v for k, v in summary.items() if not _repeats(k, v, logged, any_value=code is None)}
        folders = [path.parent / "files" for path in self._files]
        started = [reader.started for reader in readers if reader.started is not None]
        return Facts(
            config=config,
            summary=kept,
            meta=meta,
            group=run.get("run_group", ""),
            tags=tuple(tags),
            notes=run.get("notes", ""),
            owner=host,
            folder=next((str(folder) for folder in reversed(folders) if (folder / "output.log").is_file()), ""),
            started=min(started, default=None),
            quiet=quiet,
            phase=phase,
            reason=reason,
        )


def _repeats(name: str, value: object, last: Mapping[str, float], *, any_value: bool) -> bool:
    """Return whether a value of the summary is but the last logged one (or any logged one), as W&B puts it there by itself."""
    if isinstance(value, Mapping) and value:
        return all(_repeats(f"{name}.{inner}", v, last, any_value=any_value) for inner, v in value.items())
    is_last = isinstance(value, int | float) and name in last and repr(float(value)) == repr(last[name])
    return is_last or (any_value and name in last)


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

    def pass_over(self, offset: int) -> None:
        """Read up to `offset`, where a record ended, for all that is no row. Damage there was told of before."""
        whole = self._most_bytes
        while self.offset < offset:
            self._most_bytes = min(whole, offset - self.offset)
            piece = self.read()
            if piece.end == piece.start:
                break
        self._most_bytes = whole
        self.offset, self.num_damaged, self.damage = offset, 0, ""

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
