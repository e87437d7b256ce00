"""Contents that no run keeps any more: found and dropped. And the reverse: what runs keep, and is not there or not whole."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sqlalchemy import select

from whet.blobs.base import Blob, Blobs, is_digest, room_of
from whet.errors import NotFound, StoreError
from whet.store.base import Artifact, Run, RunQuery
from whet.store.check import Finding
from whet.store.database import Database, Statement
from whet.store.files import LocalFiles
from whet.store.schema import artifacts, runs
from whet.store.sql import SqlStore

__all__ = ["Collected", "check_files", "collect"]

_BATCH = 500
_KEPT = Statement(
    select(runs.c.project, artifacts.c.sha256).join_from(artifacts, runs, artifacts.c.run == runs.c.id).distinct()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection dropped (or would drop): contents, their bytes, uploads that were given up; and how many contents stay."""

    place: str
    num_dropped: int
    bytes_dropped: int
    uploads_dropped: int
    num_kept: int


def collect(
    store: SqlStore,
    *,
    grace_s: float,
    now: float,
    dry_run: bool = False,
    on_step: Callable[[str], None] = lambda what: None,
) -> Collected:
    """Drop the contents that no run keeps, if they are older than `grace_s`, and uploads to which nothing came for so long.

    Others may upload meanwhile: who sends a file has shipped its record before he asks whether the content is there, and he asks when
    nothing is being dropped. So he is seen here, or sees that it is gone. Where contents lie behind a URL nobody can be held off; there
    the age alone protects.
    """
    files = store.files
    assert isinstance(files, LocalFiles)
    blobs, before = files.blobs, now - grace_s
    on_step("what runs keep")
    kept = _kept(store.database)
    old: list[Blob] = []
    num_kept = 0
    on_step("what is there")
    for blob in blobs.all():
        if blob.since < before and (blob.room, blob.sha256) not in kept:
            old.append(blob)
        else:
            num_kept += 1
    dropped: list[Blob] = []
    for begin in range(0, len(old), _BATCH):
        on_step(f"{begin} of {len(old)} looked at")
        dropped += _drop(store.database, blobs, old[begin : begin + _BATCH], before, dry_run)
    return Collected(
        place=blobs.url,
        num_dropped=len(dropped),
        bytes_dropped=sum(blob.size for blob in dropped),
        uploads_dropped=0 if dry_run else files.drafts.drop_before(before),
        num_kept=num_kept + len(old) - len(dropped),
    )


def _drop(database: Database, blobs: Blobs, old: list[Blob], before: float, dry_run: bool) -> list[Blob]:
    dropped = []
    with blobs.gate():
        kept = _kept(database)  # again: a run may have come to keep it since
        for blob in old:
            now = blobs.find(blob.room, blob.sha256)
            if now is None or now.since >= before or (blob.room, blob.sha256) in kept:
                continue
            if not dry_run:
                blobs.drop(blob)
            dropped.append(blob)
    return dropped


def _kept(database: Database) -> set[tuple[str, str]]:
    rooms: dict[str, str] = {}
    found = set()
    for project, digest in database.once(_KEPT):
        room = rooms.get(project)
        if room is None:
            room = rooms[project] = room_of(project)
        found.add((room, digest))
    return found


def check_files(store: SqlStore, *, on_step: Callable[[str], None] = lambda what: None) -> tuple[list[Finding], int]:
    """Read the contents of all files that runs keep. Return what is wrong, and how many files are on the machines that wrote them alone."""
    files = store.files
    assert isinstance(files, LocalFiles)
    found: list[Finding] = []
    elsewhere = 0
    for project in store.runs.projects():
        for run in store.runs.select(RunQuery(project=project, newest_first=False)):
            on_step(f"the files of run {run.id}")
            try:
                for artifact in store.runs.artifacts(run.id):
                    problem = _problem(files, run, artifact)
                    elsewhere += problem is None
                    if problem:
                        said = f"run {run.id} ({run.name!r}) keeps {artifact.name!r}, {problem}"
                        found.append(Finding(rule="files", problem=said, run=run.id))
            except NotFound:  # it was deleted meanwhile
                continue
    return found, elsewhere


def _problem(files: LocalFiles, run: Run, artifact: Artifact) -> str | None:
    """Return what is wrong with a file's content; empty: nothing; None: it is not here, and need not be."""
    room = room_of(run.project)
    for blobs in files.places if is_digest(artifact.sha256) else ():
        if blobs.find(room, artifact.sha256) is None:
            continue
        digest = sha256()
        for piece in blobs.read(room, artifact.sha256):
            digest.update(piece)
        return "" if digest.hexdigest() == artifact.sha256 else f"whose content in {blobs.url} is damaged"
    try:
        _spent(files.read(run.id, artifact.name, 0, 0).pieces)
        return ""
    except NotFound:
        if run.owner.partition("|")[0] != socket.gethostname():
            return None
    path = Path(artifact.path)
    try:
        if path.is_file() and path.stat().st_size == artifact.size:
            return ""
        return f"which is not the same any more ({path})" if path.is_file() else f"which is gone ({path})"
    except (OSError, ValueError) as error:
        raise StoreError(f"can't look at {path} ({error})", "correct its permissions") from error


def _spent(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass
