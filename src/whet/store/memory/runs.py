"""Runs as the user sees them, in memory."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import final

from whet.filters import matches, scalar
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
from whet.store.codec import text
from whet.store.lines import check_lines, to_lines
from whet.store.memory.world import KeptRun, World
from whet.store.stats import merge
from whet.store.table import LARGEST, Division, Place, Question, group_of, rank, to_row, value_of
from whet.trial import Phase

__all__ = ["MemoryRuns"]

_MARKS = itertools.count()


@final
class MemoryRuns(Runs):
    """Runs in memory."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create(self, run: NewRun) -> Run:
        rules.check_run_id(run.id)
        rules.check_time("started", run.started)
        with self._world.lock:
            old = self._world.runs.get(run.id)
            if old is not None:
                return old.as_run()
            new = self._world.runs[run.id] = KeptRun(
                run.id, text(run.project), text(run.name), Phase.RUNNING, time.time()
            )
            new.config = dict(run.config)
            new.parent = None if run.parent is None else text(run.parent)
            new.owner, new.group = text(run.owner), text(run.group)
            new.tags, new.notes, new.folder = _tags(run.tags), text(run.notes), text(run.folder)
            new.started = new.created if run.started is None else run.started
            new.beat = new.created
            return new.as_run()

    def get(self, id: str) -> Run:
        with self._world.lock:
            return self._world.run(id).as_run()

    def find(self, text: str, project: str | None = None) -> Run:
        text = codec.text(text)
        with self._world.lock:
            known = [r for r in reversed(self._world.runs.values()) if project is None or r.project == project]
            for found, newest in (
                ([r for r in known if r.id == text], True),
                ([r for r in known if r.name == text], True),
                ([r for r in known if text and r.id.startswith(text)], False),
            ):
                if found and (newest or len(found) == 1):
                    return found[0].as_run()
                if found:
                    raise rules.ambiguous("run", text, [r.id for r in found])
            raise rules.not_found("run", text, [name for r in known[:100] for name in (r.id, r.name)])

    def select(self, query: RunQuery = RunQuery()) -> list[Run]:  # noqa: B008 - frozen
        rules.check_most(query.limit)
        with self._world.lock:
            everything = list(self._world.runs.values())
            found = [
                run.as_run()
                for run in (reversed(everything) if query.newest_first else everything)
                if (query.project is None or run.project == query.project)
                and (query.sweep is None or (run.sweep is not None and run.sweep.id == query.sweep))
                and (not query.phases or run.phase in query.phases)
                and (query.tag is None or query.tag in run.tags)
                and (query.group is None or run.group == query.group)
                and (query.ids is None or run.id in query.ids)
            ]
        return found[: query.limit]

    def table(self, query: TableQuery = TableQuery()) -> Page:  # noqa: B008 - frozen
        question = Question.of(query, time.time())
        placed = []
        for key, run in self._here(query.project, query.sweep):
            if query.projects is not None and run.project not in query.projects:
                continue
            if matches(question.wanted, lambda which, run=run: value_of(run, which), run.tags):  # type: ignore[misc]
                value = None if question.sort is None else scalar(value_of(run, question.sort))
                placed.append((Place(rank(value), value, key), run))
        total = len(placed)
        if question.sort is None:
            placed.sort(key=lambda at: at[0].key, reverse=question.descending)
        else:
            groups = [[at for at in placed if at[0].rank == which] for which in range(3)]  # each by creation as yet
            for group in groups[:2]:
                group.sort(key=lambda at: at[0].value, reverse=question.descending)  # type: ignore[arg-type, return-value]
            placed = [at for group in groups for at in group]
        if question.after is not None:
            placed = [at for at in placed if question.is_after(at[0])]
        placed = placed[query.offset :]
        page = placed[: query.limit]
        cursor = question.cursor(page[-1][0]) if len(placed) > query.limit else None
        return Page(rows=tuple(to_row(run, question.columns) for _, run in page), total=total, cursor=cursor)

    def groups(self, query: GroupQuery) -> Groups:
        division = Division.read(query, time.time())
        found: dict[tuple[int, float | str | None], list[float | None]] = {}
        for _, run in self._here(query.project, query.sweep):
            if query.projects is not None and run.project not in query.projects:
                continue
            if not matches(division.wanted, lambda which, run=run: value_of(run, which), run.tags):  # type: ignore[misc]
                continue
            number = None if division.of is None else scalar(value_of(run, division.of))
            able = float(number) if isinstance(number, (int, float)) and abs(number) <= LARGEST else None
            values = (run.tags or (None,)) if division.by is None else (scalar(value_of(run, division.by)),)
            for value in values:
                found.setdefault((rank(value), value), []).append(able)
        order = sorted(
            found.items(), key=lambda one: (-len(one[1]), one[0][0], *([one[0][1]] if one[0][0] < 2 else ()))
        )
        groups = []
        for (_, value), measured in order[: query.limit]:
            numbers = [one for one in measured if one is not None]
            mean = math.fsum(numbers) / len(numbers) if numbers else 0.0
            square = math.fsum((one - mean) ** 2 for one in numbers) / len(numbers) if numbers else 0.0
            least, greatest = min(numbers, default=0.0), max(numbers, default=0.0)
            groups.append(group_of(value, len(measured), len(numbers), least, greatest, mean, square))
        return Groups(groups=tuple(groups), total=len(found))

    def columns(self, project: str | None = None, sweep: str | None = None) -> Mapping[str, list[str]]:
        runs = [run for _, run in self._here(project, sweep)]
        places: dict[str, list[Mapping[str, object]]] = {
            "metrics": [run.stats for run in runs],
            "config": [run.config for run in runs],
            "summary": [run.summary for run in runs],
            "attrs": [run.attrs for run in runs],
        }
        return {place: sorted({name for one in mappings for name in one}) for place, mappings in places.items()}

    def mark(self) -> str:
        return str(next(_MARKS))

    def _here(self, project: str | None, sweep: str | None) -> list[tuple[int, Run]]:
        """Return the runs of a project and a sweep with their keys, in the order of creation."""
        with self._world.lock:
            return [
                (run.key, run.as_run())
                for run in self._world.runs.values()
                if (project is None or run.project == project)
                and (sweep is None or (run.sweep is not None and run.sweep.id == sweep))
            ]

    def projects(self) -> Mapping[str, int]:
        with self._world.lock:
            return dict(sorted(Counter(run.project for run in self._world.runs.values()).items()))

    def _story(self, id: str, attempt: int) -> KeptRun:
        run = self._world.run(id)
        rules.check_attempt(f"run {id!r}", attempt, run.attempt)
        return run

    def shipped(self, id: str, attempt: int, source: str) -> int:
        with self._world.lock:
            return (self._story(id, attempt).sources or {}).get(text(source), 0)

    def ship(self, id: str, attempt: int, source: str, start: int, end: int, batch: Batch) -> int:
        source = text(source)
        with self._world.lock:
            run = self._story(id, attempt)
            run.sources = run.sources or {}
            offset = run.sources.get(source, 0)
            if start != offset:
                return offset
            run.sources[source] = end
            run.curves = run.curves or {}
            for row in batch.rows:
                for name, value in row.values.items():
                    curve = run.curves.setdefault(name, Curve(steps=[], values=[], times=[]))
                    curve.steps.append(row.step)
                    curve.values.append(float(value))
                    curve.times.append(row.time)
            run.stats = merge(run.stats, batch.rows)
            run.config, run.summary = {**run.config, **batch.config}, {**run.summary, **batch.summary}
            run.meta = {**run.meta, **batch.meta}
            run.artifacts = {**(run.artifacts or {}), **{artifact.name: artifact for artifact in batch.artifacts}}
            run.beat = time.time()
            return end

    def metrics(self, id: str, names: Collection[str] | None = None) -> dict[str, Curve]:
        with self._world.lock:
            curves = self._world.run(id).curves or {}
            return {
                name: Curve(steps=curve.steps[:], values=curve.values[:], times=curve.times[:])
                for name, curve in sorted(curves.items())
                if names is None or name in names
            }

    def curves(
        self, ids: Collection[str], names: Collection[str] | None = None, *, max_points: int = 500, x: str = "step"
    ) -> dict[str, dict[str, Line]]:
        check_lines(max_points, x)
        with self._world.lock:
            there = [id for id in dict.fromkeys(ids) if id in self._world.runs]
        return {id: to_lines(self.metrics(id, names), max_points, x) for id in there}

    def artifacts(self, id: str) -> list[Artifact]:
        with self._world.lock:
            return [artifact for _, artifact in sorted((self._world.run(id).artifacts or {}).items())]

    def finish(self, id: str, phase: Phase, reason: str = "", *, ended: float | None = None) -> None:
        rules.check_time("ended", ended)
        with self._world.lock:
            run = self._world.run(id)
            rules.check_run_edit(id, run.sweep.id if run.sweep else None, "ended")
            if rules.check_finish(id, run.phase, phase):
                run.phase, run.reason, run.ended = phase, text(reason), time.time() if ended is None else ended
            elif ended is not None and run.ended is not None:
                run.ended = max(run.ended, ended)

    def reopen(self, id: str) -> None:
        with self._world.lock:
            run = self._world.run(id)
            rules.check_run_edit(id, run.sweep.id if run.sweep else None, "reopened")
            if run.phase.is_over:
                run.phase, run.reason, run.ended = Phase.RUNNING, "", None

    def edit(
        self,
        id: str,
        *,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        notes: str | None = None,
        group: str | None = None,
    ) -> Run:
        with self._world.lock:
            run = self._world.run(id)
            run.name = run.name if name is None else text(name)
            run.tags = run.tags if tags is None else _tags(tags)
            run.notes = run.notes if notes is None else text(notes)
            run.group = run.group if group is None else text(group)
            return run.as_run()

    def tag(self, ids: Collection[str], *, add: Collection[str] = (), remove: Collection[str] = ()) -> int:
        with self._world.lock:
            runs = [self._world.run(id) for id in sorted(set(ids))]
            changed = 0
            for run in runs:
                tags = _tags(rules.tagged(run.tags, add, remove))
                changed += tags != run.tags
                run.tags = tags
        return changed

    def delete(self, ids: Collection[str]) -> int:
        unique = sorted(set(ids))
        with self._world.lock:
            for id in unique:
                run = self._world.run(id)
                rules.check_run_edit(id, run.sweep.id if run.sweep else None, "deleted")
                rules.check_ended(id, run.phase)
            for id in unique:
                del self._world.runs[id]
        return len(unique)


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text(tag) for tag in tags))
