"""Checkpoints: what a training needs to go on, as files in a folder of its run, there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from whet.errors import StoreUnavailable, TrackError

__all__ = ["Checkpoint", "Checkpointed", "Checkpoints"]

_NAME = re.compile(r"(\d+)-(\d+)-step-(\d+)")
_DRAFT = re.compile(r"\.draft-(\d+)-(\d+)-(.*)-\w+")
_FILES = "files"  # of programs that know nothing of Whet


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder of files that a training saved after `step`; it stands for its path, so ``checkpoint / "model.pt"`` is a file in it.

    `step` is None where a program without Whet saved it.
    """

    path: Path
    step: int | None

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        return self.path / name

    def __fspath__(self) -> str:
        return str(self.path)


@final
class Checkpoints:
    """The checkpoints of one run, in ``RUN/checkpoints``.

    A checkpoint is written into a draft, brought to the disk, and renamed, which happens whole or not at all; only then the one before it
    is deleted. So a process may be killed at any moment: the last checkpoint that was complete stays. A later attempt's checkpoints
    count as later, however long a worker that was given up goes on.

    Args:
        run: The run's folder; it is made when something is saved.
        attempt: Of the trial.
        parent: The folder of the run that this one goes on from.
        keeps: False: what is saved is thrown away (a process that must not write).
    """

    def __init__(self, run: Path, *, attempt: int = 0, parent: Path | None = None, keeps: bool = True) -> None:
        self._folder = run / "checkpoints"
        self._attempt = attempt
        self._parent = None if parent is None else parent / "checkpoints"
        self._keeps = keeps

    @property
    def files(self) -> Path:
        """Where a program that knows nothing of Whet leaves its files: ``WHET_CHECKPOINT_DIR``."""
        return self._folder / _FILES

    def load(self) -> Checkpoint | None:
        """Return the run's latest checkpoint, else that of the run it goes on from, else None."""
        return self.own() or (None if self._parent is None else _latest(self._parent))

    def own(self) -> Checkpoint | None:
        """Return the run's own latest checkpoint, or None."""
        return _latest(self._folder)

    @contextlib.contextmanager
    def save(self, step: int) -> Iterator[Path]:
        """Give an empty folder to save files in; they are the latest checkpoint once the block has ended without an error.

        Raises:
            TrackError: `step` is no whole number >= 0.
            StoreUnavailable: the folder can't be written.
        """
        try:
            whole = step.__index__()
        except (AttributeError, TypeError):
            whole = -1
        if whole < 0:
            raise TrackError(f"save_checkpoint got step={step!r}", "give the step that is done, 0 or more")
        if not self._keeps:
            with tempfile.TemporaryDirectory(prefix="whet-") as thrown:
                yield Path(thrown)
            return
        draft = self._draft()
        try:
            yield draft
            self._keep(draft, whole)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _draft(self) -> Path:
        name = f".draft-{self._attempt}-{os.getpid()}-{socket.gethostname()}-{secrets.token_hex(4)}"
        try:
            (self._folder / name).mkdir(parents=True)
            self._sweep_up()
        except OSError as error:
            raise StoreUnavailable(
                f"{self._folder} can't be written ({error})", "make room, or set WHET_DIR to another folder"
            ) from error
        return self._folder / name

    def _sweep_up(self) -> None:
        """Delete what killed processes left half done."""
        for entry in self._folder.iterdir():
            found = _DRAFT.fullmatch(entry.name)
            if found is None:
                continue
            old = int(found[1]) < self._attempt
            if old or (found[3] == socket.gethostname() and not _is_alive(int(found[2]))):
                shutil.rmtree(entry, ignore_errors=True)

    def _keep(self, draft: Path, step: int) -> None:
        try:
            for folder, _, names in os.walk(draft):
                for name in names:
                    if not os.path.islink(Path(folder, name)):
                        _to_disk(Path(folder, name))
                _to_disk(Path(folder))  # the names of its files, too
            while True:
                before = _kept(self._folder)
                mine = [order for (attempt, order), _ in before if attempt == self._attempt]
                order = max(mine, default=-1) + 1
                target = self._folder / f"{self._attempt}-{order}-step-{step}"
                try:
                    draft.rename(target)
                    break
                except OSError:
                    if not target.exists():
                        raise
            _to_disk(self._folder)
        except OSError as error:
            raise StoreUnavailable(
                f"a checkpoint can't be kept in {self._folder} ({error})", "make room; the one before it is untouched"
            ) from error
        for place, checkpoint in before:
            if place < (self._attempt, order):
                shutil.rmtree(checkpoint, ignore_errors=True)


class Checkpointed(ABC):
    """What can save a checkpoint and go on from it: a run, and a trial in an objective's hands."""

    @abstractmethod
    def _checkpoints(self) -> Checkpoints:
        """Return where its checkpoints are."""

    def save_checkpoint(self, step: int) -> AbstractContextManager[Path]:
        """Save what the training needs to go on after `step`: files, in any form, in the folder that the ``with`` block gets.

        The checkpoint counts once the block has ended; until then, and if the process is killed within it, the one before it does. Only the
        latest one is kept. Save before the metrics of the step are logged: a trial may be paused right after.

        Args:
            step: The step that is done, >= 0.

        Raises:
            TrackError: `step` is no whole number >= 0.
            StoreUnavailable: it can't be written.

        Example:
            >>> import whet
            >>> run = whet.init(mode="disabled")
            >>> with run.save_checkpoint(step=3) as folder:
            ...     _ = (folder / "weights.txt").write_text("0.5 0.25")
            >>> run.finish()
        """
        return self._checkpoints().save(step)

    def load_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint to go on from: the latest one of this run, else of the trial that this one goes on from; None: begin anew.

        A trial has one of its own where it was paused, or its worker was killed or interrupted.
        """
        return self._checkpoints().load()


def _latest(folder: Path) -> Checkpoint | None:
    for (_, _), path in reversed(_kept(folder)):
        found = _NAME.fullmatch(path.name)
        assert found is not None
        return Checkpoint(path=path, step=int(found[3]))
    files = folder / _FILES
    with contextlib.suppress(OSError):
        if any(files.iterdir()):
            return Checkpoint(path=files, step=None)
    return None


def _kept(folder: Path) -> list[tuple[tuple[int, int], Path]]:
    """Return the checkpoints in `folder` with (attempt, order), ascending."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    matches = [found for name in names if (found := _NAME.fullmatch(name))]
    return sorted(((int(found[1]), int(found[2])), folder / found[0]) for found in matches)


def _to_disk(path: Path) -> None:
    """Have the disk itself hold what was written: a rename must not outlive a power cut that the files do not."""
    if os.name == "nt" and path.is_dir():
        return
    file = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
