"""Finds the runs in folders: each folder is offered to the formats, one after the other, until somebody knows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from whet.errors import NotFound, UnknownName
from whet.errors import TrackError as CantRead
from whet.foreign.base import Folder, ForeignRun, Format, Scope, folder_at
from whet.foreign.documents import Json, Yaml
from whet.foreign.guild import Guild
from whet.foreign.huggingface import HuggingFace
from whet.foreign.mlflow import MLflow
from whet.foreign.mlflow_sql import MLflowDatabase
from whet.foreign.tables import Csv, JsonLines
from whet.foreign.tensorboard import TensorBoard
from whet.foreign.wandb import Wandb

__all__ = ["FORMATS", "Found", "find"]

FORMATS: tuple[type[Format], ...] = (
    MLflowDatabase, MLflow, Guild, Wandb, HuggingFace, TensorBoard, Csv, JsonLines, Json, Yaml,
)  # fmt: skip
"""All formats. Those that know a whole tree come first, those that any file could be of last."""
_SKIPPED = frozenset(
    {".git", ".whet", ".trash", ".venv", "node_modules", "__pycache__", "site-packages", ".ipynb_checkpoints"}
)
_DEEPEST = 40


@final
@dataclass(slots=True, kw_only=True)
class Found:
    """What there is: runs, files that could not be read with what is wrong, and how many links were not followed."""

    runs: list[ForeignRun] = field(default_factory=list)
    troubles: list[tuple[str, str]] = field(default_factory=list)
    num_folders: int = 0
    num_links: int = 0


def find(
    paths: list[Path],
    *,
    format: str = "auto",
    rows: str = "auto",
    now: float | None = None,
    on_step: Callable[[str], None] = lambda what: None,
) -> Found:
    """Return the runs in and below `paths` (folders, or files), oldest first. Links in them are not followed.

    Args:
        format: The name of one of `FORMATS`, whose files then need not look like metrics; "auto": all of them.
        rows: What rows of tables are: "steps", "runs" or "auto".

    Raises:
        UnknownName: no such format.
        NotFound: there is nothing at a path.
    """
    known = {kind.name: kind for kind in FORMATS}
    if format != "auto" and format not in known:
        raise UnknownName.of("format", format, ["auto", *known])
    formats = [kind() for kind in FORMATS] if format == "auto" else [known[format]()]
    found = Found()
    for path in paths:
        if not path.exists():
            raise NotFound(f"there is nothing at {path}", "name a folder or a file with runs")
        if not (path.is_dir() or path.is_file()):
            raise NotFound(f"{path} is neither a folder nor a file", "name a folder or a file with runs")
        path = path.resolve()
        root = path if path.is_dir() else path.parent
        sure = format != "auto" or not path.is_dir()
        scope = Scope(root=root, sure=sure, rows=rows, now=time.time() if now is None else now)
        start = folder_at(path) if path.is_dir() else Folder(path=root, files=(path.name,), folders=())
        _walk(start, formats, scope, found, on_step)
    found.runs.sort(key=lambda run: run.began)
    return found


def _walk(start: Folder, formats: list[Format], scope: Scope, found: Found, on_step: Callable[[str], None]) -> None:
    waiting = [(start, 0)]
    while waiting:
        folder, depth = waiting.pop()
        found.num_folders += 1
        found.num_links += folder.links
        if found.num_folders % 100 == 0:
            on_step(f"looking: {len(found.runs)} runs in {found.num_folders} folders")
        rest = _offer(folder, formats, scope, found)
        inner = rest.folders if rest is not None and depth < _DEEPEST else ()
        for name in reversed(inner):
            if name in _SKIPPED:
                continue
            try:
                waiting.append((folder_at(folder.path / name), depth + 1))
            except CantRead as error:
                found.troubles.append((str(folder.path / name), str(error)))


def _offer(folder: Folder, formats: list[Format], scope: Scope, found: Found) -> Folder | None:
    """Offer a folder to the formats; return what is left of it, or None where nothing below is to be looked at."""
    for kind in formats:
        try:
            claim = kind.find(folder, scope)
        except (CantRead, OSError) as error:
            found.troubles.append((str(folder.path), str(error)))
            continue
        found.troubles += [(str(path), trouble) for path, trouble in claim.troubles]
        found.runs += claim.runs
        if claim.whole:
            return None
        folder = folder.without(claim.taken)
    return folder
