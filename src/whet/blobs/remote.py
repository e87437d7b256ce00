"""Contents at any place that fsspec knows: S3 and its kin."""

from __future__ import annotations

import contextlib
import math
import re
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, final

from whet.blobs.base import Blob, Blobs
from whet.errors import MissingDependency, NotFound, StoreUnavailable, WhetError

__all__ = ["Remote"]

_WHOLE_AT_ONCE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "ocilake"})
"""Where an object appears when all of it is there; elsewhere a file grows, and is renamed."""

_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
"""What places call the time of an object's last change, or of its making."""

_PIECE_BYTES = 8 << 20
_OURS = re.compile(r"(?:^|/)([0-9a-f]{32})/([0-9a-f]{2})/([0-9a-f]{62})$")


@final
class Remote(Blobs):
    """The place that a URL of fsspec names, such as ``s3://bucket/folder``.

    Raises:
        MissingDependency: fsspec, or its package for such URLs, is not installed.
        StoreUnavailable: it can't be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec.core
        except ImportError as error:
            raise MissingDependency.of("fsspec", "s3", f"files at {url}") from error
        self.url = url
        try:
            # What others put there is to be seen: no list is kept.
            self._fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise MissingDependency.of(error.name or "s3fs", "s3", f"files at {url}") from error
        except Exception as error:
            raise StoreUnavailable(f"can't open {url} ({error})", "correct WHET_BLOBS") from error
        self._root = str(root).rstrip("/")
        protocols = self._fs.protocol
        self._whole = not _WHOLE_AT_ONCE.isdisjoint([protocols] if isinstance(protocols, str) else protocols)

    def _take(self, room: str, sha256: str, file: Path) -> None:
        target = self._path(room, sha256)
        draft = target if self._whole else f"{target}.{secrets.token_hex(8)}.part"
        with self._said(f"keep {sha256}"):
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            try:
                self._fs.put_file(str(file), draft)
                if draft != target:
                    self._fs.mv(draft, target)
            except BaseException:
                if draft != target:
                    with contextlib.suppress(Exception):
                        self._fs.rm_file(draft)
                raise
        file.unlink(missing_ok=True)

    def find(self, room: str, sha256: str) -> Blob | None:
        with self._said(f"look for {sha256}"):
            try:
                found = self._fs.info(self._path(room, sha256))
            except FileNotFoundError:
                return None
            return _blob(room, sha256, found) if found.get("type") == "file" else None

    def read(self, room: str, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        if (found := self.find(room, sha256)) is None:
            raise NotFound(f"there is no content {sha256}", "bring it again: whet sync")
        return self._pieces(self._path(room, sha256), start, found.size if end is None else min(end, found.size))

    def all(self, room: str | None = None) -> Iterator[Blob]:
        with self._said("list it"):
            try:
                found = self._fs.find(self._root if room is None else f"{self._root}/{room}", detail=True)
            except FileNotFoundError:
                return
        for path, info in sorted(found.items()):
            if (parts := _OURS.search(path)) is not None:
                yield _blob(parts[1], parts[2] + parts[3], info)

    def drop(self, blob: Blob) -> None:
        with self._said(f"drop {blob.sha256}"), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(blob.room, blob.sha256))

    def _path(self, room: str, sha256: str) -> str:
        return f"{self._root}/{room}/{sha256[:2]}/{sha256[2:]}"

    def _pieces(self, path: str, start: int, end: int) -> Iterator[bytes]:
        while start < end:  # each piece is a question of its own: files that are open may share their place
            with self._said(f"read {path}"):
                piece: bytes = self._fs.cat_file(path, start=start, end=min(end, start + _PIECE_BYTES))
            if not piece:
                return
            yield piece
            start += len(piece)

    @contextlib.contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except WhetError:
            raise
        except Exception as error:  # each place has errors of its own
            raise StoreUnavailable(
                f"can't {what} at {self.url} ({type(error).__name__}: {error})",
                "see that it can be reached and written",
            ) from error


def _blob(room: str, sha256: str, info: dict[str, Any]) -> Blob:
    return Blob(room=room, sha256=sha256, size=int(info["size"]), since=_since(info))


def _since(info: dict[str, Any]) -> float:
    when = next((info[key] for key in _TIMES if info.get(key)), None)
    with contextlib.suppress(ValueError, TypeError):
        if isinstance(when, str):
            when = datetime.fromisoformat(when)
        if when is not None:
            return when.timestamp() if isinstance(when, datetime) else float(when)
    return math.inf
