"""Runs as the user sees them, in SQL."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from whet.store import codec, rules
from whet.store.base import (
    Artifact,
    Batch,
    Curve,
    GroupQuery,
    Groups,
    Line,
    NewRun,
    Page,
    Run,
    RunQuery,
    Runs,
    TableQuery,
)
from whet.store.codec import dump, dump_stats, load, load_stats, pack, text, unpack
from whet.store.database import Database, Statement, Transaction
from whet.store.lines import check_lines, to_lines
from whet.store.rows import ADD_PROJECT, ADD_RUN, NEW_RUN, PHASES, RUNS, tag_begins, to_run, upsert
from whet.store.schema import artifacts, chunks, metas, runs, sources
from whet.store.stats import merge
from whet.store.table import Division, Place, Question, group_of, to_row
from whet.store.table_sql import NAMES, by_key, groups, names_of, statement
from whet.trial import Phase

__all__ = ["SqlRuns", "curves_of"]

_ID = runs.c.id == bindparam("run")
_GET = Statement(RUNS.where(_ID))
_BY_NAME = Statement(RUNS.where(runs.c.name == bindparam("text")).order_by(runs.c.key.desc()))
_BY_BEGINNING = Statement(
    RUNS.where(func.substr(runs.c.id, 1, bindparam("length")) == bindparam("text")).order_by(runs.c.key.desc())
)
_KNOWN = Statement(select(runs.c.id, runs.c.name).order_by(runs.c.key.desc()).limit(100))
_PROJECTS = Statement(select(runs.c.project, func.count()).group_by(runs.c.project).order_by(runs.c.project))
_ATTEMPT = Statement(select(runs.c.attempt).where(_ID))
_STORY = Statement(select(runs.c.attempt, runs.c.stats, runs.c.config, runs.c.summary).where(_ID).with_for_update())
_SET_STORY = Statement(
    update(runs)
    .where(_ID)
    .values(
        stats=bindparam("new_stats"),
        config=bindparam("new_config"),
        summary=bindparam("new_summary"),
        beat=bindparam("now"),
    )
)
_OFFSET = Statement(
    select(sources.c.offset).where(sources.c.run == bindparam("run"), sources.c.source == bindparam("source"))
)
_SET_OFFSET = upsert(sources, "run", "source")
_META = Statement(select(metas.c.meta).where(metas.c.run == bindparam("run")))
_SET_META = upsert(metas, "run")
_ADD_CHUNK = Statement(
    insert(chunks).values({n: bindparam(n, type_=chunks.c[n].type) for n in ("run", "payload")}).inline()
)
_CHUNKS = Statement(select(chunks.c.payload).where(chunks.c.run == bindparam("run")).order_by(chunks.c.key))
_ADD_ARTIFACT = upsert(artifacts, "run", "name")
_ARTIFACTS = Statement(
    select(artifacts.c.name, artifacts.c.kind, artifacts.c.path, artifacts.c.size, artifacts.c.sha256)
    .where(artifacts.c.run == bindparam("run"))
    .order_by(artifacts.c.name)
)
_LOCK = Statement(select(runs.c.phase, runs.c.sweep).where(_ID).with_for_update())
_FINISH = Statement(
    update(runs).where(_ID).values(phase=bindparam("to"), reason=bindparam("why"), ended=bindparam("now"))
)
_ENDED_LATER = Statement(
    update(runs)
    .where(_ID, runs.c.ended < bindparam("then", type_=runs.c.ended.type))
    .values(ended=bindparam("then", type_=runs.c.ended.type))
)
_EDIT = Statement(
    update(runs)
    .where(_ID)
    .values(
        {
            name: func.coalesce(bindparam(f"new_{name}", type_=runs.c[name].type), runs.c[name])
            for name in ("name", "tags", "notes", "group")
        }
    )
)
_TAGS = Statement(select(runs.c.tags).where(_ID).with_for_update())
_SET_TAGS = Statement(update(runs).where(_ID).values(tags=bindparam("new_tags")))
_DELETE = Statement(delete(runs).where(_ID))


@final
class SqlRuns(Runs):
    """Runs in a database."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._postgres = database.dialect.name == "postgresql"

    def create(self, run: NewRun) -> Run:
        rules.check_run_id(run.id)
        rules.check_time("started", run.started)
        with self._db.write() as tx:
            row = tx.row(_GET, run=run.id)
            if row is not None:
                return to_run(row)
            now, project = time.time(), text(run.project)
            tx.run(ADD_PROJECT, name=project, created=now)
            known = {
                "id": run.id,
                "project": project,
                "name": text(run.name),
                "phase": Phase.RUNNING.value,
                "config": dump(run.config),
                "parent": None if run.parent is None else text(run.parent),
                "owner": text(run.owner),
                "group": text(run.group),
                "tags": _tags(run.tags),
                "notes": text(run.notes),
                "folder": text(run.folder),
                **dict.fromkeys(("created", "beat"), now),
                "started": now if run.started is None else run.started,
            }
            tx.run(ADD_RUN, **{**NEW_RUN, **known})
            return _read(tx, run.id)

    def get(self, id: str) -> Run:
        rows = self._db.once(_GET, run=id)
        if not rows:
            with self._db.read() as tx:
                raise _no_run(tx, id)
        return to_run(rows[0])

    def find(self, text: str, project: str | None = None) -> Run:
        text = codec.text(text)
        with self._db.read() as tx:
            ways: list[tuple[Statement, dict[str, object]]] = [(_GET, {"run": text}), (_BY_NAME, {"text": text})]
            if text:
                ways.append((_BY_BEGINNING, {"text": text, "length": len(text)}))
            for how, values in ways:
                found = [
                    run for run in map(to_run, tx.rows(how, **values)) if project is None or run.project == project
                ]
                if found and (how is not _BY_BEGINNING or len(found) == 1):  # of one name the newest
                    return found[0]
                if found:
                    raise rules.ambiguous("run", text, [run.id for run in found])
            raise _no_run(tx, text)

    def select(self, query: RunQuery = RunQuery()) -> list[Run]:  # noqa: B008 - frozen
        rules.check_most(query.limit)
        wanted = RUNS.order_by(runs.c.key.desc() if query.newest_first else runs.c.key).limit(query.limit)
        for column, value in (
            (runs.c.project, query.project),
            (runs.c.sweep, query.sweep),
            (runs.c.group, query.group),
        ):
            if value is not None:
                wanted = wanted.where(column == text(value))
        if query.phases:
            wanted = wanted.where(runs.c.phase.in_([phase.value for phase in query.phases]))
        if query.ids is not None:
            wanted = wanted.where(runs.c.id.in_(sorted(set(query.ids))))
        there = wanted
        if query.tag is not None:
            begins = tag_begins(query.tag)
            wanted = wanted.where(or_(*(func.instr(runs.c.tags, begin) > 0 for begin in begins)))
            there = there.where(or_(*(func.strpos(runs.c.tags, begin) > 0 for begin in begins)))
        return [to_run(row) for row in self._db.once(Statement(wanted, postgresql=there))]

    def table(self, query: TableQuery = TableQuery()) -> Page:  # noqa: B008 - frozen
        question = Question.of(query, time.time())
        asked, values = statement(question, postgres=self._postgres)
        with self._db.read() as tx:
            found = tx.rows(asked, **values)
            if not found and (question.after is not None or query.offset):  # nobody there to say how many there are
                first = replace(question, after=None, query=replace(query, offset=0))
                asked, values = statement(first, postgres=self._postgres)
                total = next((row[0] for row in tx.rows(asked, **values)), 0)
            else:
                total = found[0][0] if found else 0
            more, found = len(found) > query.limit, found[: query.limit]
            keys = [row[1] for row in found]
            raw, binds = by_key(keys)
            rows = {row[0]: row[1:] for row in tx.rows(raw, **binds)} if keys else {}
        cursor = None
        if more:
            _, key, rank, *places = found[-1]
            cursor = question.cursor(Place(rank, next((value for value in places if value is not None), None), key))
        runs = (to_run([*rows[key], None]) for key in keys)
        return Page(rows=tuple(to_row(run, question.columns) for run in runs), total=total, cursor=cursor)

    def groups(self, query: GroupQuery) -> Groups:
        asked, values = groups(Division.read(query, time.time()), postgres=self._postgres)
        rows = self._db.once(asked, **values)
        width = 2 if self._postgres else 1
        found = (
            (next((one for one in row[1 : 1 + width] if one is not None), None), *row[1 + width :]) for row in rows
        )
        return Groups(groups=tuple(group_of(*row) for row in found), total=rows[0][0] if rows else 0)

    def columns(self, project: str | None = None, sweep: str | None = None) -> Mapping[str, list[str]]:
        names: dict[str, list[str]] = {}
        for place, kept in NAMES.items():
            found: set[str] = set()
            for column in kept:
                asked, values = names_of(column, project, sweep, postgres=self._postgres)
                found.update(name for (name,) in self._db.once(asked, **values))
            names[place] = sorted(found)
        return names

    def mark(self) -> str:
        return self._db.mark()

    def projects(self) -> Mapping[str, int]:
        return {project: count for project, count in self._db.once(_PROJECTS)}  # noqa: C416 - rows of two

    def shipped(self, id: str, attempt: int, source: str) -> int:
        with self._db.read() as tx:
            row = tx.row(_ATTEMPT, run=id)
            if row is None:
                raise _no_run(tx, id)
            rules.check_attempt(f"run {id!r}", attempt, row[0])
            return _offset(tx, id, source)

    def ship(self, id: str, attempt: int, source: str, start: int, end: int, batch: Batch) -> int:
        payload = pack(batch.rows) if batch.rows else None  # before the lock, for it takes a while
        with self._db.write() as tx:
            row = tx.row(_STORY, run=id)
            if row is None:
                raise _no_run(tx, id)
            now_attempt, stats, config, summary = row
            rules.check_attempt(f"run {id!r}", attempt, now_attempt)
            offset = _offset(tx, id, source)
            if start != offset:
                return offset
            tx.run(_SET_OFFSET, run=id, source=text(source), offset=end)
            if payload is not None:
                tx.run(_ADD_CHUNK, run=id, payload=payload)
                stats = dump_stats(merge(load_stats(stats), batch.rows))
            if batch.meta:
                kept = tx.row(_META, run=id)
                tx.run(_SET_META, run=id, meta=_merged(kept[0] if kept else "{}", batch.meta))
            tx.run_many(_ADD_ARTIFACT, [_artifact(id, artifact) for artifact in batch.artifacts])
            config, summary = _merged(config, batch.config), _merged(summary, batch.summary)
            tx.run(_SET_STORY, run=id, new_stats=stats, new_config=config, new_summary=summary, now=time.time())
        return end

    def metrics(self, id: str, names: Collection[str] | None = None) -> dict[str, Curve]:
        rows = self._db.once(_CHUNKS, run=id)
        if not rows:
            self.get(id)
        return curves_of(rows, None if names is None else frozenset(names))

    def curves(
        self, ids: Collection[str], names: Collection[str] | None = None, *, max_points: int = 500, x: str = "step"
    ) -> dict[str, dict[str, Line]]:
        check_lines(max_points, x)
        wanted = None if names is None else frozenset(names)
        drawn = {}
        with self._db.read() as tx:
            for id in dict.fromkeys(ids):
                rows = tx.rows(_CHUNKS, run=id)
                if rows or tx.row(_ATTEMPT, run=id) is not None:
                    drawn[id] = to_lines(curves_of(rows, wanted), max_points, x)
        return drawn

    def artifacts(self, id: str) -> list[Artifact]:
        rows = self._db.once(_ARTIFACTS, run=id)
        if not rows:
            self.get(id)
        return [Artifact(name=n, kind=k, path=p, size=s, sha256=h) for n, k, p, s, h in rows]

    def finish(self, id: str, phase: Phase, reason: str = "", *, ended: float | None = None) -> None:
        rules.check_time("ended", ended)
        with self._db.write() as tx:
            now, sweep = _locked(tx, id)
            rules.check_run_edit(id, sweep, "ended")
            if rules.check_finish(id, PHASES[now], phase):
                tx.run(_FINISH, run=id, to=phase.value, why=text(reason), now=time.time() if ended is None else ended)
            elif ended is not None:
                tx.run(_ENDED_LATER, run=id, then=ended)

    def reopen(self, id: str) -> None:
        with self._db.write() as tx:
            now, sweep = _locked(tx, id)
            rules.check_run_edit(id, sweep, "reopened")
            if PHASES[now].is_over:
                tx.run(_FINISH, run=id, to=Phase.RUNNING.value, why="", now=None)

    def edit(
        self,
        id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        group: str | None = None,
    ) -> Run:
        with self._db.write() as tx:
            tx.run(
                _EDIT,
                run=id,
                new_name=None if name is None else text(name),
                new_tags=None if tags is None else _tags(tags),
                new_notes=None if notes is None else text(notes),
                new_group=None if group is None else text(group),
            )
            return _read(tx, id)

    def tag(self, ids: Collection[str], *, add: Collection[str] = (), remove: Collection[str] = ()) -> int:
        changed = []
        with self._db.write() as tx:
            for id in sorted(set(ids)):
                row = tx.row(_TAGS, run=id)
                if row is None:
                    raise _no_run(tx, id)
                tags = _tags(rules.tagged(load(row[0]), add, remove))
                if tags != row[0]:
                    changed.append({"run": id, "new_tags": tags})
            tx.run_many(_SET_TAGS, changed)
        return len(changed)

    def delete(self, ids: Collection[str]) -> int:
        unique = sorted(set(ids))  # in order, lest two that delete the same ones wait for each other
        with self._db.write() as tx:
            for id in unique:
                phase, sweep = _locked(tx, id)
                rules.check_run_edit(id, sweep, "deleted")
                rules.check_ended(id, PHASES[phase])
            tx.run_many(_DELETE, [{"run": id} for id in unique])
        return len(unique)


