"""Rows and values: which columns make a sweep, a trial, a run, and the statements that several facets share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Table, bindparam, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from whet.store.base import Run, Sweep, SweepState
from whet.store.codec import dump, load, load_stats, text
from whet.store.database import Statement
from whet.store.schema import metas, projects, runs, sweeps
from whet.trial import Goal, Phase, Trial

__all__ = [
    "ADD_PROJECT",
    "ADD_RUN",
    "NEW_RUN",
    "PHASES",
    "RUNS",
    "RUN_COLUMNS",
    "STATES",
    "SWEEPS",
    "TRIALS",
    "add_if_new",
    "tag_begins",
    "to_run",
    "to_sweep",
    "to_trial",
    "upsert",
]


def upsert(table: Table, *keys: str) -> Statement:
    """Return the statement that adds a row, or replaces the one with the same `keys`."""
    values = {c.name: bindparam(c.name, type_=c.type) for c in table.c}
    others = [name for name in values if name not in keys]
    here, there = sqlite.insert(table).values(values), postgresql.insert(table).values(values)
    return Statement(
        here.on_conflict_do_update(index_elements=keys, set_={n: here.excluded[n] for n in others}),
        postgresql=there.on_conflict_do_update(index_elements=keys, set_={n: there.excluded[n] for n in others}),
    )


def add_if_new(table: Table) -> Statement:
    """Return the statement that adds a row, unless one with its key is there."""
    values = {c.name: bindparam(c.name, type_=c.type) for c in table.c}
    here, there = sqlite.insert(table).values(values), postgresql.insert(table).values(values)
    return Statement(here.on_conflict_do_nothing(), postgresql=there.on_conflict_do_nothing())


ADD_PROJECT = add_if_new(projects)
ADD_RUN = Statement(insert(runs).values({c.name: bindparam(c.name, type_=c.type) for c in runs.c if c.name != "key"}))

NEW_RUN: Mapping[str, object] = MappingProxyType(
    {
        **dict.fromkeys(("sweep", "number", "values", "parent", "parent_number", "started", "ended", "beat"), None),
        **dict.fromkeys(("revision", "seen", "seen_version", "over", "suggested", "settled", "asked"), None),
        **dict.fromkeys(("reason", "note", "owner", "group", "notes", "folder"), ""),
        **dict.fromkeys(("params", "config", "attrs", "stats", "summary"), "{}"),
        "tags": "[]",
        "stopped": False,
        "best": False,
        "attempt": 0,
        "num_lost": 0,
    }
)
"""A run that nothing is known of yet: what `ADD_RUN` needs, but for id, project, name, phase and created."""

SWEEPS = select(
    *(
        sweeps.c[name]
        for name in (
            *("id", "project", "name", "config", "goals", "state", "cap", "next_number", "revision", "version"),
            *("best_run", "best_value", "driver", "created", "updated"),
        )
    )
)
"""What `to_sweep` wants."""

TRIALS = select(
    *(
        runs.c[name]
        for name in (
            *("number", "params", "phase", "values", "stopped", "reason", "note", "attempt", "parent_number", "attrs"),
            *("started", "ended"),
        )
    )
)
"""What `to_trial` wants."""

RUN_COLUMNS = (
    *("id", "project", "sweep", "number", "name", "phase", "params", "config", "values", "stopped", "best", "reason"),
    *("note", "attempt", "parent", "owner", "group", "tags", "notes", "folder", "attrs", "stats", "summary"),
    *("created", "started", "ended", "beat"),
)
"""What `to_run` wants, but for the last one (meta), which may be long."""

RUNS = select(*(runs.c[name] for name in RUN_COLUMNS), metas.c.meta).select_from(runs.outerjoin(metas))
"""What `to_run` wants."""

STATES: Mapping[str, SweepState] = MappingProxyType({state.value: state for state in SweepState})
PHASES: Mapping[str, Phase] = MappingProxyType({phase.value: phase for phase in Phase})


def tag_begins(tag: str) -> tuple[str, str]:
    """Return what stands before and at a tag in the column of tags, and nowhere else: in compact JSON, ``["a`` and ``,"b``."""
    kept = dump(text(tag))
    return "[" + kept, "," + kept


def _result(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else tuple(load(text))


def to_sweep(row: Sequence[Any]) -> Sweep:
    """Return the sweep of a row of `SWEEPS`."""
    id, project, name, config, goals, state, cap, next_number, revision, version, *rest = row
    best_run, best_value, driver, created, updated = rest
    return Sweep(
        id=id,
        project=project,
        name=name,
        config=load(config),
        goals=tuple(Goal(goal) for goal in load(goals)),
        state=STATES[state],
        cap=cap,
        next_number=next_number,
        revision=revision,
        version=version,
        best_run=best_run,
        best_value=best_value,
        driver=driver,
        created=created,
        updated=updated,
    )


def to_trial(row: Sequence[Any]) -> Trial:
    """Return the trial of a row of `TRIALS`, without reports."""
    number, params, phase, values, stopped, reason, note, attempt, parent, attrs, started, ended = row
    return Trial(
        number=number,
        params=load(params),
        phase=PHASES[phase],
        values=_result(values),
        stopped=bool(stopped),
        reason=reason,
        note=note,
        attempt=attempt,
        parent=parent,
        attrs=load(attrs) if attrs != "{}" else {},
        started=started,
        ended=ended,
    )


def to_run(row: Sequence[Any]) -> Run:
    """Return the run of a row of `RUNS`."""
    id, project, sweep, number, name, phase, params, config, values, stopped, best, reason, *rest = row
    note, attempt, parent, owner, group, tags, notes, folder, attrs, stats, summary, *times, meta = rest
    created, started, ended, beat = times
    suggested = load(params)
    return Run(
        id=id,
        project=project,
        sweep=sweep,
        number=number,
        name=name,
        phase=PHASES[phase],
        params=suggested,
        config={**suggested, **load(config)},
        values=_result(values),
        stopped=bool(stopped),
        best=bool(best),
        reason=reason,
        note=note,
        attempt=attempt,
        parent=parent,
        owner=owner,
        group=group,
        tags=tuple(load(tags)),
        notes=notes,
        folder=folder,
        attrs=load(attrs),
        stats=load_stats(stats),
        summary=load(summary),
        meta=load(meta) if meta else {},
        created=created,
        started=started,
        ended=ended,
        beat=beat,
    )
