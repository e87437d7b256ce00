"""What a question for a trial is answered from, while the sweep goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from whet.store.base import SweepState
from whet.study.searching import News, Searching

__all__ = ["Snapshot"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A sweep at one revision.

    Args:
        state, cap, version: The sweep's.
        revision: What is known is what had happened by it.
        num_trials: How many there were, that is the number of the next one.
        method: Its method's name.
        searching: Its searcher, and the
        news: that it was not told yet.
    """

    state: SweepState
    cap: int | None
    version: int
    revision: int
    num_trials: int
    method: str
    searching: Searching
    news: News
