"""What an engine answers when it is asked for a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Assignment", "Nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A trial handed out to this process."""

    run_id: str
    number: int
    attempt: int
    params: Mapping[str, object]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No trial to hand out, and why. `final`: there will never be one (unless somebody reopens the sweep)."""

    reason: str
    final: bool
