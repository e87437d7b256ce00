"""A sweep's suggestions made again from its stored history, one by one: is a search what its results and its seed make it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from whet.config import SweepConfig, parse
from whet.parameters import identity
from whet.store.base import Origin, Store, Sweep
from whet.study.catching_up import history_of
from whet.study.searching import News, Searching, basis
from whet.trial import Phase, Report, Suggestion, Trial

__all__ = ["Difference", "Replay", "replay"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A suggestion that came out otherwise.

    Args:
        number: The trial's.
        kept: What the store has; `note` beside it.
        now: What the method suggests now; None: nothing. `note_now` beside it.
        reason: What is likely behind it, in words.
    """

    number: int
    kept: Mapping[str, object]
    now: Mapping[str, object] | None
    note: str
    note_now: str
    reason: str

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that differ."""
        now = self.now or {}
        both = dict.fromkeys([*self.kept, *now])
        return tuple(n for n in both if n not in self.kept or n not in now or not _same(self.kept[n], now[n]))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came out.

    Args:
        num_suggested: Suggestions of the sweep's method, all of which were made again.
        num_reproduced: How many came out the same.
        num_given: Trials that were enqueued, or added from elsewhere.
        num_continued: Those of them that go on from another trial (`Suggestion.parent`).
        differences: The others, by number.
    """

    num_suggested: int
    num_reproduced: int
    num_given: int
    num_continued: int
    differences: tuple[Difference, ...]


def replay(store: Store, sweep: Sweep) -> Replay:
    """Make all suggestions of a sweep again, and compare.

    For each trial the searcher is told what was known when it was suggested, which the store has: the trials that were over by the
    revision that the suggestion was made from, and as pending all others with a smaller number. It is built from the configuration
    of that time, so edited sweeps and learned spaces are no exception. Nothing runs and nothing is stored.

    Not known is what a pending trial was like at the time where its worker was lost or it was paused since: reports from before that are
    left out.
    """
    history = history_of(store, sweep.id)
    origins = {origin.number: origin for origin in store.trials.origins(sweep.id)}
    configs = _Configs(store, store.sweeps.get(sweep.id))
    trials = [_Known(trial, origins[trial.number]) for trial in history.in_order()]
    ends = sorted((k for k in trials if k.origin.over is not None), key=lambda k: (k.origin.over or 0, k.trial.number))
    ended = [known.trial for known in ends]
    player, position, num_suggested = _Player(), 0, 0
    num_given = num_continued = 0
    differences: list[Difference] = []
    open_: dict[int, _Known] = {}  # those with a smaller number that were not over yet
    for known in trials:
        trial, origin = known.trial, known.origin
        if trial.number:
            open_[trial.number - 1] = trials[trial.number - 1]
        if origin.seen is None:
            num_given += 1
            continue
        num_suggested += 1
        num_continued += trial.parent is not None
        while position < len(ends) and (ends[position].origin.over or 0) <= origin.seen:
            position += 1
        open_ = {n: k for n, k in open_.items() if not k.is_over(origin.seen)}
        pending = [k.at(origin.seen) for _, k in sorted(open_.items())]
        config, sure = configs.at(origin)
        found = player.suggestion(config, ended, position, pending, edited=configs.edited)
        kept = trial.params if origin.suggested is None else origin.suggested
        if found is not None and found.parent == trial.parent and _alike(kept, found.params):
            continue
        reason = _why(trial, found, kept, sure=sure)
        differences.append(
            Difference(
                number=trial.number,
                kept=kept,
                now=None if found is None else found.params,
                note=trial.note,
                note_now="" if found is None else found.note,
                reason=reason,
            )
        )
    return Replay(
        num_suggested=num_suggested,
        num_reproduced=num_suggested - len(differences),
        num_given=num_given,
        num_continued=num_continued,
        differences=tuple(differences),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """A trial as it is now, and what is known of how it came to that."""

    trial: Trial
    origin: Origin

    def is_over(self, revision: int) -> bool:
        """Return whether it was over by `revision`."""
        return self.origin.over is not None and self.origin.over <= revision

    def at(self, revision: int) -> Trial:
        """Return it as it was at `revision`, when it was not over."""
        trial, origin = self.trial, self.origin
        params = trial.params
        if origin.suggested is not None and origin.settled is not None and origin.settled > revision:
            params = origin.suggested
        came = dict(origin.reported)
        reports: tuple[Report, ...] = tuple(r for r in trial.reports if came.get(r.step, revision + 1) <= revision)
        return replace(
            trial,
            params=params,
            reports=reports,
            phase=Phase.RUNNING,
            values=None,
            stopped=False,
            reason="",
            ended=None,
        )


class _Configs:
    """The sweep's configurations by version."""

    def __init__(self, store: Store, sweep: Sweep) -> None:
        source = f"sweep {sweep.id}"
        self._now = parse(dict(sweep.config), source=source)
        self._version = sweep.version
        former = store.sweeps.former(sweep.id)
        self._former = {version: parse(dict(config), source=source) for version, config in sorted(former.items())}
        self.edited = sweep.version > 0

    def at(self, origin: Origin) -> tuple[SweepConfig, bool]:
        """Return the configuration that a suggestion was made by, and whether that is sure."""
        if origin.version is None:
            return self._now, not self.edited
        for last, config in self._former.items():
            if origin.version <= last:
                return config, True
        return self._now, True


class _Player:
    """Tells a searcher what it knew, as an engine does, and asks."""

    def __init__(self) -> None:
        self._made: tuple[object, Searching] | None = None  # of what, and the searcher
        self._num_told = 0

    def suggestion(
        self, config: SweepConfig, ended: list[Trial], num_ended: int, pending: list[Trial], *, edited: bool
    ) -> Suggestion | None:
        if self._made is None or self._made[0] != basis(config):
            self._made, self._num_told = (basis(config), Searching(config)), 0
        as_they_are = not edited and not config.define_by_run
        fresh, self._num_told = tuple(ended[self._num_told : num_ended]), num_ended
        return self._made[1].suggest(
            News(ended=fresh, pending=tuple(pending), num_ended=num_ended, as_they_are=as_they_are)
        )


def _same(one: object, other: object) -> bool:
    return identity(one) == identity(other)


def _alike(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())


def _why(trial: Trial, found: Suggestion | None, kept: Mapping[str, object], *, sure: bool) -> str:
    if not sure:
        return "the sweep was edited, and the Whet that made this suggestion kept no earlier versions of a sweep"
    if found is None:
        return "the method suggests nothing here: another version of Whet or of the method made the suggestion"
    if found.parent != trial.parent:
        return f"it goes on from trial {found.parent} now, and went on from trial {trial.parent}"
    if found.params.keys() == kept.keys() and all(_near(kept[name], found.params[name]) for name in kept):
        return "it differs by rounding only: another machine, or another version of numpy or scipy"
    if found.note != trial.note:
        return "the method reasons otherwise now: another version of Whet or of the method, or one that heeds more than history"
    return (
        "another version of Whet, of the method or of a package that it uses, or a method that heeds more than history"
    )


def _near(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-6 * max(abs(one), abs(other))
    return _same(one, other)
