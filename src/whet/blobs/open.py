"""Where contents are kept."""

from __future__ import annotations

from pathlib import Path

from whet.blobs.base import Blobs
from whet.blobs.folder import Folder

__all__ = ["folder_at", "open_blobs"]


def folder_at(place: str | Path) -> Folder | None:
    """Return the contents at a path or ``file://…``; None: the place is none of this machine's."""
    text = str(place)
    if text.startswith("file://"):
        return Folder(Path(text.removeprefix("file://")))
    return None if "://" in text else Folder(Path(text).expanduser())


def open_blobs(place: str | Path) -> Blobs:
    """Return the contents at a path, ``file://…``, or a URL that fsspec knows, such as ``s3://bucket/folder``.

    Raises:
        MissingDependency, StoreUnavailable: as `whet.blobs.remote.Remote`.
    """
    if (folder := folder_at(place)) is not None:
        return folder
    from whet.blobs.remote import Remote

    return Remote(str(place))
