"""Where the checkpoints of an objective's trials are."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

from whet.checkpoints import Checkpoints
from whet.store.base import Store
from whet.store.open import whet_dir
from whet.study.assignment import Assignment

__all__ = ["checkpoints_of", "how_it_starts"]


def checkpoints_of(store: Store, assignment: Assignment) -> Checkpoints:
    """Return the place of a trial's checkpoints: beside its run, or with a store in memory a folder that goes with this process."""
    root = Path(_passing().name) if store.url.startswith("memory") else whet_dir().absolute()
    runs = root / "runs"
    parent = None if assignment.parent is None else runs / assignment.parent
    return Checkpoints(runs / assignment.run_id, attempt=assignment.attempt, parent=parent)


def how_it_starts(assignment: Assignment, saved: Checkpoints) -> str:
    """Return the trial's note, with where it goes on from if it was paused."""
    if assignment.after is None:
        return assignment.note
    found = saved.own()
    if found is None:
        where = "it saved no checkpoint, so it starts from the beginning"
    else:
        where = f"from its checkpoint{'' if found.step is None else f' of step {found.step}'}"
    return f"{assignment.note}; {where}" if assignment.note else where


@lru_cache(maxsize=1)
def _passing() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="whet-")
