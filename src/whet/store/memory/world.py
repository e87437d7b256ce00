"""What a store in memory is made of: runs, sweeps, and the lock around them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from whet.store import rules
from whet.store.base import NOTHING, Artifact, Curve, Origin, Run, Stat, Sweep, SweepState
from whet.trial import Goal, Phase, Report, Trial

__all__ = ["NO_STATS", "KeptRun", "KeptSweep", "World"]

_WAITING = frozenset({Phase.PENDING, Phase.PAUSED})
_KEYS = itertools.count()  # the order of creation
NO_STATS: Mapping[str, Stat] = MappingProxyType({})


class KeptRun:
    """A run, and a trial if it is one, as it is now."""

    __slots__ = (
        *("key", "id", "project", "sweep", "number", "name", "phase", "params", "config", "values", "stopped", "best"),
        *("reason", "note", "attempt", "parent", "parent_number", "owner", "group", "tags", "notes", "folder", "attrs"),
        *("stats", "summary", "meta", "created", "started", "ended", "beat", "num_lost"),
        *("reports", "curves", "sources", "artifacts"),
        *("seen", "version", "over", "suggested", "settled", "asked"),
    )

    def __init__(self, id: str, project: str, name: str, phase: Phase, now: float) -> None:
        self.key = next(_KEYS)
        self.id = id
        self.project = project
        self.name = name
        self.phase = phase
        self.created = now
        self.sweep: KeptSweep | None = None
        self.number: int | None = None
        self.params: Mapping[str, object] = NOTHING
        self.config: Mapping[str, object] = NOTHING
        self.values: tuple[float, ...] | None = None
        self.stopped = self.best = False
        self.reason = self.note = self.owner = self.group = self.notes = self.folder = ""
        self.attempt = self.num_lost = 0
        self.parent: str | None = None
        self.parent_number: int | None = None
        self.tags: tuple[str, ...] = ()
        self.attrs: Mapping[str, object] = {}
        self.stats: Mapping[str, Stat] = NO_STATS
        self.summary: Mapping[str, object] = NOTHING
        self.meta: Mapping[str, object] = NOTHING
        self.started: float | None = None
        self.ended: float | None = None
        self.beat: float | None = None
        self.reports: dict[int, tuple[int, Report]] | None = None  # by step: revision and report
        self.curves: dict[str, Curve] | None = None
        self.sources: dict[str, int] | None = None
        self.artifacts: dict[str, Artifact] | None = None
        self.seen: int | None = None  # this and what follows: see `Origin`
        self.version: int | None = None
        self.over: int | None = None
        self.suggested: Mapping[str, object] | None = None
        self.settled: int | None = None
        self.asked: str | None = None

    def as_trial(self) -> Trial:
        """Return the trial that the search sees, without reports."""
        return Trial(
            number=cast(int, self.number),
            params=self.params,
            phase=self.phase,
            values=self.values,
            stopped=self.stopped,
            reason=self.reason,
            note=self.note,
            attempt=self.attempt,
            parent=self.parent_number,
            attrs=self.attrs,
            started=self.started,
            ended=self.ended,
        )

    def settle(self, params: Mapping[str, object], revision: int) -> None:
        """Replace the params; what was suggested at first stays known."""
        if self.settled is None:
            self.suggested, self.settled = self.params, revision
        self.params = dict(params)

    def as_origin(self) -> Origin:
        """Return where the trial came from."""
        return Origin(
            number=cast(int, self.number),
            seen=self.seen,
            version=self.version,
            over=self.over,
            suggested=self.suggested,
            settled=self.settled,
            reported=tuple((step, at) for step, (at, _) in sorted((self.reports or {}).items())),
        )

    def as_run(self) -> Run:
        """Return the run that the user sees."""
        return Run(
            id=self.id,
            project=self.project,
            sweep=self.sweep.id if self.sweep else None,
            number=self.number,
            name=self.name,
            phase=self.phase,
            params=self.params,
            config={**self.params, **self.config},
            values=self.values,
            stopped=self.stopped,
            best=self.best,
            reason=self.reason,
            note=self.note,
            attempt=self.attempt,
            parent=self.parent,
            owner=self.owner,
            group=self.group,
            tags=self.tags,
            notes=self.notes,
            folder=self.folder,
            attrs=self.attrs,
            stats=dict(self.stats),
            summary=dict(self.summary),
            meta=dict(self.meta),
            created=self.created,
            started=self.started,
            ended=self.ended,
            beat=self.beat,
        )


class KeptSweep:
    """A sweep as it is now. `changed[r]` and `reported[r]` tell what revision r + 1 brought: trials, and (number, step) of reports."""

    def __init__(self, id: str, project: str, name: str, config: Mapping[str, object], goals: tuple[Goal, ...]) -> None:
        self.id = id
        self.project = project
        self.name = name
        self.config = config
        self.former: dict[int, Mapping[str, object]] = {}
        self.aim(goals)
        self.state = SweepState.RUNNING
        self.cap: int | None = None
        self.version = 0
        self.best: KeptRun | None = None
        self.best_value: float | None = None
        self.driver: str | None = None
        self.driver_beat: float | None = None
        self.created = self.updated = time.time()
        self.trials: list[KeptRun] = []
        self.running: dict[int, KeptRun] = {}
        self.waiting: set[int] = set()  # trials to be handed out, or to go on
        self.changed: list[Sequence[int]] = []
        self.reported: list[Sequence[tuple[int, int]]] = []
        self.last_report = 0  # the revision of the last one
        self.turn = threading.Lock()

    def aim(self, goals: Sequence[Goal]) -> None:
        """Take these goals; there are no trials yet."""
        self.goals = tuple(goals)
        self.goal = self.goals[0] if len(self.goals) == 1 else None

    def bump(self, now: float, changed: Sequence[int], reported: Sequence[tuple[int, int]] = ()) -> None:
        """Count a revision and what it brought."""
        for number in changed:
            (self.waiting.add if self.trials[number].phase in _WAITING else self.waiting.discard)(number)
        self.changed.append(changed)
        self.reported.append(reported)
        if reported:
            self.last_report = len(self.changed)
        self.updated = now

    def trial(self, number: int) -> KeptRun:
        """Return a trial, or raise NotFound."""
        if not 0 <= number < len(self.trials):
            raise rules.no_trial(self.name, number, len(self.trials))
        return self.trials[number]

    def crown(self, run: KeptRun) -> None:
        """Make a complete trial the best, if it is."""
        if self.goal is None or run.values is None:
            return
        best = self.best
        number = None if best is None else best.number
        if rules.beats(self.goal, run.values[0], cast(int, run.number), self.best_value, number):
            if best is not None:
                best.best = False
            run.best = True
            self.best, self.best_value = run, run.values[0]

    def as_sweep(self) -> Sweep:
        """Return the sweep as a value."""
        return Sweep(
            id=self.id,
            project=self.project,
            name=self.name,
            config=self.config,
            goals=self.goals,
            state=self.state,
            cap=self.cap,
            next_number=len(self.trials),
            revision=len(self.changed),
            version=self.version,
            best_run=self.best.id if self.best else None,
            best_value=self.best_value,
            driver=self.driver,
            created=self.created,
            updated=self.updated,
        )


class World:
    """All there is, and the one lock that every verb holds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.sweeps: dict[str, KeptSweep] = {}
        self.runs: dict[str, KeptRun] = {}
        self.answers: dict[str | None, Any] = {}
        """To what was asked for with a key; as long as the store itself."""

    def keep(self, once: str | None, answer: object) -> None:
        """Keep an answer by its key, if there is one."""
        if once is not None:
            self.answers[once] = answer

    def sweep(self, id: str) -> KeptSweep:
        """Return a sweep, or raise NotFound."""
        try:
            return self.sweeps[id]
        except KeyError:
            known = [text for s in self.sweeps.values() for text in (s.id, s.name)]
            raise rules.not_found("sweep", id, known[-200:]) from None

    def run(self, id: str) -> KeptRun:
        """Return a run, or raise NotFound."""
        try:
            return self.runs[id]
        except KeyError:
            known = [text for r in self.runs.values() for text in (r.id, r.name)]
            raise rules.not_found("run", id, known[-200:]) from None
