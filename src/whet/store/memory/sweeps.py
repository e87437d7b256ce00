"""The stored searches, in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import cast, final

from whet.store import codec, rules
from whet.store.base import Sweep, Sweeps, SweepState
from whet.store.codec import text
from whet.store.ids import new_id
from whet.store.memory.world import KeptSweep, World
from whet.trial import Goal, Phase

__all__ = ["MemorySweeps"]


@final
class MemorySweeps(Sweeps):
    """Sweeps in memory."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create(
        self,
        project: str,
        config: Mapping[str, object],
        *,
        goals: Sequence[Goal],
        name: str | None = None,
        cap: int | None = None,
        once: str | None = None,
    ) -> Sweep:
        id = new_id()
        project, name = text(project), text(name) if name is not None else id
        with self._world.lock:
            if (there := self._world.answers.get(once)) is not None:
                return self._world.sweep(there).as_sweep()
            if any(s.project == project and s.name == name for s in self._world.sweeps.values()):
                raise rules.name_taken(project, name)
            sweep = self._world.sweeps[id] = KeptSweep(id, project, name, dict(config), tuple(goals))
            sweep.cap = cap
            self._world.keep(once, id)
            return sweep.as_sweep()

    def get(self, id: str) -> Sweep:
        with self._world.lock:
            return self._world.sweep(id).as_sweep()

    def find(self, text: str, project: str | None = None) -> Sweep:
        text = codec.text(text)
        with self._world.lock:
            known = [s for s in self._world.sweeps.values() if project is None or s.project == project]
            for found in (
                [s for s in known if s.id == text],
                [s for s in known if s.name == text],
                [s for s in known if text and s.id.startswith(text)],
            ):
                if len(found) > 1:
                    raise rules.ambiguous("sweep", text, [s.id for s in found])
                if found:
                    return found[0].as_sweep()
            raise rules.not_found("sweep", text, [name for s in known[-100:] for name in (s.id, s.name)])

    def all(self, project: str | None = None) -> list[Sweep]:
        with self._world.lock:
            found = [s.as_sweep() for s in self._world.sweeps.values() if project is None or s.project == project]
        return found[::-1]

    def gains(self, ids: Collection[str]) -> Mapping[str, list[tuple[int, float]]]:
        found: dict[str, list[tuple[int, float]]] = {}
        with self._world.lock:
            for sweep in (self._world.sweeps[id] for id in sorted(set(ids)) if id in self._world.sweeps):
                least = math.inf
                for trial in (run.as_trial() for run in sweep.trials):
                    if not trial.complete or trial.values is None or not math.isfinite(trial.values[0]):
                        continue
                    if (loss := sweep.goals[0].loss(trial.values[0])) < least:
                        least = loss
                        found.setdefault(sweep.id, []).append((trial.number, trial.values[0]))
        return found

    def move(self, id: str, to: SweepState, *, revision: int | None = None, version: int | None = None) -> Sweep:
        now = time.time()
        with self._world.lock:
            sweep = self._world.sweep(id)
            rules.check_unchanged(sweep.name, revision, version, len(sweep.changed), sweep.version)
            if not rules.check_move(sweep.name, sweep.state, to):
                return sweep.as_sweep()
            sweep.state, sweep.updated = to, now
            if to is SweepState.CANCELED:
                waiting = [run for run in sweep.trials if run.phase in (Phase.PENDING, Phase.PAUSED)]
                for run in waiting:
                    run.phase, run.reason, run.ended = Phase.CANCELED, rules.CANCELED, now
                    run.over = len(sweep.changed) + 1
                if waiting:
                    sweep.bump(now, [cast(int, run.number) for run in waiting])
            return sweep.as_sweep()

    def edit(
        self,
        id: str,
        *,
        version: int,
        config: Mapping[str, object] | None = None,
        goals: Sequence[Goal] | None = None,
        cap: int | None = None,
    ) -> Sweep:
        with self._world.lock:
            sweep = self._world.sweep(id)
            rules.check_version(sweep.name, version, sweep.version)
            if cap is not None:
                rules.check_cap(sweep.name, cap, len(sweep.trials))
            if goals is not None:
                rules.check_goals(sweep.name, goals, sweep.goals, len(sweep.trials))
                sweep.aim(goals)
            if cap is not None:
                sweep.cap = cap
            if config is not None:
                if not rules.searches_alike(sweep.config, config):
                    sweep.former[sweep.version] = sweep.config
                sweep.config = dict(config)
            sweep.version += 1
            sweep.updated = time.time()
            return sweep.as_sweep()

    def former(self, id: str) -> Mapping[int, Mapping[str, object]]:
        with self._world.lock:
            return dict(self._world.sweep(id).former)

    def drive(self, id: str, owner: str, *, silent_s: float) -> None:
        owner = text(owner)
        now = time.time()
        with self._world.lock:
            sweep = self._world.sweep(id)
            rules.check_driver(sweep.name, sweep.driver, owner, sweep.driver_beat, now, silent_s)
            sweep.driver, sweep.driver_beat = owner, now

    def release(self, id: str, owner: str) -> None:
        owner = text(owner)
        with self._world.lock:
            sweep = self._world.sweeps.get(id)
            if sweep is not None and sweep.driver == owner:
                sweep.driver = sweep.driver_beat = None

    def delete(self, id: str) -> None:
        with self._world.lock:
            for run in self._world.sweep(id).trials:
                del self._world.runs[run.id]
            del self._world.sweeps[id]
