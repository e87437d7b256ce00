"""What figures show, as plain data; and sweeps against each other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import fields
from typing import Annotated, Any, final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from whet.analysis.compare import compare_runs
from whet.analysis.contest import Contender, compare_sweeps
from whet.errors import NotFound, StudyError
from whet.figures.base import FIGURES, chart
from whet.figures.sheet import Sheet
from whet.server.access import caller, needs
from whet.server.engines import Engines, Seen
from whet.server.etags import Tags
from whet.server.rest import answer
from whet.server.run_views import RowView
from whet.server.sweep_views import ContenderView, ContestView, FigureData, FigureView, MomentView, SharedView, TeamView
from whet.store.base import Store, Sweep
from whet.store.describe import approach_of, method_of, teams_of, titled

__all__ = ["router"]

_MOST = 50
_SHEETS = 8


@final
class _Sheets:
    """The latest sheets: figures of one sweep share what is dear, such as the forest behind responses and variances."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str | None], tuple[object, Sheet]] = OrderedDict()

    def get(self, sweep: Sweep, seen: Seen, metric: str | None) -> Sheet:
        key, mark = (sweep.id, metric), seen.mark
        with self._lock:
            if key in self._kept and self._kept[key][0] == mark:
                self._kept.move_to_end(key)
                return self._kept[key][1]
        sheet = Sheet(sweep.name, seen.problem, seen.trials(), metric=metric)
        with self._lock:
            if key in self._kept and self._kept[key][0] == mark:
                return self._kept[key][1]  # somebody was quicker: there is to be one
            self._kept[key] = mark, sheet
            self._kept.move_to_end(key)
            while len(self._kept) > _SHEETS:
                self._kept.popitem(last=False)
        return sheet


def router(store: Store, engines: Engines, tags: Tags) -> APIRouter:
    """Return the routes ``/figures``, ``/sweeps/{id}/figures/{name}`` and ``/sweeps:compare``."""
    routes, sheets = APIRouter(tags=["sweeps"]), _Sheets()

    @routes.get("/figures", response_model=list[FigureView])
    @needs("read", anywhere=True)
    def figures() -> Response:
        """Return the names of all figures."""
        return answer([FigureView(name=name, about=about) for name, about in FIGURES.items()])

    @routes.get("/sweeps/{id}/figures/{figure}", response_model=FigureData)
    @needs("read", sweep="id")
    def figure(
        request: Request,
        id: str,
        figure: str,
        *,
        metric: str | None = None,
        param: Annotated[list[str], Query(default_factory=list)],
    ) -> Response:
        """Return what a figure of the sweep shows: history, importance, response, contour … `param` may be repeated: these parameters, rather than the most important ones."""

        sweep = store.sweeps.find(id)
        seen = engines.see(sweep.id)

        def make() -> FigureData:
            sheet = sheets.get(sweep, seen, metric).asked(param)
            return FigureData(sweep=sweep.id, figure=figure, metric=sheet.metric.name, data=chart(figure, sheet).data())

        return tags.answer(request, make, mark=seen.mark)

    @routes.get("/sweeps:compare", response_model=ContestView)
    @needs("read", checks_itself=True)
    def compare(
        request: Request, ids: Annotated[str, Query(min_length=1, max_length=4000)], metric: str | None = None
    ) -> Response:
        """Return sweeps against each other: `ids` are ids or names, with commas between them. Those that are not there (any more) are left out, and named."""
        who = caller(request)
        found: list[Sweep] = []
        missing: list[str] = []
        unknown: NotFound | None = None
        for text in filter(None, map(str.strip, ids.split(","))):
            try:
                found.append(store.sweeps.get(who.sweep(store, text)))
            except NotFound as error:
                missing, unknown = [*missing, text], error
        if not found and unknown is not None:
            raise unknown
        sweeps = {sweep.id: sweep for sweep in found}
        if not 0 < len(sweeps) <= _MOST:
            raise StudyError(f"{len(sweeps)} sweeps can't be compared", f"name one to {_MOST}: ids=a,b,c")

        by_title = titled(sweeps.values())
        seen = {title: engines.see(sweep.id) for title, sweep in by_title.items()}

        def make() -> ContestView:
            given = {title: (one.problem, one.trials()) for title, one in seen.items()}
            contest = compare_sweeps(given, metric=metric, teams=teams_of(by_title))
            known = [{one.name for one in problem.metrics} for problem, _ in given.values()]
            first, _ = next(iter(given.values()))
            return ContestView(
                metric=contest.metric,
                goal=contest.goal,
                target=contest.target,
                metrics=[one.name for one in first.metrics if all(one.name in names for names in known)],
                sweeps=[_contender(one, by_title[one.name], approach_of(by_title[one.name])) for one in contest.sweeps],
                teams=[
                    TeamView(
                        name=team.name,
                        sweeps=[by_title[one].id for one in team.sweeps],
                        curve=[_as(MomentView, one) for one in team.curve],
                    )
                    for team in contest.teams
                ],
                configs=[
                    _as(RowView, row)
                    for row in compare_runs({one.name: one.best_params or {} for one in contest.sweeps}, {}).config
                ],
                shared=[_as(SharedView, one) for one in contest.shared],
                missing=missing,
            )

        return tags.answer(
            request,
            make,
            mark=(*missing, *((seen[title].mark, one.updated, one.state, one.cap) for title, one in by_title.items())),
        )

    return routes


def _as(kind: type[Any], value: Any) -> Any:
    """Return a value of the analysis in the form that the API's description names; what is within is sent as it is."""
    return kind(**{field.name: getattr(value, field.name) for field in fields(value)})


def _contender(one: Contender, sweep: Sweep, approach: str) -> ContenderView:
    is_its_own = len(sweep.goals) == 1 and sweep.best_run is not None and sweep.best_value == one.best
    return ContenderView(
        sweep=sweep.id, name=sweep.name, project=sweep.project, state=sweep.state.value, method=method_of(sweep),
        approach=approach, cap=sweep.cap, created=sweep.created, num_trials=one.num_trials,
        num_complete=one.num_complete, num_stopped=one.num_stopped, num_failed=one.num_failed, best=one.best,
        best_number=one.best_number, best_run=sweep.best_run if is_its_own else None, curve=list(one.curve),
        num_needed=one.num_needed, seconds=one.seconds,
    )  # fmt: skip
