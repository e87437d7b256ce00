"""How the best of each sweep came about, in few points: for a list of many sweeps.

What was found for a sweep is kept as long as its revision stays, so a list that is asked for again and again costs one statement about the
sweeps in which something happened.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import final

from whet.store.base import Store, Sweep

__all__ = ["POINTS", "Sparks", "thinned"]

POINTS = 64
"""Of a line at most."""


@final
class Sparks:
    """The lines of the sweeps that were asked for last. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[tuple[int, int], list[tuple[int, float]]]] = {}

    def of(self, sweeps: Collection[Sweep]) -> dict[str, list[tuple[int, float]]]:
        """Return the lines by the ids of the sweeps: the best so far as (number of a trial, value), each time it improved.

        Where several metrics are searched for, or limits are to be kept, there is no such line: it is empty.
        """
        wanted = {one.id: one for one in sweeps if len(one.goals) == 1 and not one.config.get("limits")}
        with self._lock:
            kept = dict(self._kept)
        stale = [id for id, one in wanted.items() if id not in kept or kept[id][0] != _version(one)]
        if stale:
            gains = self._store.sweeps.gains(stale)
            new = {id: (_version(wanted[id]), thinned(gains.get(id, ()))) for id in stale}
            kept |= new
            with self._lock:
                self._kept |= new
                for id in list(self._kept)[: max(0, len(self._kept) - _MOST)]:
                    del self._kept[id]
        return {one.id: kept[one.id][1] if one.id in wanted else [] for one in sweeps}


_MOST = 5000


def _version(sweep: Sweep) -> tuple[int, int]:
    return sweep.revision, sweep.next_number


def thinned(gains: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return at most `POINTS` of them, the first and the last among them.

    Example:
        >>> found = thinned([(n, -float(n)) for n in range(1000)])
        >>> len(found), found[0], found[-1]
        (64, (0, -0.0), (999, -999.0))
    """
    last = len(gains) - 1
    if last < POINTS:
        return list(gains)
    return [gains[last * i // (POINTS - 1)] for i in range(POINTS)]
