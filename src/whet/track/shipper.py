"""From the spool to the store, in a thread of its own: the training never waits for the store.

A piece of the spool becomes one `Batch` covering its bytes; the store keeps the offset that it has, so shipping again changes
nothing, and anybody may go on where the process was killed (`ship_all`).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from whet.errors import Conflict, IllegalMove, NotFound, WhetError
from whet.store.base import Artifact, Batch, NewRun, Row
from whet.track.notices import Notices
from whet.track.spool import Kind, Piece, SpoolReader
from whet.track.uploads import Uploader
from whet.trial import Phase, Report

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["Delivery", "Shipped", "Shipper", "shared_store", "ship_all"]

_PIECE_BYTES = 256 << 10
_SOURCE = "spool"
_FORK_S = 5.0
_SILENT_S = 3.0  # the end of a run says nothing about its files before

_opening = threading.RLock()
"""Held while a store is opened: a child forked meanwhile would wait for ever for the modules that the thread was just importing."""


def _after_fork(*, in_child: bool) -> None:
    global _opening
    if in_child:
        _opening = threading.RLock()
    else:
        with contextlib.suppress(RuntimeError):  # not ours: opening took too long to be waited for
            _opening.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _opening.acquire(timeout=_FORK_S),
        after_in_parent=lambda: _after_fork(in_child=False),
        after_in_child=lambda: _after_fork(in_child=True),
    )


@final
class Delivery:
    """One spool on its way to one store, piece by piece.

    Raises:
        Conflict: the run was handed out again: this attempt's story is no longer wanted.
        NotFound: its sweep was deleted, or its header can't be read and the store has no such run.
        StoreUnavailable: try again later.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self.damaged = 0
        self.num_records = 0
        self.num_files = 0
        self.finished = False
        self._store = store
        self._reader = SpoolReader(path)
        self.header: dict[str, Any] = {}
        first = self._reader.read(64 << 10)
        for record in first.records:
            if record[0] == Kind.HEADER.value:
                self.header = record[1]
                break
        self.id = str(self.header.get("id", path.parent.name))
        self.attempt = int(self.header.get("attempt", path.name.rpartition("-")[2]))
        if self.header and self.header["sweep"] is None:
            self._create()
        self._reader.offset = store.runs.shipped(self.id, self.attempt, _SOURCE)

    @property
    def offset(self) -> int:
        """How far it is shipped, in bytes."""
        return self._reader.offset

    def step(self) -> bool:
        """Ship the next piece; False when there is nothing new."""
        piece = self._reader.read(_PIECE_BYTES)
        if piece.end == piece.start:
            return False
        try:
            self._ship(piece)
        except BaseException:
            self._reader.offset = piece.start
            raise
        return True

    def _create(self) -> None:
        h = self.header
        self._store.runs.create(
            NewRun(
                id=self.id,
                project=h["project"],
                name=h["name"],
                owner=h["owner"],
                config=h["config"],
                group=h["group"],
                tags=tuple(h["tags"]),
                notes=h["notes"],
                folder=h["folder"],
            )
        )

    def _ship(self, piece: Piece) -> None:
        start = piece.start
        pending: list[list[Any]] = []
        before = piece.start
        for record, end in zip(piece.records, piece.ends, strict=True):
            if record[0] != Kind.FINISH.value:
                pending.append(record)
                before = end
                continue
            # The end is a batch of its own, shipped after it was told: killed in between, it is told again.
            if not self._part(pending, start, before):
                return
            pending, start = [], before
            self._finish(record)
            if not self._part([], start, end):
                return
            start = before = end
        self._part(pending, start, piece.end)
        self.damaged += piece.damaged

    def _part(self, records: list[list[Any]], start: int, end: int) -> bool:
        if start == end:
            return True
        reports, batch, edits = _unpack(records)
        if reports and self.header.get("sweep"):
            # A conflict: it was told meanwhile and takes no more reports, or handed out again, which `ship` finds out.
            with contextlib.suppress(Conflict):
                self._store.trials.report(self.header["sweep"], self.header["number"], self.attempt, reports)
        for edit in edits:
            self._store.runs.edit(self.id, **edit)
        shipped = self._store.runs.ship(self.id, self.attempt, _SOURCE, start, end, batch)
        self.num_records += len(records)
        self.num_files += len(batch.artifacts)
        self._reader.offset = shipped
        return shipped == end  # otherwise somebody else ships too: go on from where he is

    def _finish(self, record: list[Any]) -> None:
        self.finished = True
        if self.header.get("sweep") is None:
            phase, reason = record[1]
            # A run that was gone on with may have ended before, otherwise: that stays.
            with contextlib.suppress(IllegalMove):
                self._store.runs.finish(self.id, Phase(phase), reason)


