"""Runs over HTTP: the run table, one run, curves, logs, comparison, export."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from whet.analysis.compare import compare_runs, goal_by_name
from whet.errors import NotFound
from whet.filters import Column, column
from whet.server.access import Caller, caller, needs
from whet.server.etags import Tags as Etags
from whet.server.exports import Format, file_of
from whet.server.rest import answer
from whet.server.run_views import (
    ComparisonView,
    Deleted,
    Edit,
    End,
    GroupsView,
    GroupView,
    Ids,
    Lines,
    LogPiece,
    Names,
    PageView,
    ProjectView,
    RowView,
    RunView,
    Tagged,
    Tags,
    page_view,
    run_view,
)
from whet.server.run_views import Query as CurveQuery
from whet.store.base import GroupQuery, Line, Run, Store, Sweep, TableQuery
from whet.store.describe import SYSTEM, logged, metrics_of, values_of
from whet.store.matching import matching, sweeps_of, whole_runs
from whet.trial import Goal, Phase

__all__ = ["router"]

Points = Annotated[int, Query(ge=4, le=100_000)]


def router(store: Store, tags: Etags) -> APIRouter:
    """Return the routes of runs over `store`."""
    routes = APIRouter(tags=["runs"])

    @routes.get("/projects", response_model=list[ProjectView])
    @needs("read", checks_itself=True)
    def projects(request: Request) -> Response:
        """Return the projects with their numbers of runs."""
        who = caller(request)
        return tags.answer(
            request,
            lambda: [
                ProjectView(name=name, num_runs=count)
                for name, count in store.runs.projects().items()
                if who.sees(name)
            ],
        )

    @routes.get("/runs", response_model=PageView)
    @needs("read", checks_itself=True)
    def table(
        request: Request,
        *,
        filter: Annotated[str, Query(max_length=2000)] = "",
        sort: str = "-created",
        project: str | None = None,
        sweep: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str | None = None,
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        column: Annotated[list[str], Query(default_factory=list)],
    ) -> Response:
        """Return a page of the run table: those that `filter` wants, in the order of `sort` (``-`` before it: descending).

        `column` may be repeated: columns to return besides those that every run has. `cursor` is the page's before;
        `offset` passes over so many rows instead.
        """
        query = replace(_query(store, filter, sort, project, sweep, limit, cursor, column), offset=offset)
        return tags.answer(request, lambda: page_view(store.runs.table(_own_query(query, caller(request)))))

    @routes.get("/runs:columns", response_model=Names)
    @needs("read")
    def columns(request: Request, project: str | None = None, sweep: str | None = None) -> Response:
        """Return the names that columns of the run table can have. Of the metrics those come first that say how good a run is: a sweep's own, then by their names."""
        found = None if sweep is None else store.sweeps.find(sweep)
        own = [] if found is None else metrics_of(found)

        def make() -> Mapping[str, list[str]]:
            names = store.runs.columns(project, None if found is None else found.id)
            order = {
                name: (name not in own, name.startswith(SYSTEM), goal_by_name(name) is None)
                for name in names["metrics"]
            }
            return {**names, "metrics": sorted(names["metrics"], key=lambda name: (order[name], name))}

        return tags.answer(request, make)

    @routes.get("/runs:groups", response_model=GroupsView)
    @needs("read", checks_itself=True)
    def groups(
        request: Request,
        *,
        by: Annotated[str, Query(max_length=500)],
        of: Annotated[str | None, Query(max_length=500)] = None,
        filter: Annotated[str, Query(max_length=2000)] = "",
        project: str | None = None,
        sweep: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> Response:
        """Return the runs that `filter` wants put together by a column (`by`; `tags`: a run is in a group for each), with what they have in the column `of`."""
        who, found = caller(request), None if sweep is None else store.sweeps.find(sweep, project)
        query = GroupQuery(
            by=by, of=of, filter=filter, project=project, sweep=None if found is None else found.id, limit=limit,
            projects=None if who.projects is None else tuple(sorted(who.projects)),
        )  # fmt: skip

        def make() -> GroupsView:
            made = store.runs.groups(query)
            metric = None if of is None else column(of)
            goal = None
            if metric is not None and metric.place == "metrics":
                goal = _goals([found] if found else [], {metric.name}).get(metric.name)
            elif metric == Column("", "value") and found is not None:
                goal = found.goals[0]
            return GroupsView(
                groups=[GroupView(**asdict(one)) for one in made.groups],
                total=made.total,
                goal=None if goal is None else goal.value,
            )

        return tags.answer(request, make)

    @routes.post("/runs:tag", response_model=Tagged)
    @needs("write", checks_itself=True)
    def tag(request: Request, body: Tags) -> Response:
        """Add tags to runs and take others away, from all of them or none."""
        caller(request).check_runs(store, body.ids)
        return answer(Tagged(num_changed=store.runs.tag(body.ids, add=body.add, remove=body.remove)))

    @routes.get("/runs:compare", response_model=ComparisonView)
    @needs("read")
    def compare(request: Request, run: Annotated[list[str], Query(min_length=1, max_length=100)]) -> Response:
        """Return runs side by side: their configs and results, and where they differ."""

        def make() -> ComparisonView:
            by_id = {one.id: one for one in whole_runs(store, run)}
            runs = [by_id.get(one) or store.runs.find(one) for one in run]
            sweeps = sweeps_of(store, runs)
            goals = _goals(list(sweeps.values()), {name for one in runs for name in one.stats})
            reached = {one.id: {**logged(one), **(values_of(one, sweeps.get(one.sweep or "")) or {})} for one in runs}
            table = compare_runs({one.id: one.config for one in runs}, reached, goals)
            config, summary = (
                [
                    RowView(key=row.key, values=list(row.values), differs=row.differs, best=list(row.best))
                    for row in rows
                ]
                for rows in (table.config, table.summary)
            )
            named = {one.id: one.name for one in runs}
            results = {name for sweep in sweeps.values() for name in metrics_of(sweep)}
            drawn = {name for one in runs for name, stat in one.stats.items() if stat.count > 1}
            return ComparisonView(
                runs=list(table.runs),
                names=[named[id] for id in table.runs],
                config=config,
                summary=summary,
                curves=sorted(
                    drawn, key=lambda name: (name not in results, name.startswith(SYSTEM), name not in goals, name)
                ),
            )

        return tags.answer(request, make)

    @routes.get("/runs:export", response_class=Response)
    @needs("read", checks_itself=True)
    def export(
        request: Request,
        *,
        filter: Annotated[str, Query(max_length=2000)] = "",
        sort: str = "created",
        project: str | None = None,
        sweep: str | None = None,
        id: Annotated[list[str], Query(default_factory=list)],
        format: Format = "csv",
    ) -> Response:
        """Return the runs that `filter` wants (or those of the ids given, whatever else is asked) as one file: a row a run, or as JSON whole runs with their curves."""
        if id:
            return file_of(store, caller(request).runs(store, id), format, "runs")
        query = _own_query(_query(store, filter, sort, project, sweep, 1, None, []), caller(request))
        return file_of(store, matching(store, query), format, "runs")

    @routes.post("/runs:delete", response_model=Deleted)
    @needs("admin", checks_itself=True)
    def delete_several(request: Request, body: Ids) -> Response:
        """Delete runs, all of them or none. Running ones and trials of sweeps are refused."""
        caller(request).check_runs(store, body.ids)
        return answer(Deleted(num_deleted=store.runs.delete(body.ids)))

    @routes.post("/metrics:query", response_model=dict[str, dict[str, Lines]])
    @needs("read", checks_itself=True)
    def curves(request: Request, body: CurveQuery) -> Response:
        """Return the curves of several runs, by run and name; runs that are no more are left out."""
        found = store.runs.curves(
            _own_ids(store, body.ids, caller(request)), body.names, max_points=body.max_points, x=body.x
        )
        return answer(found)

    @routes.get("/runs/{run}", response_model=RunView)
    @needs("read")
    def get(request: Request, run: str) -> Response:
        """Return the run of that id, name (the newest), or unique beginning of an id."""
        return tags.answer(request, lambda: _view(store, store.runs.find(run)))

    @routes.patch("/runs/{run}", response_model=RunView)
    @needs("write")
    def edit(run: str, body: Edit) -> Response:
        """Change name, tags, notes or group."""
        id = store.runs.find(run).id
        changed = store.runs.edit(id, name=body.name, tags=body.tags, notes=body.notes, group=body.group)
        return answer(_view(store, changed))

    @routes.delete("/runs/{run}", response_model=Deleted)
    @needs("admin")
    def delete(run: str) -> Response:
        """Delete the run of that id and its metrics."""
        return answer(Deleted(num_deleted=store.runs.delete([run])))

    @routes.post("/runs/{run}/finish", response_model=RunView)
    @needs("write")
    def finish(run: str, body: End) -> Response:
        """End a run outside any sweep."""
        id = store.runs.find(run).id
        store.runs.finish(id, Phase(body.state), body.reason)
        return answer(_view(store, store.runs.get(id)))

    @routes.get("/runs/{run}/metrics", response_model=dict[str, Lines])
    @needs("read")
    def metrics(
        request: Request,
        run: str,
        *,
        name: Annotated[list[str], Query(default_factory=list)],
        max_points: Points = 500,
        x: Literal["step", "time"] = "step",
    ) -> Response:
        """Return the curves of the run by name; `name` may be repeated. Down-sampled ones keep their extremes."""

        def make() -> dict[str, Line]:
            id = store.runs.find(run).id
            return store.runs.curves([id], name or None, max_points=max_points, x=x).get(id, {})

        return tags.answer(request, make)

    @routes.get("/runs/{run}/logs", response_model=LogPiece)
    @needs("read")
    def logs(
        run: str,
        stream: Literal["stdout", "stderr"] = "stdout",
        tail: Annotated[int | None, Query(ge=0, le=100_000)] = None,
        offset: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    ) -> Response:
        """Return what the run printed: the last `tail` lines, or what comes after `offset` bytes; 1 MB at most.

        Only output that lies in the server's own folder (``$WHET_DIR``, else ``.whet``) is known here.
        """
        from whet.track.output import log_files, piece

        found = store.runs.find(run)
        path = log_files(found, anywhere=False)[stream == "stderr"]
        if path is None or not path.is_file():
            raise NotFound(f"run {found.id} has left no output on the server's machine", "look where it ran: whet logs")
        part = piece(path, tail=tail, offset=offset)
        return answer(LogPiece(stream=stream, text=part.text, start=part.start, end=part.end, size=part.size))

    return routes


def _goals(sweeps: Sequence[Sweep], names: Collection[str]) -> dict[str, Goal]:
    """Return which way metrics are better: as the sweeps say, where they don't contradict each other; of others what their names tell."""
    found: dict[str, Goal | None] = {name: goal_by_name(name) for name in names}
    said: dict[str, set[Goal]] = {}
    for sweep in sweeps:
        for name, goal in zip(metrics_of(sweep), sweep.goals, strict=True):
            said.setdefault(name, set()).add(goal)
    found |= {name: goals.pop() if len(goals) == 1 else None for name, goals in said.items()}
    return {name: goal for name, goal in found.items() if goal is not None}


def _own_query(query: TableQuery, who: Caller) -> TableQuery:
    """Return the question as it is for a caller who may be limited to projects."""
    if who.projects is None:
        return query
    return replace(query, projects=tuple(sorted(who.projects)))


def _query(
    store: Store,
    filter: str,
    sort: str,
    project: str | None,
    sweep: str | None,
    limit: int,
    cursor: str | None,
    columns: list[str],
) -> TableQuery:
    return TableQuery(
        filter=filter,
        sort=sort,
        project=project,
        sweep=None if sweep is None else store.sweeps.find(sweep, project).id,
        limit=limit,
        cursor=cursor,
        columns=tuple(columns),
    )


def _own_ids(store: Store, ids: list[str], who: Caller) -> list[str]:
    """Return those that the caller sees."""
    return ids if who.projects is None else [run.id for run in whole_runs(store, ids) if who.sees(run.project)]


def _view(store: Store, run: Run) -> RunView:
    return run_view(run, None if run.sweep is None else store.sweeps.get(run.sweep))
