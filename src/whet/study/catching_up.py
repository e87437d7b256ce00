"""Bring a history up to date, however much there is."""

from __future__ import annotations

from dataclasses import replace

from whet.store.base import Changes, Store
from whet.study.history import History

__all__ = ["PAGE", "catch_up", "history_of"]

PAGE = 2000
"""Trials and reports in one answer of a server."""


def catch_up(history: History, store: Store, sweep: str, page: int | None = None) -> Changes:
    """Tell `history` what changed since its revision, and return the sweep's state of that moment.

    From a server it comes in pages of `page` trials and reports (default `PAGE`). While they come others go on; as the last answer is always
    a whole one, what the history holds in the end is the sweep at one revision, and nothing later.
    """
    limit = page if page is not None or store.server is None else PAGE
    while True:
        changes = first = store.trials.changes(sweep, history.revision, limit=limit)
        while changes.after is not None:  # whatever breaks off here is told again from the same revision
            history.apply(replace(changes, revision=history.revision))
            changes = store.trials.changes(sweep, history.revision, limit=limit, after=changes.after)
        if changes.revision != history.revision or first.after is not None:
            history.apply(replace(changes, revision=first.revision))
        if first.after is None:
            return changes


def history_of(store: Store, sweep: str) -> History:
    """Return all trials of a sweep."""
    history = History(None)
    catch_up(history, store, sweep)
    return history
