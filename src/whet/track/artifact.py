"""Files that a run keeps: copied into its folder, with their SHA-256."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

from whet.blobs.names import safe_name
from whet.errors import StoreUnavailable, TrackError
from whet.store.base import Artifact as Kept

__all__ = ["Artifact", "Shelf", "keep"]


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
    # A link in the run's folder is replaced by what it leads to: what is kept must not change elsewhere.
    in_place = target.exists() and not target.is_symlink() and os.path.samefile(source, target)
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


@final
class Shelf:
    """The files of one run, in its folder.

    Args:
        folder: ``<run folder>/files``.
        put: Told of each file, with the fields of the store's artifact.
        is_on: Whether anything is kept at all.
    """

    def __init__(self, folder: Path, *, put: Callable[[dict[str, Any]], None], is_on: Callable[[], bool]) -> None:
        self._folder = folder
        self._put = put
        self._is_on = is_on
        self._again: dict[str, tuple[Path, float]] = {}
        self._names: set[str] = set()

    def save(self, path: str | os.PathLike[str], base_path: str | None, *, again: bool) -> list[str]:
        """Keep a file, or all that a pattern matches; `again`: anew at the end, where it has changed."""
        text = os.fspath(path)
        found = [text] if os.path.exists(text) else sorted(glob.glob(text, recursive=True))
        if not found:
            raise TrackError(f"there is no file {text!r} to keep", "save it first, or correct the path")
        copies = []
        for one in (Path(f).absolute() for f in found if os.path.isfile(f)):
            name = os.path.relpath(one, base_path) if base_path else one.name
            copies.append(self._keep(one, name, "file"))
            if again:
                self._again[name] = (one, one.stat().st_mtime)
        return copies

    def bundle(self, source: Artifact | str | os.PathLike[str], name: str | None, kind: str) -> Artifact:
        """Keep an artifact's files, a folder or a file."""
        if isinstance(source, Artifact):
            for inner, path in source.files():
                self._keep(path, inner, source.type)
            return source
        path = Path(source)
        artifact = Artifact(name or path.name, kind)
        if path.is_dir():
            return self.bundle(artifact.add_dir(path), None, kind)
        self._keep(path, artifact.name, kind)
        return artifact

    def keep_late(self) -> None:
        """At the end: keep what has changed since, and what the training wrote into the folder by itself."""
        for name, (path, when) in self._again.items():
            if path.is_file() and path.stat().st_mtime != when:
                self._keep(path, name, "file")
        if self._folder.is_dir():
            for path in sorted(p for p in self._folder.rglob("*") if p.is_file() and not p.name.endswith(".part")):
                name = path.relative_to(self._folder).as_posix()
                if name not in self._names:
                    self._keep(path, name, "file")

    def _keep(self, source: Path, name: str, kind: str) -> str:
        if not self._is_on():
            return str(source)
        kept = keep(source, self._folder, name, kind)
        self._names.add(kept.name)
        self._put(asdict(kept))
        return kept.path
