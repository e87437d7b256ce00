"""What those who work on one sweep must know of each other."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

from whet.errors import AlreadyDriven, StoreError, StoreUnavailable
from whet.store.base import RunQuery, Store, TableQuery
from whet.store.owner import here
from whet.study.engine import LEASE_S, Engine
from whet.trial import Phase
from whet.tune.events import Tally

__all__ = ["at_the_wheel", "num_in_other_hands", "stays_for", "why_end"]

_driven: set[tuple[str, str]] = set()
"""What this process drives, as (store, sweep): to the store its threads are one."""
_lock = threading.Lock()
_LATEST = 200
"""So many of the sweep's latest trials tell how other agents fare."""


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


def why_end(engine: Engine, tally: Tally, max_failures: int | None) -> tuple[str, bool]:
    """Return why a loop ends after a failed trial, in words (empty: it goes on), and whether it is put aside because of itself.

    Where the first trials fail and nobody has a result, the sweep can't run. Where too many in a row fail here, this machine may be at fault.

    Args:
        engine: The sweep's.
        tally: What happened here.
        max_failures: As in `whet.tune.loop.drive`.
    """
    if max_failures == 0:
        return "", False
    if tally.hopeless and not _has_results(engine):
        return tally.hopeless, False
    if max_failures is None or len(tally.broke) < max_failures:
        return "", False
    return (
        f"put aside: the last {len(tally.broke)} trials failed here ({_numbers(tally.broke)}; the last: {tally.last}); {_others(engine)}. "
        f"Mend it and start the agent again; whet retry {engine.id} runs the failed ones again, --max-failures 0 goes on come what may"
    ), True


def _has_results(engine: Engine) -> bool:
    """Return whether any trial has finished, or whether that can't be told now: the store knows, also where an engine leaves the history to a server."""
    try:
        return bool(engine.store.runs.select(RunQuery(sweep=engine.id, phases=[Phase.FINISHED], limit=1)))
    except StoreUnavailable:
        return True  # the next failure asks again


def _others(engine: Engine) -> str:
    """Return how the latest trials of other agents ended, and what that says."""
    query = TableQuery(sweep=engine.id, sort="-ended", limit=_LATEST)
    try:
        rows = engine.store.runs.table(query).rows
    except StoreError:
        return "how others fared can't be told"
    others = [row for row in rows if row.phase.is_over and row.owner not in ("", here()) and row.number is not None]
    failed = {int(row.number or 0): row.owner.partition("|")[0] for row in others if row.phase is Phase.FAILED}
    num_finished = sum(row.phase is Phase.FINISHED for row in others)
    places = ", ".join(sorted(set(failed.values())))
    too = f"{_numbers(sorted(failed))} failed elsewhere, too ({places})" if failed else "none failed elsewhere"
    if num_finished:
        of = f"{num_finished} of the last {len(others)} trials of other agents finished"
        return f"{of}, {too}: it is likely this machine, {here().partition('|')[0]}"
    if failed:
        return f"{too}, and none finished there: it is likely the sweep, or its program"
    return "no other agent has ended a trial, so whether it is this machine or the sweep can't be told"


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[-10:]))
    return f"trial {shown}" if len(numbers) == 1 else f"trials {'… ' if len(numbers) > 10 else ''}{shown}"