def _unpack(records: list[list[Any]]) -> tuple[list[Report], Batch, list[dict[str, Any]]]:
    rows: list[Row] = []
    reports: list[Report] = []
    merged: dict[str, dict[str, Any]] = {k.value: {} for k in (Kind.CONFIG, Kind.SUMMARY, Kind.META)}
    artifacts: list[Artifact] = []
    edits: list[dict[str, Any]] = []
    for record in records:
        kind = record[0]
        if kind == Kind.ROW.value:
            _, step, when, values, *report = record
            rows.append(Row(step=step, time=when, values={k: float(v) for k, v in values.items()}))
            if report:
                reports.append(Report(step=report[0], values=tuple(float(v) for v in report[1])))
        elif kind in merged:
            merged[kind] |= record[1]
        elif kind == Kind.ARTIFACT.value:
            artifacts.append(Artifact(**record[1]))
        elif kind == Kind.EDIT.value:
            edits.append(record[1])
        elif kind == Kind.HEADER.value and record[1]["sweep"] is not None:
            # A sweep's run is there already; what its code says about it comes with the first batch.
            merged[Kind.CONFIG.value] |= record[1]["config"]
            merged[Kind.META.value] |= {"folder": record[1]["folder"]}
            said = {k: record[1][k] for k in ("group", "tags", "notes") if record[1][k]}
            if record[1]["named"]:
                said["name"] = record[1]["name"]
            if said:
                edits.append(said)
    config, summary, meta = merged.values()
    return reports, Batch(rows=rows, config=config, summary=summary, meta=meta, artifacts=artifacts), edits


@final
class Shipper:
    """The thread that ships one run's spool while it grows.

    When the store is not there it says so once, and tries again, ever more rarely (0.5 s … 30 s).

    Args:
        path: The spool.
        open_store: Called in the thread (opening may import a database driver).
        gather_s: How long it waits after a wake-up, so that a batch gathers.
    """

    def __init__(self, path: Path, open_store: Callable[[], Store], notices: Notices, *, gather_s: float = 1.0) -> None:
        self._path = path
        self._open_store = open_store
        self._notices = notices
        self._gather_s = gather_s
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._over = False
        self._changed = threading.Condition()
        self._offset = 0
        self._pause_s = 0.0
        self._delivery: Delivery | None = None
        self._uploader: Uploader | None = None
        self._thread = threading.Thread(target=self._work, name="whet-shipper", daemon=True)
        self._thread.start()

    def wake(self, *, now: bool = False) -> None:
        """Say that the spool has grown; `now`: don't wait until more gathers."""
        if now:
            self._hurry.set()
        self._wake.set()

    def sync(self, timeout_s: float) -> bool:
        """Return once all that is in the spool now is in the store, files too; False after `timeout_s` or when that can't be."""
        end = time.monotonic() + timeout_s
        target = self._path.stat().st_size
        self._hurry.set()
        self._wake.set()
        with self._changed:
            self._changed.wait_for(lambda: self._offset >= target or self._over, timeout_s)
            if self._offset < target:
                return False
        return self._uploader is None or self._uploader.sync(max(0.0, end - time.monotonic()))

    def close(self, timeout_s: float) -> bool:
        """Ship what is left and end; False when nothing was possible for `timeout_s`. Files take as long as they take."""
        complete = self.sync(min(timeout_s, _SILENT_S))
        sent = -1
        while not complete and self._num_sent() > sent:
            sent = self._num_sent()
            if self._uploader is not None and not self._uploader.sync(0.0):
                self._notices.once(
                    "uploading", "the run's files are being sent to the store; Ctrl-C leaves the rest to: whet sync"
                )
            complete = self.sync(timeout_s)
        if self._uploader is not None:
            self._uploader.close()
        self._closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join(1.0)
        return complete

    def _num_sent(self) -> int:
        return self._uploader.num_bytes if self._uploader is not None else 0

    def _work(self) -> None:
        try:
            while not self._closing:
                self._wake.wait()
                self._hurry.wait(self._pause_s or self._gather_s)
                self._hurry.clear()
                self._wake.clear()
                if not self._closing and not self._try():
                    return
        finally:
            with self._changed:
                self._over = True  # the thread itself still lives when those who wait look again
                self._changed.notify_all()

    def _try(self) -> bool:
        """Ship what is there; False when there is no use in going on."""
        try:
            if self._delivery is None:
                if SpoolReader(self._path).read(1).end == 0:
                    return True  # the first line, which says what run it is, is still on its way
                with _opening:
                    store = self._open_store()
                    files = store.files
                delivery = Delivery(self._path, store)
                if files.collects:
                    self._uploader = Uploader(files, delivery.id, self._path.parent, self._notices)
                    if delivery.offset:  # somebody began: not all that he kept may have been sent
                        self._uploader.wake()
                self._delivery = delivery
            while self._step(self._delivery):
                self._note(self._delivery.offset)
            self._note(self._delivery.offset)
            self._pause_s = 0.0
        except (Conflict, NotFound) as error:
            self._notices.once(
                "ship-stop", f"this run is no longer sent to the store ({error}); its file stays: {self._path}"
            )
            return False
        except Exception as error:
            why = str(error) if isinstance(error, WhetError) else repr(error)
            self._notices.once(
                "ship-retry",
                f"the store can't be reached ({why}); training goes on, everything is kept in {self._path} and sent later",
            )
            self._pause_s = min(30.0, max(0.5, 2 * self._pause_s))
            self._wake.set()
        if self._delivery is not None and self._delivery.damaged:
            self._notices.once("ship-damaged", _damage(self._path, self._delivery.damaged))
        return True

    def _step(self, delivery: Delivery) -> bool:
        """Ship the next piece, as `Delivery.step` does; the files that it tells of are sent by a thread of their own."""
        before = delivery.num_files
        try:
            return delivery.step()
        finally:
            if self._uploader is not None and delivery.num_files > before:
                self._uploader.wake()

    def _note(self, offset: int) -> None:
        with self._changed:
            self._offset = offset
            self._changed.notify_all()


