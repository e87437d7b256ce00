"""What an engine answers when it is asked for a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Assignment", "Nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A trial handed out to this process.

    Args:
        run_id, number, attempt, params: The trial.
        note: Why it was chosen, in words.
        parent: The id of the run whose checkpoint it goes on from, where it has none of its own yet.
        after: Of a trial that goes on after a pause: the step at which it was paused. Reports up to there are judged no more.
    """

    run_id: str
    number: int
    attempt: int
    params: Mapping[str, object]
    note: str = ""
    parent: str | None = None
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """No trial to hand out, and why. `final`: there will never be one (unless somebody reopens the sweep)."""

    reason: str
    final: bool