def _no_run(tx: Transaction, id: str) -> Exception:
    return rules.not_found("run", id, [known for row in tx.rows(_KNOWN) for known in row])


def _read(tx: Transaction, id: str) -> Run:
    row = tx.row(_GET, run=id)
    if row is None:
        raise _no_run(tx, id)
    return to_run(row)


def _locked(tx: Transaction, id: str) -> tuple[Any, ...]:
    row = tx.row(_LOCK, run=id)
    if row is None:
        raise _no_run(tx, id)
    return row


def curves_of(rows: Sequence[tuple[Any, ...]], wanted: Collection[str] | None = None) -> dict[str, Curve]:
    """Return the curves of a run's chunks, by name."""
    curves: dict[str, Curve] = {}
    for (payload,) in rows:
        for name, (steps, values, times) in unpack(payload, wanted).items():
            curve = curves.setdefault(name, Curve(steps=[], values=[], times=[]))
            curve.steps.extend(steps)
            curve.values.extend(values)
            curve.times.extend(times)
    return dict(sorted(curves.items()))


def _offset(tx: Transaction, id: str, source: str) -> int:
    row = tx.row(_OFFSET, run=id, source=text(source))
    return int(row[0]) if row else 0


def _merged(kept: str, more: Mapping[str, object]) -> str:
    return dump({**load(kept), **more}) if more else kept


def _tags(tags: Sequence[str]) -> str:
    return dump(list(dict.fromkeys(text(tag) for tag in tags)))


def _artifact(run: str, a: Artifact) -> dict[str, object]:
    return {
        "run": run,
        "name": text(a.name),
        "kind": text(a.kind),
        "path": text(a.path),
        "size": a.size,
        "sha256": text(a.sha256),
    }
