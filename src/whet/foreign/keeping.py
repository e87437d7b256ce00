"""The files of runs that others wrote, kept as artifacts: under their SHA-256, so that what is there adds nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from whet.blobs.names import safe_name
from whet.errors import NotFound, TooLarge, TrackError
from whet.foreign.base import ForeignRun
from whet.foreign.reading import opened
from whet.store import codec
from whet.store.base import Artifact, Batch
from whet.track.uploads import send_content

if TYPE_CHECKING:
    from whet.store.base import Store

__all__ = ["FilesOf"]

_FACTS = "facts"  # the source of what is no curve
_MOST_FILES = 20_000
_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    path: Path
    size: int
    written_ns: int


@final
class FilesOf:
    """The files of one run on their way into the store.

    What they are called, how large they are and when they were written is remembered with the run (``meta.source.files``) once all are kept: as long
    as that is the same and their contents are there, nothing is read.

    Args:
        run: Whose; what can't be kept is told of in its `troubles`.
        on_piece: Told in words how far it is.
    """

    def __init__(self, run: ForeignRun, *, on_piece: Callable[[str], None]) -> None:
        self._run = run
        self._on_piece = on_piece
        self._num_troubles = len(run.troubles)
        self._is_outrun = False
        self._seen = self._look()
        told = repr([(name, one.size, one.written_ns) for name, one in sorted(self._seen.items())])
        self.mark = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16] if self._seen else ""
        """What the remembered is compared with; "" where there are none."""

    @property
    def is_whole(self) -> bool:
        """Whether there was no trouble with any of them, and none was passed over."""
        return not self._is_outrun and len(self._run.troubles) == self._num_troubles

    def stand(self, store: Store, id: str) -> bool:
        """Return whether the store has the content of all that the run keeps under their names: it may have lost some. Nothing is read."""
        return not self._seen or all(one.here for one in store.files.standing(id) if one.artifact.name in self._seen)

    def news(self, kept: Iterable[Artifact]) -> list[Artifact]:
        """Read all, and return those that are not kept as they are now."""
        there = {one.name: (one.size, one.sha256) for one in kept}
        found = []
        for number, (name, one) in enumerate(self._seen.items()):
            self._on_piece(f"{self._run.name}: file {number + 1} of {len(self._seen)}, {name}")
            try:
                with opened(one.path) as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    size = file.tell()
            except (TrackError, OSError) as error:
                self._run.troubles.append(f"{one.path} is not kept: {error}")
                continue
            if there.get(name) != (size, digest):
                found.append(Artifact(name=name, kind="file", path=str(one.path), size=size, sha256=digest))
        return found

    def keep(self, store: Store, id: str, news: list[Artifact]) -> None:
        """Say in the store that the run keeps these, and bring it the content of all that it has not got.

        Raises:
            StoreUnavailable: try again later: it goes on where it stopped.
        """
        for i in range(0, len(news), _AT_ONCE):
            store.runs.ship(id, 0, _FACTS, 0, 0, Batch(artifacts=news[i : i + _AT_ONCE]))
        sent: set[str] = set()  # several names may have one content
        for one in store.files.standing(id):
            name, digest = one.artifact.name, one.artifact.sha256
            if one.here or name not in self._seen or digest in sent:
                continue
            path = self._seen[name].path
            self._on_piece(f"{self._run.name}: bringing {name}")
            try:
                with opened(path) as file:
                    done = send_content(store.files, id, one, path, file)
            except NotFound:  # somebody else has just kept another one of that name: the next look says what is there
                self._is_outrun = True
                continue
            except (TooLarge, TrackError, OSError) as error:
                self._run.troubles.append(f"the content of {path} is not kept: {error}")
                continue
            if isinstance(done, str):
                self._run.troubles.append(f"the content of {path} is not kept: {done}")
            sent.add(digest)

    def _look(self) -> Mapping[str, _Seen]:
        found: dict[str, _Seen] = {}
        for name, path in self._run.files():
            if len(found) == _MOST_FILES:
                self._run.troubles.append(
                    f"{self._run.path} has more than {_MOST_FILES} files: the others are not kept"
                )
                break
            try:
                facts, name = path.lstat(), codec.text(safe_name(name))
                if name in found:
                    raise TrackError(f"another file is called {name!r}, too", "rename one")
            except (TrackError, OSError) as error:
                self._run.troubles.append(f"{path} is not kept: {error}")
                continue
            found[name] = _Seen(path=path, size=facts.st_size, written_ns=facts.st_mtime_ns)
        return found
