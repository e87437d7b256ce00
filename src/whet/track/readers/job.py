"""What a trial's process reports by other means than `whet.log`: its output lines and its TensorBoard event files."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, final

from whet.errors import MissingDependency
from whet.store.base import Batch, Row
from whet.track.notices import Notices
from whet.track.readers.base import Reader
from whet.track.readers.lines import LineReader
from whet.track.readers.tfevents import EventReader, events_of
from whet.track.spool import path_of
from whet.trial import Report

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["JobReader"]

_LOOK_S = 2.0  # how often it looks for new event files
_MOST_FOLDERS = 2_000
_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages"})


@final
class JobReader:
    """Brings the metrics of an unchanged script to the store, as `whet.log` would have.

    A script that calls `whet.init` tells its own story, so nothing else of it is read. A metric that event files hold is not taken
    from the output again. It may be made anew at any time: the store knows how far each source was read.

    Args:
        store: Where to.
        sweep, number, run_id, attempt: The trial.
        metrics: The names of what the sweep optimises, in order; rows with some of them become reports.
        stdout: The job's output.
        folder: The run's own folder.
        cwd: Where the job runs; event files are looked for in both, and below.
    """

    def __init__(
        self,
        *,
        store: Store,
        sweep: str,
        number: int,
        run_id: str,
        attempt: int,
        metrics: tuple[str, ...],
        stdout: Path,
        folder: Path,
        cwd: Path,
    ) -> None:
        self._store = store
        self._sweep = sweep
        self._number = number
        self._run_id = run_id
        self._attempt = attempt
        self._metrics = metrics
        self._stdout = stdout
        self._folder = folder
        self._cwd = cwd
        self._readers: dict[str, Reader] = {}
        self._in_events: set[str] = set()
        self._by_step: dict[int, list[float]] | None = None
        self._looked = -_LOOK_S
        self._since: float | None = None
        self._notices = Notices()

    def collect(self, pids: Collection[int], *, final: bool = False) -> None:
        """Ship what is new.

        Args:
            pids: The job's processes; event files are known by them.
            final: The job is over, so an unfinished last line counts.

        Raises:
            Conflict: the trial was handed out again.
            StoreUnavailable: try again later; nothing is lost.
        """
        if path_of(self._folder, self._attempt).exists():
            return
        self._look_for_events(pids, now=final)
        for source in list(self._readers):
            if source != "stdout":
                self._ship(source, final)
        if "stdout" not in self._readers:
            self._readers["stdout"] = LineReader(self._stdout, self._shipped("stdout"))
        self._ship("stdout", final)

    def _look_for_events(self, pids: Collection[int], *, now: bool) -> None:
        if not now and time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        if self._since is None:
            run = self._store.runs.get(self._run_id)
            self._since = run.started or run.created
        known = {reader.path for reader in self._readers.values()}
        found = events_of((), [self._folder], self._since)  # whoever writes there writes for this run
        if pids:
            found += events_of(pids, list(_folders(self._cwd)), self._since, recursive=False)
        for path in found:
            if path not in known:
                source = f"events:{os.path.relpath(path, self._cwd)}"
                reader = self._readers[source] = EventReader(path, self._shipped(source))
                known.add(path)
                if reader.offset:  # an earlier coordinator shipped them
                    self._in_events.update(*(row.values for row in EventReader(path).read().rows))

    def _shipped(self, source: str) -> int:
        return self._store.runs.shipped(self._run_id, self._attempt, source)

    def _ship(self, source: str, final: bool) -> None:
        reader = self._readers[source]
        while True:
            before = reader.offset
            try:
                piece = reader.read(final=final)
            except MissingDependency as error:
                self._notices.once("tensorboard", str(error))
                return
            if piece.end == piece.start:
                return
            try:
                rows = [row for row in map(self._kept, piece.rows) if row.values] if source == "stdout" else piece.rows
                if source != "stdout":
                    self._in_events.update(name for row in rows for name in row.values)
                reports = self._reports(rows)
                if reports:
                    self._store.trials.report(self._sweep, self._number, self._attempt, reports)
                batch = Batch(rows=tuple(rows))
                shipped = self._store.runs.ship(self._run_id, self._attempt, source, piece.start, piece.end, batch)
            except BaseException:
                # Read again next time; a line reader has to remember what came before, so it begins anew.
                self._readers[source] = type(reader)(reader.path, before)
                raise
            if shipped != piece.end:  # somebody else reads, too: go on from where he is
                reader = self._readers[source] = type(reader)(reader.path, shipped)

    def _kept(self, row: Row) -> Row:
        if self._in_events.isdisjoint(row.values):
            return row
        return Row(
            step=row.step, time=row.time, values={k: v for k, v in row.values.items() if k not in self._in_events}
        )

    def _reports(self, rows: Collection[Row]) -> list[Report]:
        reported: dict[int, list[float]] = {}
        for row in rows:
            for i, name in enumerate(self._metrics):
                if name in row.values:
                    values = self._known().setdefault(row.step, [float("nan")] * len(self._metrics))
                    values[i] = row.values[name]
                    reported[row.step] = values
        return [Report(step=step, values=tuple(values)) for step, values in reported.items()]

    def _known(self) -> dict[int, list[float]]:
        """What was reported so far, by step: metrics printed apart at one step make one report, also after a restart."""
        if self._by_step is None:
            self._by_step = {}
            if len(self._metrics) > 1:
                curves = self._store.runs.metrics(self._run_id, self._metrics)
                for i, name in enumerate(self._metrics):
                    if name in curves:
                        for step, value in zip(curves[name].steps, curves[name].values, strict=True):
                            self._by_step.setdefault(step, [float("nan")] * len(self._metrics))[i] = value
        return self._by_step


def _folders(root: Path) -> Iterator[Path]:
    """Yield `root` and the folders below it, hidden ones and packages left out, the nearest first, at most 2,000."""
    level = [root]
    count = 0
    while level and count < _MOST_FOLDERS:
        deeper: list[Path] = []
        for folder in level:
            yield folder
            count += 1
            try:
                with os.scandir(folder) as entries:
                    deeper += [
                        Path(e.path)
                        for e in entries
                        if e.is_dir(follow_symlinks=False) and e.name not in _SKIPPED and not e.name.startswith(".")
                    ]
            except OSError:
                continue
        level = deeper
