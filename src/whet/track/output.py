"""Where a run's output is kept, and pieces of it."""

from __future__ import annotations

import codecs
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


def log_files(run: Run, *, anywhere: bool = True) -> tuple[Path | None, Path | None]:
    """Return the files of stdout and stderr: its job's, else the one copy that its own process kept of both.

    Args:
        anywhere: Look into the folder that the run names, too. A server must not: whoever may write chooses both the run's id and its
            folder. Without it nothing outside `whet_dir` is found, not even by a link.
    """
    from whet.launch.base import Handle
    from whet.launch.jobs import job_id
    from whet.launch.local import Local
    from whet.store.open import whet_dir

    jobs = whet_dir() / "jobs"
    name = job_id(f"{run.id}-{run.attempt}")
    if (jobs / name).is_dir():
        logs = Local(jobs).logs(Handle(executor="local", id=name))
        found: tuple[Path | None, Path | None] = logs.stdout, logs.stderr
    else:
        folders = [Path(run.folder)] if run.folder and anywhere else []
        copies = [folder / "output.log" for folder in [*folders, whet_dir() / "runs" / run.id]]
        copy = next((path for path in copies if path.exists()), None)
        found = copy, copy
    own = whet_dir().resolve()
    if not anywhere and any(path is not None and not path.resolve().is_relative_to(own) for path in found):
        return None, None
    return found


def piece(path: Path, *, offset: int | None = None, tail: int | None = None, most_bytes: int = 1 << 20) -> Piece:
    """Return a piece of a text file: from `offset` on, or its last `tail` lines; whole lines where there are some, at most `most_bytes`.

    A character whose last bytes are still to come is not part of it: the next piece, from `end` on, has it whole.

    Args:
        offset: In bytes; where the piece before ended. One beyond the end gives nothing.
        tail: Lines; without both it begins at the beginning.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = min(offset or 0, size) if tail is None else max(0, size - most_bytes)
        file.seek(start)
        data = file.read(min(most_bytes, size - start))  # what comes meanwhile is the next piece's
    if tail is not None:
        lines = data.splitlines(keepends=True)
        if start and lines:
            lines = lines[1:]  # its beginning is not there
        kept = lines[len(lines) - min(tail, len(lines)) :]
        cut = b"".join(kept)
        start, data = size - len(cut), cut
    elif start + len(data) < size and b"\n" in data:
        data = data[: data.rindex(b"\n") + 1]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    end = start + len(data) - len(decoder.getstate()[0])
    return Piece(text=text, start=start, end=end, size=size)
