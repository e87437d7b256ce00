"""A store filled with whatever may lie in one, and all that its verbs tell of it: for comparing two stores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from whet.store.base import Artifact, Batch, NewRun, Row, RunQuery, Store, SweepState
from whet.trial import Goal, Phase, Report, Suggestion, Trial

__all__ = ["everything", "fill"]

_NUMBERS = (0.0, -0.0, 1.5, -2.0, 1e300, 5e-324, math.inf, -math.inf)
_RESULTS = tuple(x for x in _NUMBERS if math.copysign(1, x) > 0 or x)  # SQLite's columns of numbers make 0 of -0
_TEXTS = ("", "plain", "zwölf Käse", "日本", "a\nb", 'quo"te\\', "\x7f", "😀 ", "%s", "../x", "[1]", "a,b")
_OWNER = "elsewhere|1|1.0"


def _mapping(random: Random, depth: int = 0) -> dict[str, object]:
    keys = random.sample(("lr", "ä", "a.b", "x y", "0", "opt"), random.randrange(4))
    return {key: _value(random, depth) for key in keys}


def _value(random: Random, depth: int) -> object:
    kind = random.randrange(8 if depth < 2 else 6)
    if kind == 6:
        return [_value(random, depth + 1) for _ in range(random.randrange(3))]
    if kind == 7:
        return _mapping(random, depth + 1)
    simple = (None, random.random() < 0.5, random.randrange(-9, 10**12), random.choice(_TEXTS), math.nan)
    return (*simple, random.choice(_NUMBERS))[kind]


def _ship(store: Store, random: Random, run: str, attempt: int) -> None:
    """Ship some batches, of rows that don't all have the same metrics."""
    for source in random.sample(("spool", "tb/events", "ärger.csv"), random.randrange(3)):
        offset = store.runs.shipped(run, attempt, source)
        for _ in range(random.randrange(4)):
            names = random.sample(("loss", "acc", "system/cpu", "ü"), random.randrange(1, 4))
            rows = [
                Row(
                    step=random.choice((i, -i, 2**62)),
                    time=1000.0 + i,
                    values={n: random.choice((*_NUMBERS, math.nan)) for n in names if random.random() < 0.8},
                )
                for i in range(random.randrange(6))
            ]
            kept = [
                Artifact(
                    name=random.choice(_TEXTS), kind="model", path="/" + random.choice(_TEXTS), size=3, sha256="ab"
                )
                for _ in range(random.randrange(2))
            ]
            batch = Batch(
                rows=rows, config=_mapping(random), summary=_mapping(random), meta=_mapping(random), artifacts=kept
            )
            offset = store.runs.ship(run, attempt, source, offset, offset + random.randrange(1, 9), batch)


def _trial(store: Store, random: Random, sweep: str, number: int, num_goals: int) -> None:
    """Hand out a trial and let something happen to it."""
    now = store.sweeps.get(sweep)
    asked = random.choice((None, "question"))
    parent = random.randrange(number) if number and random.random() < 0.3 else None
    suggestion = Suggestion(params=_mapping(random), note=random.choice(_TEXTS), parent=parent)
    if random.random() < 0.2:
        store.trials.enqueue(sweep, _mapping(random), attrs=_mapping(random))
        if random.random() < 0.5:
            return
        run, attempt = store.trials.claim(sweep, number, owner=_OWNER)
    else:
        version = now.version if random.random() < 0.8 else None
        run = store.trials.add(sweep, number, suggestion, owner=_OWNER, seen=now.revision, version=version, asked=asked)
        attempt = 0
    for _ in range(random.randrange(3)):
        _ship(store, random, run, attempt)
        steps = random.sample((-1, 0, 1, 2, 2**40), random.randrange(4))
        reports = [Report(step=s, values=tuple(random.choice(_NUMBERS) for _ in range(num_goals))) for s in steps]
        store.trials.report(sweep, number, attempt, reports)
        step = random.randrange(6)
        if step == 0:
            store.trials.requeue(sweep, number, attempt, random.choice(_TEXTS), lost=random.random() < 0.5)
            run, attempt = store.trials.claim(sweep, number, owner=_OWNER)
        elif step == 1:
            store.trials.tell(sweep, number, attempt, phase=Phase.PAUSED, reason=random.choice(_TEXTS))
            if random.random() < 0.3:
                return
            run, attempt = store.trials.claim(sweep, number, owner=_OWNER)
        elif step == 2:
            store.trials.annotate(sweep, number, params=_mapping(random), attrs=_mapping(random))
    end = random.choice((None, Phase.FAILED, Phase.CANCELED, *[Phase.FINISHED] * 4))
    if end is not None:
        stopped = end is Phase.FINISHED and random.random() < 0.3
        values = tuple(random.choice(_RESULTS) for _ in range(num_goals)) if end is Phase.FINISHED else None
        store.trials.tell(
            sweep, number, attempt, phase=end, values=values, stopped=stopped, reason=random.choice(_TEXTS),
            attrs=_mapping(random),
        )  # fmt: skip


