"""Where a page of a sweep's changes ends."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["last_whole"]


def last_whole(trials: Sequence[int], reports: Sequence[int], limit: int) -> int | None:
    """Return the number of the last trial that a page holds whole; None: it holds everything.

    Trials come whole, with all their reports that are new, and at least one comes.

    Args:
        trials: The numbers of the trials that changed, ascending: all of them, or the first `limit` + 1.
        reports: The numbers of the trials that the new reports are of, one a report, ascending: likewise.
        limit: Of trials, and of reports.
    """
    cut = [numbers[limit] for numbers in (trials, reports) if len(numbers) > limit]
    if not cut:
        return None
    first = min(numbers[0] for numbers in (trials, reports) if numbers)
    return max(first, min(cut) - 1)
