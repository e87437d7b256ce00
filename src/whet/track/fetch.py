"""A file that a run keeps, brought to this machine."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from whet.blobs.base import digest_of
from whet.blobs.folder import pieces_of
from whet.blobs.names import safe_name
from whet.errors import Conflict, Damaged, NotFound, StoreUnavailable
from whet.store.base import Artifact, Store
from whet.store.files import own_file

__all__ = ["fetch", "pieces", "restore"]


def pieces(store: Store, run: str, artifact: Artifact) -> Iterator[bytes]:
    """Return a file's content, from the store or from the run's folder on this machine. An answer that breaks off is gone on with.

    Raises:
        NotFound: it is in neither.
    """
    try:
        return _steady(store, run, artifact.name, store.files.read(run, artifact.name).pieces)
    except NotFound:
        from whet.store.open import whet_dir

        folder = whet_dir() / "runs" / run
        file = own_file(folder, artifact)
        if file is None or digest_of(folder / "files" / artifact.name) != artifact.sha256:
            raise
        return pieces_of(file)


def _steady(store: Store, run: str, name: str, found: Iterator[bytes]) -> Iterator[bytes]:
    at = 0
    while True:
        before = at
        try:
            for piece in found:
                at += len(piece)
                yield piece
            return
        except StoreUnavailable:
            if at == before:  # nothing came this time
                raise
            found = store.files.read(run, name, at).pieces


def fetch(
    store: Store,
    run: str,
    artifact: Artifact,
    target: Path,
    *,
    replace: bool = False,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> bool:
    """Bring a file to `target`, whole or not at all; False: it was there already, with the same content.

    Args:
        run: The run's id.
        replace: Another file at `target` is replaced.
        on_bytes: Told of each piece.

    Raises:
        Conflict: there is another file at `target`.
        Damaged: what came is something else.
        NotFound: the content is neither in the store nor here.
        StoreUnavailable: it can't be reached, or `target` can't be written.
    """
    try:
        if target.is_file() and target.stat().st_size == artifact.size and digest_of(target) == artifact.sha256:
            return False
        if target.exists() and (not replace or target.is_dir()):
            raise Conflict(f"{target} is there already, with other content", "name another place, or replace it")
        found = pieces(store, run, artifact)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{secrets.token_hex(8)}.part")
        digest = hashlib.sha256()
        try:
            with draft.open("xb") as file:
                for piece in found:
                    digest.update(piece)
                    file.write(piece)
                    on_bytes(len(piece))
            if digest.hexdigest() != artifact.sha256:
                raise Damaged(
                    f"what came as {artifact.name!r} has another SHA-256 than the run says", "try again; whet db check"
                )
            os.replace(draft, target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"can't write {target} ({error.strerror or error})", "free space there, or name another place"
        ) from error
    return True


def restore(
    name: str, run_path: str | None = None, replace: bool = False, root: str | os.PathLike[str] | None = None
) -> BinaryIO:
    """Bring a file that a run keeps to this machine, and return it open for reading (its path is `.name`), as W&B's function does.

    Args:
        name: As `whet artifacts ls` shows it.
        run_path: The run's id or name; W&B's ``entity/project/run`` is taken by its last part. Default: the current run.
        replace: Replace another file of that name that is there.
        root: Where to; default: the current folder.

    Raises:
        NotFound: there is no such run or file, or its content can't be reached from here.
        Conflict: there is another file, and not `replace`.

    Example::

        model.load_state_dict(torch.load(whet.restore("model.pt", run_path="6re3erk5yb")))
    """
    from whet.errors import TrackError
    from whet.store.open import whet_dir
    from whet.track.opening import current
    from whet.track.shipper import shared_store

    run = current()
    if run_path is None and run is None:
        raise TrackError("whet.restore needs a run, and there is none", "say which: whet.restore(name, run_path=ID)")
    if run is not None:
        with suppress(StoreUnavailable):
            run.sync()
    store = shared_store(os.environ.get("WHET_STORE"), whet_dir().absolute())
    wanted = run_path.rstrip("/").rpartition("/")[2] if run_path is not None else run.id if run is not None else ""
    id = store.runs.find(wanted).id
    artifact = next((a for a in store.runs.artifacts(id) if a.name == name), None)
    if artifact is None:
        raise NotFound(f"run {id} keeps no file {name!r}", f"whet artifacts ls {id}")
    target = Path(root or ".") / safe_name(name)
    fetch(store, id, artifact, target, replace=replace)
    return target.open("rb")
