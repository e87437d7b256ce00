"""JSON and YAML documents: results, with the configuration that lies beside them; or any document that is named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, final

from whet.errors import TrackError
from whet.foreign.base import Claim, Facts, Folder, ForeignRun, Format, Scope, Stream, quiet_since, run_id
from whet.foreign.beside import Beside, config_in, results_in, told_by
from whet.store.base import Row
from whet.track.readers.base import Reader, Rows
from whet.track.readers.files import row_of
from whet.trial import Phase

__all__ = ["HistoryReader", "Json", "Yaml"]

_MOST_ROWS = 10_000


@final
class HistoryReader(Reader):
    """Rows that a document holds; the offset counts them, and a piece that ends before it starts says that there are fewer than there were."""

    def __init__(self, path: Path, offset: int, history: Sequence[Mapping[str, Any]]) -> None:
        written = path.stat().st_mtime
        super().__init__(path, offset, clock=lambda: written)
        self._history = history

    @property
    def share(self) -> float:
        return self.offset / max(1, len(self._history))

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        if start > len(self._history):
            return Rows(rows=(), start=start, end=len(self._history))
        piece = self._history[start : start + _MOST_ROWS]
        rows: Iterable[Row | None] = (row_of(values, start + i, self.clock) for i, values in enumerate(piece))
        self.offset = start + len(piece)
        return Rows(rows=tuple(row for row in rows if row is not None), start=start, end=self.offset)


class _Documents(Format):
    suffixes: ClassVar[tuple[str, ...]]

    def find(self, folder: Folder, scope: Scope) -> Claim:
        found = any(path.suffix.lower() in self.suffixes for path in results_in(folder))
        configs = config_in(folder)
        if not scope.sure:
            if not found:
                return Claim()
            taken = {path.name for path in (*results_in(folder), *configs)} | {".hydra"}
            run = _DocumentRun(
                self.name, folder.path, results_in(folder), scope, Beside.of(configs, results_in(folder))
            )
            return Claim(runs=(run,) if run.tells else (), taken=frozenset(taken))
        runs, troubles = [], []
        names = [name for name in folder.files if Path(name).suffix.lower() in self.suffixes]
        for name in names:
            path = folder.path / name
            try:
                run = _DocumentRun(self.name, path.with_suffix(""), [path], scope, told_by(path))
            except TrackError as error:
                troubles.append((path, str(error)))
                continue
            if run.tells:
                runs.append(run)
            else:
                troubles.append((path, f"{path} holds nothing that a run could have"))
        return Claim(runs=tuple(runs), taken=frozenset(names), troubles=tuple(troubles))


@final
class Json(_Documents):
    """JSON documents."""

    name: ClassVar[str] = "json"
    about: ClassVar[str] = ".json files called metrics, results, summary, history; config, params, args beside them"
    suffixes: ClassVar[tuple[str, ...]] = (".json",)


@final
class Yaml(_Documents):
    """YAML documents."""

    name: ClassVar[str] = "yaml"
    about: ClassVar[str] = ".yaml files called so"
    suffixes: ClassVar[tuple[str, ...]] = (".yaml", ".yml")


@final
class _DocumentRun(ForeignRun):
    def __init__(self, kind: str, named: Path, paths: Sequence[Path], scope: Scope, told: Beside) -> None:
        first = next((json.dumps(history[0], default=str) for history in told.histories.values()), "")
        path = paths[0] if len(paths) == 1 else paths[0].parent
        super().__init__(kind=kind, path=path, id=run_id(kind, str(named), first), project=None, name=scope.name(named))
        self._paths = paths
        self._told = told
        self._scope = scope
        self.troubles += told.troubles

    @property
    def tells(self) -> bool:
        told = self._told
        return bool(told.config or told.summary or told.histories or told.troubles)

    def streams(self) -> Sequence[Stream]:
        return [
            Stream(source=f"{self.kind}:{path.name}", path=path, open=partial(HistoryReader, path, history=history))
            for path, history in self._told.histories.items()
        ]

    def facts(self) -> Facts:
        quiet = quiet_since(self._paths, self._scope.now)
        phase = Phase.RUNNING if quiet is None else Phase.FINISHED
        return Facts(config=self._told.config, summary=self._told.summary, phase=phase, quiet=quiet)
