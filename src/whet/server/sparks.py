"""How the best of each sweep came about, in few points: for a list of many sweeps.

What was found for a sweep is kept as long as its revision stays, so a list that is asked for again and again costs one statement about the
sweeps in which something happened. Where limits are to be kept, or several metrics are searched for, trials have to be looked at: only
those that changed, and in one list no more than about `TRIALS` of them. What is missing then comes with the lists that follow.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from whet.config import parse
from whet.errors import WhetError
from whet.fronts import hypervolume, nondominated, reference
from whet.store.base import Store, Sweep
from whet.trial import Problem

__all__ = ["POINTS", "TRIALS", "Sparks", "covered", "meaning", "thinned"]

POINTS = 64
"""Of a line at most."""
TRIALS = 4000
"""And reports that are read for one list, about."""
PAGE = 1000
"""Of them are read at a time; a page of few costs as much as one of `LEAST`."""
LEAST = 40
VOLUMES = 2
"""With so many metrics a volume is cheap to find exactly; with more the line is of the first."""

Line = list[tuple[int, float]]


@dataclass(slots=True)
class _Counted:
    """What the trials of a sweep that count for its line came to, as far as they were read."""

    version: int
    problem: Problem | None
    found: dict[int, tuple[float, ...]] = field(default_factory=dict)
    """The values by number."""
    since: int = -1
    until: int | None = None
    """The revision that is reached with the last of the pages that are being read."""
    after: int = -1


@final
class Sparks:
    """The lines of the sweeps that were asked for last. Safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._reads = threading.Lock()
        self._kept: dict[str, tuple[tuple[int, int, int], Line]] = {}
        self._counted: dict[str, _Counted] = {}

    def of(self, sweeps: Collection[Sweep]) -> dict[str, Line]:
        """Return the lines by the ids of the sweeps: (number of a trial, value) each time it became better; of what, says `meaning`."""
        with self._lock:
            kept = dict(self._kept)
        stale = [one for one in sweeps if one.goals and (one.id not in kept or kept[one.id][0] != _version(one))]
        simple = {one.id: one for one in stale if not _looks_at_trials(one)}
        new = {}
        if simple:
            gains = self._store.sweeps.gains(list(simple))
            new = {id: (_version(one), thinned(gains.get(id, ()))) for id, one in simple.items()}
        if len(simple) < len(stale) and self._reads.acquire(blocking=False):  # else another list is at it
            try:
                new |= self._read([one for one in stale if one.id not in simple])
            finally:
                self._reads.release()
        with self._lock:
            self._kept |= new
            for id in list(self._kept)[: max(0, len(self._kept) - _MOST)]:
                del self._kept[id]
        return {one.id: (new.get(one.id) or kept.get(one.id) or _NOTHING)[1] for one in sweeps}

    def _read(self, sweeps: Sequence[Sweep]) -> dict[str, tuple[tuple[int, int, int], Line]]:
        """Go on reading what changed in these sweeps, within what one list may; return the lines that are up to date now."""
        done = {}
        left = TRIALS
        turns = {id: turn for turn, id in enumerate(self._counted)}
        for sweep in sorted(sweeps, key=lambda one: turns.get(one.id, -1)):  # who waited longest comes first
            counted = self._counted.pop(sweep.id, None)
            if counted is None or counted.version != sweep.version:
                counted = _Counted(sweep.version, _problem_of(sweep))
            self._counted[sweep.id] = counted  # the last of them is the one that was read last
            while left > 0 and counted.since < sweep.revision:
                if not (read := self._turn(counted, sweep.id)):
                    del self._counted[sweep.id]
                    break
                left -= read
            if counted.since >= sweep.revision:
                done[sweep.id] = (_version(sweep), _line(counted))
            if left <= 0:
                break
        held = sum(map(_size, self._counted.values()))
        for id in list(self._counted)[:-1]:
            if held <= _MOST_COUNTED:
                break
            held -= _size(self._counted.pop(id))
        return done

    def _turn(self, counted: _Counted, sweep: str) -> int:
        """Read one page, and return what it counts for; 0: the sweep is no more."""
        try:
            page = self._store.trials.changes(sweep, counted.since, limit=PAGE, after=counted.after)
        except WhetError:
            return 0
        if counted.until is None:
            counted.until = page.revision
        for trial in page.trials:
            counted.found.pop(trial.number, None)
            if counted.problem is not None and trial.values is not None and counted.problem.counts(trial):
                counted.found[trial.number] = trial.values
        if page.after is not None:
            counted.after = page.after
        else:
            counted.since, counted.until, counted.after = counted.until, None, -1
        return max(LEAST, len(page.trials) + len(page.reports))