def _sweep(store: Store, random: Random, name: str) -> None:
    goals = random.choice(((Goal.MINIMIZE,), (Goal.MAXIMIZE,), (Goal.MINIMIZE, Goal.MAXIMIZE)))
    project = random.choice(("p", "q ü"))
    cap = random.choice((None, 30))
    sweep = store.sweeps.create(project, _mapping(random), goals=goals, name=name, cap=cap)
    for number in range(random.randrange(7)):
        _trial(store, random, sweep.id, number, len(goals))
        if random.random() < 0.2:
            store.sweeps.edit(sweep.id, version=store.sweeps.get(sweep.id).version, config=_mapping(random))
    if random.random() < 0.3:
        result = tuple(float(i) for i, _ in enumerate(goals))
        there = Trial(
            number=5, params={"x": 1}, phase=Phase.FINISHED, values=result, reports=(Report(step=1, values=result),)
        )
        store.trials.extend(sweep.id, [there, Trial(number=6, params={}, phase=Phase.FAILED, parent=5)])
    if random.random() < 0.3:
        store.sweeps.drive(sweep.id, _OWNER, silent_s=60)
    if (to := random.choice((None, None, *SweepState))) in (
        SweepState.PAUSED,
        SweepState.FINISHED,
        SweepState.CANCELED,
    ):
        store.sweeps.move(sweep.id, to)


def fill(store: Store, random: Random, *, prefix: str = "") -> None:
    """Put sweeps and runs of all kinds into the store; the same `random` puts in the same, but for ids and times.

    Args:
        prefix: Before the names and ids that are chosen here, so that a store may be filled twice.
    """
    for n in range(random.randrange(4)):
        _sweep(store, random, f"{prefix}s{n}")
        if random.random() < 0.6:
            _lone(store, random, f"{prefix}run{n}")
    _lone(store, random, f"{prefix}last")


def _lone(store: Store, random: Random, id: str) -> None:
    tags = tuple(random.sample(_TEXTS, 2))
    run = NewRun(
        id=id, project=random.choice(("p", "r")), name=random.choice(_TEXTS), owner=_OWNER, config=_mapping(random),
        group=random.choice(_TEXTS), tags=tags, notes=random.choice(_TEXTS), folder="/f",
    )  # fmt: skip
    store.runs.create(run)
    _ship(store, random, id, 0)
    if random.random() < 0.7:
        store.runs.finish(id, random.choice((Phase.FINISHED, Phase.FAILED, Phase.CANCELED)), random.choice(_TEXTS))


def everything(store: Store, project: str | None = None) -> Mapping[str, Any]:
    """Return all that the verbs tell of a store, or of one project, so that two can be compared (by `repr`, for NaN's sake)."""
    sweeps = store.sweeps.all(project)
    runs = store.runs.select(RunQuery(project=project))
    return {
        "projects": {name: n for name, n in store.runs.projects().items() if project in (None, name)},
        "sweeps": sweeps,
        "changes": [store.trials.changes(sweep.id) for sweep in sweeps],
        "later": [store.trials.changes(sweep.id, since) for sweep in sweeps for since in range(0, sweep.revision, 3)],
        "origins": [store.trials.origins(sweep.id) for sweep in sweeps],
        "leases": [store.trials.leases(sweep.id) for sweep in sweeps],
        "former": [store.sweeps.former(sweep.id) for sweep in sweeps],
        "runs": runs,
        "of sweeps": [store.runs.select(RunQuery(sweep=sweep.id, newest_first=False)) for sweep in sweeps],
        "by name": [store.runs.find(run.name, run.project) for run in runs if run.name],
        "metrics": [store.runs.metrics(run.id) for run in runs],
        "columns": store.runs.columns(project),
        "curves": store.runs.curves([run.id for run in runs], max_points=8, x="time"),
        "artifacts": [store.runs.artifacts(run.id) for run in runs],
        "offsets": [
            store.runs.shipped(run.id, run.attempt, source)
            for run in runs
            for source in ("spool", "tb/events", "ärger.csv")
        ],
    }
