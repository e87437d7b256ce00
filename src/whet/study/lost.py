"""Lost workers: who they are, and what becomes of their trials."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from whet.errors import Conflict
from whet.store import owner as owners
from whet.store.base import Lease, Store
from whet.trial import Phase

__all__ = ["LEASE_S", "MAX_LOST", "answered", "lost", "recover_lost", "requeue"]

LEASE_S = 60.0
"""A worker on another machine that gave no sign of life for this long is lost."""
MAX_LOST = 3
"""A trial whose worker was lost this often fails: it is likely what kills them."""


def lost(store: Store, sweep: str) -> list[Lease]:
    """Return the leases of running trials whose worker is gone: dead on this machine, or silent on another.

    Whose store is behind a server leaves the silent ones to it, by whose clock they are silent.
    """
    now, me, found = time.time(), owners.here(), []
    for lease in store.trials.leases(sweep):
        if lease.owner != me:
            living = owners.alive(lease.owner)
            is_silent = store.server is None and now - lease.beat >= LEASE_S
            if living is False or (living is None and is_silent):
                found.append(lease)
    return found


def answered(store: Store, sweep: str, key: str | None) -> Lease | None:
    """Return the lease of the trial that was handed out for the question `key`, if it still runs: the answer was lost, or comes again."""
    if key is None:
        return None
    return next((lease for lease in store.trials.leases(sweep) if lease.asked == key), None)


def recover_lost(store: Store, sweep: str, recover: Callable[[Lease], bool | None] | None) -> int:
    """Find lost trials and have them taken over by `recover` (see `whet.study.engine.Engine`) or handed out again; returns how many these were."""
    count = 0
    for lease in lost(store, sweep):
        taken = False if recover is None else recover(lease)
        if taken is False:
            requeue(store, sweep, lease.number, lease.attempt, "its worker was lost")
        count += taken is not None
    return count


def requeue(store: Store, sweep: str, number: int, attempt: int, reason: str) -> None:
    """Have a trial whose worker was lost handed out again, or fail it when that was too often; nothing if somebody else just did."""
    before = sum(lease.num_lost for lease in store.trials.leases(sweep) if lease.number == number)
    with contextlib.suppress(Conflict):
        if before + 1 >= MAX_LOST:
            reason = f"{reason}, {MAX_LOST} times: it was not tried again"
            store.trials.tell(sweep, number, attempt, phase=Phase.FAILED, reason=reason)
        else:
            store.trials.requeue(sweep, number, attempt, reason, lost=True)
