"""MLflow's file store (``mlruns/``): a folder an experiment, a folder a run, a file a param, metric and tag.

Written from the layout that MLflow 1 to 3 have in common. Runs and experiments that were deleted there are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, final

from whet.errors import TrackError
from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, files_below, run_id
from whet.foreign.reading import document, text_of, value_of
from whet.store.base import Row
from whet.track.capture import mask
from whet.track.readers.base import Reader, Rows
from whet.trial import Phase

__all__ = ["MLflow", "MetricReader", "seconds", "told_of"]

_META = "meta.yaml"
_ID = re.compile(r"[0-9a-f]{32}")
_PIECE_BYTES = 1 << 20
_DEEPEST = 8
_MOST_FILES = 20_000
_PHASES = {1: Phase.RUNNING, 2: Phase.RUNNING, 3: Phase.FINISHED, 4: Phase.FAILED, 5: Phase.CANCELED}
_BY_NAME = {"RUNNING": 1, "SCHEDULED": 2, "FINISHED": 3, "FAILED": 4, "KILLED": 5}
_TAG_LENGTH = 100


@final
class MLflow(Format):
    """File stores of MLflow, or parts of them."""

    name: ClassVar[str] = "mlflow"
    about: ClassVar[str] = "mlruns/ folders (file store): meta.yaml, params, metrics, tags"

    def __init__(self) -> None:
        self._projects: dict[Path, str | None] = {}

    def find(self, folder: Folder, scope: Scope) -> Claim:
        if _META not in folder.files:
            return Claim()
        is_run = "metrics" in folder.folders or "params" in folder.folders or "tags" in folder.folders
        try:
            meta = document(folder.path / _META)
            if not isinstance(meta, Mapping):
                raise TrackError(f"{folder.path / _META} holds no mapping", "mend it, or leave it out")
        except TrackError as error:
            return Claim(whole=is_run, troubles=((folder.path / _META, str(error)),)) if is_run else Claim()
        if "run_id" in meta or "run_uuid" in meta:
            if meta.get("lifecycle_stage") == "deleted":
                return Claim(whole=True)
            run = _Run(folder, meta, self._projects.get(folder.path.parent))
            return Claim(runs=(run,), whole=True)
        if "experiment_id" in meta and "name" in meta:
            self._projects[folder.path] = str(meta["name"])
            deleted = meta.get("lifecycle_stage") == "deleted"
            # Traces and models of an experiment are folders like those of runs, but have other names for what they are.
            return Claim(taken=frozenset({_META, "tags", "traces", "models", "datasets"}), whole=deleted)
        return Claim()


@final
class _Run(ForeignRun):
    def __init__(self, folder: Folder, meta: Mapping[str, Any], project: str | None) -> None:
        named = folder.path.name  # MLflow has the id there, too, and YAML may take one of digits alone for a number
        own = named if _ID.fullmatch(named) else str(meta.get("run_id") or meta.get("run_uuid"))
        super().__init__(
            kind="mlflow",
            path=folder.path,
            id=run_id("mlflow", own),
            project=project,
            name=str(meta.get("run_name") or meta.get("name") or own[:12]),
            began=seconds(meta.get("start_time")),
        )
        self._folder = folder
        self._meta = meta
        self._facts: Facts | None = None

    def streams(self) -> Sequence[Stream]:
        metrics = self._folder.child("metrics")
        return [
            Stream(source=f"mlflow:metrics/{name}", path=path, open=partial(MetricReader, path, metric=name))
            for name, path in _files(metrics)
        ]

    def files(self) -> Iterator[tuple[str, Path]]:
        return files_below(self._folder.child("artifacts"))

    def facts(self) -> Facts:
        if self._facts is None:
            self._facts = self._read()
        return self._facts

    def _read(self) -> Facts:
        self.name, facts = told_of(self._texts("params"), self._texts("tags"), self._meta, self.name)
        return facts

    def _texts(self, kind: str) -> dict[str, str]:
        found = {}
        for name, path in _files(self._folder.child(kind)):
            try:
                found[name] = text_of(path)
            except TrackError as error:
                self.troubles.append(str(error))
        return found


def told_of(
    params: Mapping[str, str], tags: Mapping[str, str], meta: Mapping[str, Any], name: str
) -> tuple[str, Facts]:
    """Return a run's name and facts, as its params, tags and record tell them, wherever MLflow keeps these.

    Args:
        meta: Status, times in milliseconds, and what older versions kept there.
        name: Where no tag has one.
    """
    own = {key: value for key, value in tags.items() if key.startswith("mlflow.")}
    theirs = {key: value for key, value in tags.items() if key not in own}
    known: dict[str, object] = {}
    if commit := own.get("mlflow.source.git.commit") or meta.get("source_version"):
        branch = own.get("mlflow.source.git.branch")
        remote = own.get("mlflow.source.git.repoURL")
        known["git"] = {"commit": str(commit), "branch": branch, "remote": mask(remote) if remote else None}
    if source := own.get("mlflow.source.name") or meta.get("source_name"):
        known["command"] = [mask(str(source))]
    if user := own.get("mlflow.user") or meta.get("user_id"):
        known["user"] = str(user)
    words = {f"{key}={value}" if value else key: value for key, value in theirs.items()}
    if long := {key: value for key, value in theirs.items() if len(f"{key}={value}") > _TAG_LENGTH}:
        known["tags"] = long
    status = meta.get("status")
    number = _BY_NAME.get(status, 0) if isinstance(status, str) else status if isinstance(status, int) else 0
    phase = _PHASES.get(number, Phase.FINISHED)
    parent = own.get("mlflow.parentRunId")
    facts = Facts(
        config={key: value_of(text) for key, text in params.items()},
        meta=known,
        tags=tuple(word for word in words if len(word) <= _TAG_LENGTH),
        notes=own.get("mlflow.note.content", ""),
        parent=run_id("mlflow", parent) if parent else None,
        started=seconds(meta.get("start_time")),
        ended=seconds(meta.get("end_time")),
        phase=phase,
        reason="it was killed" if phase is Phase.CANCELED else "",
    )
    return own.get("mlflow.runName") or name, facts


def _files(folder: Folder | None, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Path]]:
    """Yield the files below a folder by their names; a name with slashes is a path."""
    if folder is None or depth > _DEEPEST:
        return
    for name in folder.files[:_MOST_FILES]:
        if not name.startswith("."):
            yield prefix + name, folder.path / name
    for name in folder.folders:
        yield from _files(folder.child(name), f"{prefix}{name}/", depth + 1)


def seconds(milliseconds: object) -> float | None:
    """Return a time of MLflow in seconds since the epoch; None where it is none."""
    if isinstance(milliseconds, int | float) and 0 < milliseconds < 1e14:
        return milliseconds / 1000
    return None


@final
class MetricReader(Reader):
    """Reads one file of a metric: lines of ``milliseconds value step``, and more behind them in newer versions."""

    _LINE = re.compile(rb"^(-?\d{1,14}) (\S{1,64})(?: (-?\d{1,18}))?(?: .*)?$")

    def __init__(self, path: Path, offset: int = 0, *, metric: str) -> None:
        super().__init__(path, offset)
        self._metric = metric

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        data = self.bytes_from(start, _PIECE_BYTES)
        cut = (
            data.rfind(b"\n") + 1
        )  # MLflow ends all lines: what comes after the last end of one is torn off, or still being written
        if not cut and len(data) == _PIECE_BYTES:
            raise TrackError(
                f"{self.path} has a line of more than {_PIECE_BYTES} bytes at byte {start}",
                "it is no metric: remove it",
            )
        rows = []
        at = start
        for line in data[:cut].split(b"\n"):
            row = self._row(line.rstrip(b"\r")) if line.strip() else None
            if row is not None:
                rows.append(row)
            elif line.strip():
                self.damaged(f"the line at byte {at}")
            at += len(line) + 1
        self.offset = start + cut
        return Rows(rows=tuple(rows), start=start, end=self.offset)

    def _row(self, line: bytes) -> Row | None:
        match = self._LINE.match(line)
        try:
            if match is not None:
                value = float(match[2])
                return Row(step=int(match[3] or 0), time=int(match[1]) / 1000, values={self._metric: value})
        except ValueError:
            pass
        return None