_MOST = 5000
_MOST_COUNTED = 200_000
"""Trials that are held. Sweeps that were read longest ago are given up first, and read anew if something happens in them."""
_SWEEP = 20
"""What a sweep without a trial counts as."""
_NOTHING: tuple[tuple[int, int, int], Line] = ((-1, -1, -1), [])


def _size(counted: _Counted) -> int:
    return _SWEEP + len(counted.found)


def _version(sweep: Sweep) -> tuple[int, int, int]:
    return sweep.revision, sweep.next_number, sweep.version


def _looks_at_trials(sweep: Sweep) -> bool:
    return bool(sweep.config.get("limits")) or 1 < len(sweep.goals) <= VOLUMES


def _problem_of(sweep: Sweep) -> Problem | None:
    try:
        return parse(dict(sweep.config)).problem
    except WhetError:  # of a later Whet: its page says so
        return None


def meaning(sweep: Sweep, names: Sequence[str]) -> str:
    """Return what the line of a sweep is of, in words, its metrics being `names`."""
    if 1 < len(sweep.goals) <= VOLUMES:
        what = f"what the front of {' and '.join(names)} covers (hypervolume)"
    else:
        what = f"best {names[0] if names else 'value'}"
    return f"{what}, of trials within the limits" if sweep.config.get("limits") else what


def _line(counted: _Counted) -> Line:
    problem, numbers = counted.problem, sorted(counted.found)
    if problem is None or not numbers:
        return []
    losses = np.array([problem.losses(counted.found[number]) for number in numbers], dtype=float)
    if 1 < losses.shape[1] <= VOLUMES:
        return covered(numbers, losses)
    finite = np.isfinite(losses[:, 0])
    losses, kept = losses[finite, 0], np.flatnonzero(finite)
    if not len(kept):
        return []
    before = np.minimum.accumulate(np.concatenate([[np.inf], losses[:-1]]))
    gains = [(numbers[i], counted.found[numbers[i]][0]) for i in kept[losses < before]]
    return thinned(gains)


def covered(numbers: Sequence[int], losses_NM: np.ndarray) -> Line:
    """Return (number, hypervolume) at `POINTS` places at most where it had grown: what the front up to there covers.

    The reference is that of a sweep's history: a tenth of the range beyond the worst of all trials.

    Example:
        >>> covered([0, 1, 4], np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))  # doctest: +NORMALIZE_WHITESPACE
        [(0, 0.11...), (4, 0.21...)]
    """
    finite = np.isfinite(losses_NM).all(axis=1)
    if not finite.any():
        return []
    bound = reference(losses_NM[finite])
    where = np.flatnonzero(finite)
    line: Line = []
    front = np.empty((0, losses_NM.shape[1]))
    last = len(where) - 1
    ends = sorted({last * i // max(1, POINTS - 1) for i in range(POINTS)})
    begin, most = 0, 0.0
    for end in ends:
        front = np.concatenate([front, losses_NM[where[begin : end + 1]]])
        front = front[nondominated(front)]
        begin = end + 1
        volume = hypervolume(front, bound)
        if volume > most or not line:
            most = max(most, volume)
            line.append((numbers[where[end]], most))
    return line


def thinned(gains: Sequence[tuple[int, float]]) -> Line:
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
