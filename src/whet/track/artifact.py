"""Files that a run keeps: copied into its folder, with their SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

from whet.errors import StoreUnavailable, TrackError
from whet.store.base import Artifact as Kept

__all__ = ["Artifact", "keep", "safe_name"]

_DEVICES = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def safe_name(name: str) -> str:
    """Return `name` as a relative path that can't leave a folder: no root, no drive, no ``..``, no control characters.

    Raises:
        TrackError: nothing of it is left.
    """
    parts = [re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "_", p).strip(" ") for p in re.split(r"[/\\]", name)]
    parts = [f"_{p}" if _DEVICES.match(p) else p for p in parts if p not in ("", ".", "..")]
    if not parts:
        raise TrackError(f"{name!r} names no file", "give the file a name, such as 'model.pt'")
    return "/".join(p[:200] for p in parts)


def keep(source: Path, files: Path, name: str, kind: str) -> Kept:
    """Copy `source` to `files`/`name` and return what the store shall know of it. A file of that name is replaced whole.

    Raises:
        TrackError: there is no such file.
        StoreUnavailable: it can't be copied.
    """
    name = safe_name(name)
    target = files / name
    if not source.is_file():
        raise TrackError(f"there is no file {str(source)!r} to keep", "save it first, or correct the path")
    digest = hashlib.sha256()
    size = 0
    in_place = target.exists() and os.path.samefile(source, target)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(files.resolve()):
            raise TrackError(f"{name!r} leads out of {files} through a link", "remove that link from the run's folder")
        with source.open("rb") as read, open(os.devnull if in_place else draft, "wb") as write:
            while piece := read.read(1 << 20):
                digest.update(piece)
                write.write(piece)
                size += len(piece)
        if not in_place:
            os.replace(draft, target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreUnavailable(
            f"can't copy {source} to {target} ({error.strerror})",
            "free space there, or name another folder with WHET_DIR",
        ) from error
    return Kept(name=name, kind=kind, path=str(target.absolute()), size=size, sha256=digest.hexdigest())


@final
class Artifact:
    """A named bundle of files, to be kept by `run.log_artifact`. ``Artifact("model", type="model").add_file("model.pt")``."""

    def __init__(
        self, name: str, type: str = "file", description: str = "", metadata: Mapping[str, Any] | None = None
    ) -> None:
        self.name = safe_name(name)
        self.type = type
        self.description = description
        self.metadata = dict(metadata or {})
        self._files: dict[str, Path] = {}

    def add_file(self, local_path: str | os.PathLike[str], name: str | None = None) -> Artifact:
        """Add one file, under its own name or `name`."""
        path = Path(local_path)
        if not path.is_file():
            raise TrackError(f"there is no file {str(path)!r} to add", "save it first, or correct the path")
        self._files[safe_name(name or path.name)] = path
        return self

    def add_dir(self, local_path: str | os.PathLike[str], name: str | None = None) -> Artifact:
        """Add all files of a folder, under their relative names (in the folder `name`, if given)."""
        root = Path(local_path)
        if not root.is_dir():
            raise TrackError(f"there is no folder {str(root)!r} to add", "correct the path")
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            relative = path.relative_to(root).as_posix()
            self._files[safe_name(f"{name}/{relative}" if name else relative)] = path
        return self

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield (name in the run's folder, where it is now)."""
        for name, path in self._files.items():
            yield f"{self.name}/{name}", path
