"""Runs and sweeps as they are shown: states in words, results by metric, and the JSON shapes of ``--json``.

A run is ``{id, name, project, sweep, number, state, stopped_early, best, values, params, config, metrics, summary, reason, note,
attempt, group, tags, notes, created, started, ended, seconds}``: `values` are the sweep's metrics by name (null without a result),
`metrics` hold ``{last, last_step, min, min_step, max, max_step, count}`` each, times are seconds since the epoch.

A sweep is ``{id, name, project, state, method, metrics: [{name, goal}], num_trials, cap, best_run, best_value, created, updated}``,
and `limits` as in its file where it has some.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from whet.store import owner
from whet.trial import Phase

if TYPE_CHECKING:
    from whet.store.base import Run, Sweep, TableRow

__all__ = [
    "SYSTEM",
    "State",
    "approach_of",
    "teams_of",
    "titled",
    "is_lost",
    "kept_state",
    "logged",
    "method_of",
    "metrics_of",
    "run_as_json",
    "seconds_of",
    "state_of",
    "state_word",
    "sweep_as_json",
    "values_of",
]

State = Literal["pending", "running", "paused", "finished", "stopped", "failed", "canceled", "lost"]
SYSTEM = "system/"
"""Metrics of the machine, which are not the user's."""
_OWN = frozenset({"name", "seed", "run_cap", "attrs", "description", "project"})


def metrics_of(sweep: Sweep) -> list[str]:
    """Return the names of what the sweep optimises, in the order of its goals."""
    config: Mapping[str, Any] = sweep.config
    listed = config.get("metrics") or config.get("metric") or ()
    each = listed if isinstance(listed, (list, tuple)) else [listed]
    names = [str(m.get("name", "") if isinstance(m, Mapping) else m) for m in each]
    return names if len(names) == len(sweep.goals) else [f"value_{i}" for i in range(len(sweep.goals))]


def method_of(sweep: Sweep) -> str:
    """Return the name of the sweep's method."""
    method: Any = sweep.config.get("method", "bayes")
    return str(method.get("name", "") if isinstance(method, Mapping) else method)


def approach_of(sweep: Sweep) -> str:
    """Return in words how the sweep searches: its method and its stopper, each with its knobs."""
    method, stopper = sweep.config.get("method", "bayes"), sweep.config.get("early_terminate")
    return " + ".join(_plugin(one, key) for one, key in ((method, "name"), (stopper, "type")) if one)


def titled(sweeps: Iterable[Sweep]) -> dict[str, Sweep]:
    """Return sweeps by what they are called beside each other: their names, with the id where two have the same."""
    each = list(sweeps)
    count = Counter(sweep.name for sweep in each)
    return {one.name if count[one.name] == 1 else f"{one.name} ({one.id})": one for one in each}


def teams_of(sweeps: Mapping[str, Sweep]) -> dict[str, str]:
    """Return for each sweep, by its title, the team that it is of: equal for those that differ in nothing but name, seed, cap and notes."""
    kinds: dict[str, str] = {}
    met: Counter[str] = Counter()
    found = {}
    for title, sweep in sweeps.items():
        kind = json.dumps({k: v for k, v in sweep.config.items() if k not in _OWN}, sort_keys=True, default=str)
        if kind not in kinds:
            name = approach_of(sweep)
            met[name] += 1
            kinds[kind] = name if met[name] == 1 else f"{name} (setup {met[name]})"
        found[title] = kinds[kind]
    return found


def _plugin(given: Any, key: str) -> str:
    if not isinstance(given, Mapping):
        return str(given)
    knobs = ", ".join(f"{name}: {value}" for name, value in sorted(given.items()) if name != key)
    return f"{given.get(key, '')} ({knobs})" if knobs else str(given.get(key, ""))


def is_lost(run: Run | TableRow) -> bool:
    """Return whether the run is called running, but its process on this machine is gone."""
    return run.phase is Phase.RUNNING and owner.alive(run.owner) is False


def state_word(run: Run | TableRow) -> State:
    """Return the run's state in a word: its phase, ``stopped`` where it was finished early, ``lost`` where its process is gone."""
    return "lost" if is_lost(run) else kept_state(run)


def kept_state(run: Run | TableRow) -> State:
    """Return the state as every reader of the store sees it, wherever the process was."""
    return "stopped" if run.stopped and run.phase is Phase.FINISHED else run.phase.value


def state_of(run: Run) -> str:
    """Return the run's state as people read it."""
    word = state_word(run)
    return "stopped early" if word == "stopped" else word


def seconds_of(run: Run) -> float | None:
    """Return how long the run took, or None while it is not over."""
    return None if run.started is None or run.ended is None else run.ended - run.started


def logged(run: Run) -> dict[str, float]:
    """Return the run's metrics at the end: the last logged values, and what its summary overrides."""
    found = {name: stat.last for name, stat in run.stats.items() if not name.startswith(SYSTEM)}
    own = {n: v for n, v in run.summary.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    return found | own


def values_of(run: Run, sweep: Sweep | None) -> dict[str, float] | None:
    """Return the run's result by the name of the sweep's metrics, or None."""
    if run.values is None or sweep is None:
        return None
    return dict(zip(metrics_of(sweep), run.values, strict=False))


def run_as_json(run: Run, sweep: Sweep | None) -> dict[str, object]:
    """Return the run's JSON shape."""
    return {
        "id": run.id,
        "name": run.name,
        "project": run.project,
        "sweep": run.sweep,
        "number": run.number,
        "state": "lost" if is_lost(run) else run.phase.value,
        "stopped_early": run.stopped,
        "best": run.best,
        "values": values_of(run, sweep),
        "params": run.params,
        "config": run.config,
        "metrics": {name: dataclasses.asdict(stat) for name, stat in run.stats.items()},
        "summary": run.summary,
        "reason": run.reason,
        "note": run.note,
        "attempt": run.attempt,
        "group": run.group,
        "tags": run.tags,
        "notes": run.notes,
        "created": run.created,
        "started": run.started,
        "ended": run.ended,
        "seconds": seconds_of(run),
    }


def sweep_as_json(sweep: Sweep) -> dict[str, object]:
    """Return the sweep's JSON shape."""
    return {
        "id": sweep.id,
        "name": sweep.name,
        "project": sweep.project,
        "state": sweep.state.value,
        "method": method_of(sweep),
        "metrics": [
            {"name": name, "goal": goal.value} for name, goal in zip(metrics_of(sweep), sweep.goals, strict=True)
        ],
        **({"limits": sweep.config["limits"]} if sweep.config.get("limits") else {}),
        "num_trials": sweep.next_number,
        "cap": sweep.cap,
        "best_run": sweep.best_run,
        "best_value": sweep.best_value,
        "created": sweep.created,
        "updated": sweep.updated,
    }
