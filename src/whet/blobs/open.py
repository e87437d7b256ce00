"""Where contents are kept."""

from __future__ import annotations

from pathlib import Path

from whet.blobs.base import Blobs
from whet.blobs.folder import Folder

__all__ = ["open_blobs"]


def open_blobs(place: str | Path) -> Blobs:
    """Return the contents at a path, ``file://…``, or a URL that fsspec knows, such as ``s3://bucket/folder``.

    Raises:
        MissingDependency, StoreUnavailable: as `whet.blobs.remote.Remote`.
    """
    text = str(place)
    if "://" not in text:
        return Folder(Path(text).expanduser())
    if text.startswith("file://"):
        return Folder(Path(text.removeprefix("file://")))
    from whet.blobs.remote import Remote

    return Remote(text)
