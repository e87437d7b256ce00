"""Brings runs that were found into a store: what is there already stays, what is new in their files is added."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, final

from whet.errors import IllegalMove, MissingDependency, NotFound, TrackError
from whet.foreign.base import Facts, ForeignRun, Stream
from whet.foreign.find import Found
from whet.foreign.keeping import FilesOf
from whet.store.base import Batch, NewRun, Run, TableQuery
from whet.trial import Phase

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["Indexed", "Result", "index"]

_FACTS = "facts"  # the source of what is no curve
_AT_ONCE = 40  # ids in a question, which may have 2,000 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """What became of one run.

    Args:
        is_new: It was not in the store.
        num_points: New values of metrics.
        num_files: Files that are kept now, and were not, or not so.
        metrics: Names of the metrics among them.
    """

    id: str
    kind: str
    path: str
    project: str
    name: str
    phase: Phase
    is_new: bool
    changed: bool
    num_points: int
    num_files: int
    metrics: tuple[str, ...]


@final
@dataclass(slots=True, kw_only=True)
class Result:
    """What became of all: runs, files with what is wrong in them, and runs that hold nothing."""

    runs: list[Indexed] = field(default_factory=list)
    troubles: list[tuple[str, str]] = field(default_factory=list)
    num_empty: int = 0


def index(
    found: Found,
    store: Store,
    *,
    project: str | None = None,
    files: bool = False,
    dry_run: bool = False,
    on_run: Callable[[int, int, str], None] = lambda number, total, name: None,
) -> Result:
    """Bring runs into the store. It may be repeated and interrupted at any time: the store knows how far each file was read.

    A run is made when its first number (or its configuration) is there. What its source says later is merged into its configuration and
    summary, and what it says of its state (which may be no more than that its files are quiet) counts instead of what it said before; a run
    that was ended by somebody else stays so. Name, tags and notes are the source's in the beginning, and the user's from then on.

    Args:
        found: What `find` has found; it is used up.
        project: Where new runs belong; default what their source says, else ``WHET_PROJECT``, else "default".
        files: Keep the files of runs as their artifacts, too.
        dry_run: Read everything, write nothing.
        on_run: Called before each run, and while a large file is read, with its number, how many there are, and where it is, in words.

    Raises:
        StoreError: as the store says.
    """
    result = Result(troubles=list(found.troubles))
    total = len(found.runs)
    runs = list(reversed(found.runs))
    found.runs.clear()
    done = _known(store, list({run.id for run in runs}))
    missing: Counter[str] = Counter()
    for number in range(total):
        run = runs.pop()
        on_run(number, total, run.name)
        try:
            entry = _Entry(
                run,
                store,
                project,
                dry_run,
                with_files=files,
                known=run.id in done,
                on_piece=lambda where, number=number: on_run(number, total, where),  # type: ignore[misc]
            )
            indexed = entry.take()
        except MissingDependency as error:
            missing[str(error)] += 1
            continue
        except (TrackError, OSError) as error:
            result.troubles.append((str(run.path), _said(error, run)))
            continue
        result.troubles += [(str(run.path), trouble) for trouble in run.troubles]
        if indexed is None:
            result.num_empty += 1
        else:
            done.add(run.id)
            result.runs.append(indexed)
    result.troubles += [(f"{count} runs", trouble) for trouble, count in missing.items()]
    result.troubles = list(dict.fromkeys(result.troubles))  # a file of many runs has but one
    return result


def _known(store: Store, ids: list[str]) -> set[str]:
    """Return which of these runs are in the store. Asked one by one, the store would look for the nearest name of each that is not."""
    found: set[str] = set()
    for i in range(0, len(ids), _AT_ONCE):
        some = ids[i : i + _AT_ONCE]
        page = store.runs.table(TableQuery(filter=f"id in {some!r}", limit=_AT_ONCE))
        found.update(row.id for row in page.rows)
    return found


def _said(error: Exception, run: ForeignRun) -> str:
    return str(error) if isinstance(error, TrackError) else f"{run.path} can't be read ({error})"


@final
class _Entry:
    """One run on its way into the store.

    Args:
        known: The store has it, or it was met before.
    """

    def __init__(
        self,
        run: ForeignRun,
        store: Store,
        project: str | None,
        dry_run: bool,
        *,
        with_files: bool,
        known: bool,
        on_piece: Callable[[str], None],
    ) -> None:
        self._run = run
        self._on_piece = on_piece
        self._store = store
        self._dry = dry_run
        self._with_files = with_files
        self._project = project or run.project or os.environ.get("WHET_PROJECT") or "default"
        self._was_there = known
        self._there: Run | None = None
        if known:
            with contextlib.suppress(NotFound):  # a dry run has met it, the store has not
                self._there = store.runs.get(run.id)
        self._points: Counter[str] = Counter()
        self._num_files = 0
        self._last_time: float | None = None

    def take(self) -> Indexed | None:
        """Bring it in; None where it holds nothing."""
        run, streams = self._run, self._run.streams()
        there = self._there
        if (known := _source(there).get("format", run.kind)) != run.kind:
            raise TrackError(
                f"run {run.id} was taken in from another place ({known}, {_source(there).get('path')})",
                f"its points would come twice; to have it from here: whet rm {run.id}, and index this alone",
            )
        if there is not None and run.is_all_in_streams and self._is_settled(there, streams):
            self._keep_files()
            return self._indexed(there.phase, changed=bool(self._num_files))
        for stream in streams:
            try:
                self._read(stream)
            except (TrackError, OSError) as error:
                run.troubles.append(_said(error, run))
        facts = run.facts()
        if self._there is None and not self._points and not facts.config and not facts.summary:
            return None
        changed = False if self._dry else self._tell(facts)
        self._keep_files()
        there = self._there
        phase = facts.phase if there is None or _is_ours(there) else there.phase
        return self._indexed(phase, changed=changed or bool(self._points) or bool(self._num_files))

    def _is_settled(self, there: Run, streams: Sequence[Stream]) -> bool:
        """Return whether it has ended, all was told, and nothing was written since: whatever goes on is reopened before it is read."""
        return (
            there.phase.is_over
            and _is_ours(there)
            and all(self._shipped(stream) == stream.path.stat().st_size for stream in streams)
        )

    def _indexed(self, phase: Phase, *, changed: bool) -> Indexed:
        run = self._run
        return Indexed(
            id=run.id,
            kind=run.kind,
            path=str(run.path),
            project=self._there.project if self._there else self._project,
            name=run.name,
            phase=phase,
            is_new=not self._was_there,
            changed=changed,
            num_points=self._points.total(),
            num_files=self._num_files,
            metrics=tuple(sorted(self._points)),
        )

    def _shipped(self, stream: Stream) -> int:
        return 0 if self._there is None else self._store.runs.shipped(self._run.id, 0, stream.source)

    def _read(self, stream: Stream) -> None:
        shipped = self._shipped(stream)
        is_shorter = shipped > stream.path.stat().st_size  # asked before it is read: it may grow from now on
        reader = stream.open(shipped)
        while True:
            piece = reader.read(final=stream.whole)
            if is_shorter or piece.end < piece.start:
                raise TrackError(
                    f"{stream.path} is shorter than it was when it was read last",
                    f"if it was written anew, remove what is known of it (whet rm {self._run.id}) and index it again",
                )
            if piece.end == piece.start:
                break
            self._on_piece(f"{self._run.name}: {reader.share:.0%} of {stream.path.name}")
            rows = [row if 0 <= row.time < 1e11 else replace(row, time=0.0) for row in piece.rows]
            for row in rows:
                self._points.update(row.values.keys())
            if rows:
                self._last_time = max([self._last_time or 0.0, *(row.time for row in rows)])
            if self._dry or not (rows or self._there):
                continue  # pictures and graphs alone make no run
            self._reopen(self._ensure(min((row.time for row in rows), default=None)))
            told = self._store.runs.ship(self._run.id, 0, stream.source, shipped, piece.end, Batch(rows=rows))
            if told != piece.end:  # somebody else reads, too: go on from where he is
                reader = stream.open(told)
            shipped = told
        if reader.num_damaged:
            what = f"{reader.damage} is damaged" + (f", and {reader.num_damaged - 1} more" if reader.num_damaged > 1 else "")  # fmt: skip
            self._run.troubles.append(f"{stream.path}: {what}; all else is taken")

    def _keep_files(self) -> None:
        """Keep the run's files, unless all were kept as they are, and are there."""
        if not self._with_files:
            return
        there = None
        with contextlib.suppress(NotFound):  # of a dry run
            there = self._store.runs.get(self._run.id) if self._there is not None else None
        files = FilesOf(self._run, on_piece=self._on_piece)
        is_marked = files.mark == str(_source(there).get("files", ""))
        if is_marked and (there is None or files.stand(self._store, there.id)):
            return
        news = files.news([] if there is None else self._store.runs.artifacts(there.id))
        self._num_files = len(news)
        if self._dry or there is None:
            return
        files.keep(self._store, there.id, news)
        if files.is_whole:
            source = _source(there) | {"files": files.mark}
            self._store.runs.ship(there.id, 0, _FACTS, 0, 0, Batch(meta={"source": source}))

    def _ensure(self, first_time: float | None) -> Run:
        """Return the run in the store, made if need be."""
        if self._there is not None:
            return self._there
        facts, run = self._run.facts(), self._run
        self._there = self._store.runs.create(
            NewRun(
                id=run.id,
                project=self._project,
                name=run.name,
                owner=facts.owner,
                config=facts.config,
                group=facts.group,
                tags=facts.tags,
                notes=facts.notes,
                folder=facts.folder,
                parent=facts.parent,
                started=facts.started or first_time or facts.quiet,
            )
        )
        return self._there

    def _reopen(self, there: Run) -> None:
        if there.phase.is_over and _is_ours(there):
            self._store.runs.reopen(there.id)
            self._there = replace(there, phase=Phase.RUNNING)

    def _tell(self, facts: Facts) -> bool:
        """Bring what is no curve up to date, and the run's state, too; return whether anything changed.

        Interrupted anywhere, it leaves the run running, or ended by a word that is known to be its source's.
        """
        there = self._ensure(None)
        source = _source(there) | {"format": self._run.kind, "path": str(self._run.path), "state": facts.phase.value}
        meta = {"source": source, **facts.meta}
        if there.phase is not facts.phase:
            self._reopen(there)
        news = [
            _news(*pair) for pair in ((facts.config, there.config), (facts.summary, there.summary), (meta, there.meta))
        ]
        changed = any(news)
        if changed:
            config, summary, kept = news
            self._store.runs.ship(
                self._run.id, 0, _FACTS, 0, 0, Batch(config=config, summary=summary, meta=kept)
            )  # bytes [0, 0) of a source that has none: it is taken in each time
        now = self._ensure(None)
        if facts.phase.is_over and not now.phase.is_over:
            known = [time for time in (self._last_time or facts.quiet, there.ended) if time is not None]
            ended = facts.ended or max(known, default=None)
            if ended is not None and there.started is not None:
                ended = max(ended, there.started)
            with contextlib.suppress(IllegalMove):  # somebody has ended it otherwise in between: that stays
                self._store.runs.finish(self._run.id, facts.phase, facts.reason, ended=ended)
            changed = True
        return changed or now.phase is not there.phase


def _is_ours(run: Run) -> bool:
    """Return whether a run's state is its source's last word, or none yet; not that of somebody who ended it here."""
    return not run.phase.is_over or _source(run).get("state") == run.phase.value


def _source(run: Run | None) -> dict[str, object]:
    source = None if run is None else run.meta.get("source")
    return dict(source) if isinstance(source, Mapping) else {}


def _news(told: Mapping[str, object], kept: Mapping[str, object]) -> dict[str, object]:
    """Return what differs from what is kept; NaN is the same as NaN."""
    return {name: value for name, value in told.items() if name not in kept or repr(kept[name]) != repr(value)}
