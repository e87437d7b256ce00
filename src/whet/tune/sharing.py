"""What those who work on one sweep must know of each other."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from whet.errors import AlreadyDriven, StoreError
from whet.store.base import Store
from whet.store.owner import here
from whet.study.engine import LEASE_S, Engine

__all__ = ["at_the_wheel", "num_in_other_hands", "stays_for"]

_driven: set[tuple[str, str]] = set()
"""What this process drives, as (store, sweep): to the store its threads are one."""
_lock = threading.Lock()


@contextlib.contextmanager
def at_the_wheel(store: Store, sweep: str) -> Iterator[None]:
    """Be the sweep's coordinator, of which there is one.

    Raises:
        AlreadyDriven: another process is, or another thread of this one.
    """
    key = (store.url, sweep)
    with _lock:
        if key in _driven:
            raise AlreadyDriven(
                f"sweep {sweep!r} is driven by this process already",
                "let that go on; workers=N runs several trials at a time",
                owner=here(),
            )
        _driven.add(key)
    try:
        store.sweeps.drive(sweep, here(), silent_s=LEASE_S)
        try:
            yield
        finally:
            with contextlib.suppress(StoreError):  # whoever comes next sees that this process is gone
                store.sweeps.release(sweep, here())
    finally:
        with _lock:
            _driven.discard(key)


def num_in_other_hands(engine: Engine) -> int:
    """Return how many trials other processes of this machine are running, which may yet be lost and need somebody."""
    me = here()
    machine = me.partition("|")[0]
    leases = engine.store.trials.leases(engine.id)
    return sum(lease.owner != me and lease.owner.partition("|")[0] == machine for lease in leases)


def stays_for(reason: str, others: int) -> str:
    """Return why a loop stays that has nothing to hand out, while `others` trials run elsewhere."""
    run, them = ("runs", "it is") if others == 1 else ("run", "they are")
    return f"{reason}; {others} of them {run} elsewhere, and this one stays in case {them} lost"
