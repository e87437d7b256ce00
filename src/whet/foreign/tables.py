"""CSV and JSON Lines: a file is a run, its rows are steps; or each row is a run, where rows look like finished ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, final

from whet.errors import TrackError
from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, quiet_since, run_id
from whet.foreign.beside import Beside, config_in, is_result, results_in
from whet.foreign.reading import numbers_of, tamed, value_of
from whet.track.readers.base import Reader
from whet.track.readers.files import STEPS, CsvReader, JsonLinesReader, reader_of
from whet.trial import Phase

__all__ = ["Csv", "JsonLines", "known_tables"]

_KNOWN = ("metrics", "progress", "history", "training_log", "train_log", "log", "results", "scalars")
_RUN_IDS = ("run", "run_id", "run id", "run_uuid", "run_name", "trial", "trial_id", "trial_number", "experiment_id")
_NAMES = ("name", "id", "uuid", "number", "experiment")
_MOST_RUNS = 100_000
_PREFIXES = {
    "params.": 0,
    "params_": 0,
    "param_": 0,
    "config.": 0,
    "metrics.": 1,
    "metric_": 1,
    "summary.": 1,
    "values_": 1,
}
_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")


def known_tables(folder: Folder) -> list[str]:
    """Return the tables of a folder whose names say that they hold metrics."""
    paths = [Path(name) for name in folder.files]
    return [p.name for p in paths if p.suffix.lower() in _SUFFIXES and p.stem.lower() in _KNOWN]


class _Tables(Format):
    suffixes: ClassVar[tuple[str, ...]]

    def find(self, folder: Folder, scope: Scope) -> Claim:
        names = [name for name in folder.files if Path(name).suffix.lower() in self.suffixes]
        known = [name for name in names if name in known_tables(folder)]
        runs: list[ForeignRun] = []
        taken: set[str] = set()
        troubles: list[tuple[Path, str]] = []
        for name in names:
            path = folder.path / name
            try:
                first = next(self._rows(path), None)
                columns = [] if first is None else list(first)
                if first is None or not (scope.sure or name in known or _has_step(columns) or _has_run_id(columns)):
                    continue
                if not numbers_of({k: value_of(v) if isinstance(v, str) else v for k, v in first.items()}):
                    if scope.sure:
                        troubles.append((path, f"{path} has no numbers in its first row: a file of metrics has some"))
                    continue
                taken.add(name)
                if _rows_are_runs(columns, scope):
                    runs += self._runs(path, scope)
                    continue
            except (TrackError, OSError) as error:
                if scope.sure or name in known:
                    troubles.append((path, str(error)))
                    taken.add(name)
                continue
            alone = name in known and len(known) == 1
            configs, results = config_in(folder), results_in(folder) if alone else []
            taken |= {p.name for p in [*configs, *results]} | {".hydra"}
            shown = scope.name(folder.path if alone else path.with_suffix(""))
            runs.append(_TableRun(self.name, path, first, configs, results, scope, shown))
        return Claim(runs=tuple(runs), taken=frozenset(taken), troubles=tuple(troubles))

    @abstractmethod
    def _rows(self, path: Path) -> Iterator[Mapping[str, Any]]: ...

    def _runs(self, path: Path, scope: Scope) -> list[ForeignRun]:
        rows = list(islice(self._rows(path), _MOST_RUNS + 1))
        if len(rows) > _MOST_RUNS:
            raise TrackError(
                f"{path} has more than {_MOST_RUNS} rows, which look like runs", "--rows steps makes one run of it"
            )
        return [_RowRun(self.name, path, number, row, scope) for number, row in enumerate(rows)]


@final
class Csv(_Tables):
    """Tables with a header line, separated by commas, semicolons or tabs."""

    name: ClassVar[str] = "csv"
    about: ClassVar[str] = ".csv and .tsv files with a step column, or called metrics, progress, history, log, results"
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    def _rows(self, path: Path) -> Iterator[Mapping[str, Any]]:
        return CsvReader(path).texts()


@final
class JsonLines(_Tables):
    """One JSON object a line."""

    name: ClassVar[str] = "jsonl"
    about: ClassVar[str] = ".jsonl and .ndjson files with a step, or called so"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def _rows(self, path: Path) -> Iterator[Mapping[str, Any]]:
        return JsonLinesReader(path).mappings()


@final
class _TableRun(ForeignRun):
    """A file whose rows are the steps of one run. Its first row is a part of what it is: written anew, it is another run."""

    def __init__(
        self,
        kind: str,
        path: Path,
        first: Mapping[str, Any],
        configs: list[Path],
        results: list[Path],
        scope: Scope,
        name: str,
    ) -> None:
        id = run_id(kind, str(path), repr(sorted(first.items(), key=str)))
        super().__init__(kind=kind, path=path, id=id, project=None, name=name)
        self._documents = (configs, results)
        self._scope = scope
        self._beside: Beside | None = None

    def streams(self) -> Sequence[Stream]:
        return [Stream(source=f"{self.kind}:{self.path.name}", path=self.path, open=self._open)]

    def _open(self, offset: int) -> Reader:
        written = self.path.stat().st_mtime
        reader = reader_of(self.path, offset)
        reader.clock = lambda: written
        return reader

    def facts(self) -> Facts:
        if self._beside is None:
            self._beside = Beside.of(*self._documents)
            self.troubles += self._beside.troubles
        quiet = quiet_since([self.path], self._scope.now)
        return Facts(
            config=self._beside.config,
            summary=self._beside.summary,
            phase=Phase.RUNNING if quiet is None else Phase.FINISHED,
            quiet=quiet,
        )


@final
class _RowRun(ForeignRun):
    """A row that is a run: columns are its configuration and its results."""

    def __init__(self, kind: str, path: Path, number: int, row: Mapping[str, Any], scope: Scope) -> None:
        lower = {name.lower(): name for name in row}
        key = next((str(row[lower[n]]) for n in (*_RUN_IDS, *_NAMES) if n in lower), "")
        shown = next((str(row[lower[n]]) for n in ("name", "run_name", *_RUN_IDS, *_NAMES) if n in lower), "")
        identity = key or f"#{number}"
        super().__init__(
            kind=kind,
            path=path,
            id=run_id(kind, str(path), identity),
            project=None,
            name=shown or f"{scope.name(path.with_suffix(''))}-{number}",
        )
        self._row = row

    def streams(self) -> Sequence[Stream]:
        return []

    def facts(self) -> Facts:
        parts: tuple[dict[str, object], dict[str, object]] = {}, {}
        phase = Phase.FINISHED
        for name, cell in self._row.items():
            value = value_of(cell) if isinstance(cell, str) else cell
            if name == "" or value is None or value == "":
                continue
            if name.lower() in ("state", "status"):
                phase = _phase(str(value))
                continue
            prefix = next((p for p in _PREFIXES if name.startswith(p) and len(name) > len(p)), "")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            where = _PREFIXES[prefix] if prefix else int(is_number and is_result(name))
            parts[where][name if prefix == "values_" else name.removeprefix(prefix)] = value
        config, summary = (tamed(part) for part in parts)
        return Facts(config=config, summary=summary, phase=phase)


def _phase(word: str) -> Phase:
    word = word.lower().removeprefix("trialstate.")
    if word in ("fail", "failed", "error", "crashed"):
        return Phase.FAILED
    return Phase.CANCELED if word in ("killed", "canceled", "cancelled") else Phase.FINISHED


def _has_step(columns: Sequence[str]) -> bool:
    return len(columns) > 1 and not {c.lower() for c in columns}.isdisjoint(STEPS)


def _has_run_id(columns: Sequence[str], *, weak: bool = False) -> bool:
    known = {c.lower() for c in columns}
    return len(columns) > 1 and not known.isdisjoint((*_RUN_IDS, *_NAMES) if weak else _RUN_IDS)


def _rows_are_runs(columns: Sequence[str], scope: Scope) -> bool:
    if scope.rows != "auto":
        return scope.rows == "runs"
    return not _has_step(columns) and _has_run_id(columns, weak=scope.sure)