def _damage(path: Path, count: int) -> str:
    return f"{count} damaged lines in {path} were skipped: what they held is lost, all else is kept"


@cache
def shared_store(url: str | None, dir: Path) -> Store:
    """Return the store at `url` (None: ``whet.db`` in `dir`), opened once a process."""
    from whet.store.open import open_store

    return open_store(url or f"sqlite:///{dir / 'whet.db'}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """What `ship_all` did: the run, records shipped, damaged lines skipped, attempts that are no longer wanted, and whether the run told its end."""

    run: str = ""
    records: int = 0
    damaged: int = 0
    superseded: tuple[int, ...] = ()
    finished: bool = False


def ship_all(folder: Path, store: Store) -> Shipped:
    """Bring what is left in a run's folder to the store; its files are sent by `whet.track.uploads.send_files`.

    Idempotent, and harmless beside a live shipper. A run outside any sweep whose process is gone without an end is ended as failed.

    Args:
        folder: ``<whet dir>/runs/<run id>``.
        store: Where to.

    Raises:
        StoreUnavailable, NotFound: as the store says.
    """
    from whet.store.owner import alive

    records = damaged = 0
    superseded: list[int] = []
    finished = False
    id = folder.name
    paths = [p for p in folder.glob("spool-*") if p.name.rpartition("-")[2].isdigit()]
    for path in sorted(paths, key=lambda p: int(p.name.rpartition("-")[2])):
        try:
            delivery = Delivery(path, store)
            while delivery.step():
                pass
        except Conflict:
            superseded.append(int(path.name.rpartition("-")[2]))
            continue
        records += delivery.num_records
        damaged += delivery.damaged
        finished = delivery.finished
        header, id = delivery.header, delivery.id
        plain = bool(header) and header["sweep"] is None
        if plain and alive(header["owner"]) is False and store.runs.get(delivery.id).phase is Phase.RUNNING:
            store.runs.finish(delivery.id, Phase.FAILED, "its process ended without a word (killed?)")
    return Shipped(run=id, records=records, damaged=damaged, superseded=tuple(superseded), finished=finished)
