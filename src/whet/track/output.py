"""Where a run's output is kept, and pieces of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whet.store.base import Run

__all__ = ["Piece", "log_files", "piece"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes [start, end) of a file of `size` bytes, as text."""

    text: str
    start: int
    end: int
    size: int


def log_files(run: Run) -> tuple[Path | None, Path | None]:
    """Return the files of stdout and stderr: its job's, else the one copy that its own process kept of both."""
    from whet.launch.base import Handle
    from whet.launch.jobs import job_id
    from whet.launch.local import Local
    from whet.store.open import whet_dir

    jobs = whet_dir() / "jobs"
    name = job_id(f"{run.id}-{run.attempt}")
    if (jobs / name).is_dir():
        logs = Local(jobs).logs(Handle(executor="local", id=name))
        return logs.stdout, logs.stderr
    folders = [Path(run.folder)] if run.folder else []
    for folder in [*folders, whet_dir() / "runs" / run.id]:
        if (folder / "output.log").exists():
            return folder / "output.log", folder / "output.log"
    return None, None


def piece(path: Path, *, offset: int | None = None, tail: int | None = None, most_bytes: int = 1 << 20) -> Piece:
    """Return a piece of a text file: from `offset` on, or its last `tail` lines; whole lines where there are some, at most `most_bytes`.

    Args:
        offset: In bytes; where the piece before ended. One beyond the end gives nothing.
        tail: Lines; without both it begins at the beginning.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = min(offset or 0, size) if tail is None else max(0, size - most_bytes)
        file.seek(start)
        data = file.read(most_bytes)
    if tail is not None:
        lines = data.splitlines(keepends=True)
        if start and lines:
            lines = lines[1:]  # its beginning is not there
        kept = lines[len(lines) - min(tail, len(lines)) :]
        cut = b"".join(kept)
        start, data = size - len(cut), cut
    elif start + len(data) < size and b"\n" in data:
        data = data[: data.rindex(b"\n") + 1]
    return Piece(text=data.decode("utf-8", "replace"), start=start, end=start + len(data), size=size)
