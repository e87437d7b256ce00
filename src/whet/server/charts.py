"""What figures show, as plain data; and sweeps against each other."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from whet.analysis.contest import compare_sweeps
from whet.errors import StudyError
from whet.figures.base import FIGURES, chart
from whet.figures.sheet import Sheet
from whet.server.access import caller, needs
from whet.server.engines import Engines
from whet.server.etags import Tags
from whet.server.rest import answer
from whet.server.sweep_views import ContenderView, ContestView, FigureData, FigureView
from whet.store.base import Store

__all__ = ["router"]

_MOST = 50


def router(store: Store, engines: Engines) -> APIRouter:
    """Return the routes ``/figures``, ``/sweeps/{id}/figures/{name}`` and ``/sweeps:compare``."""
    routes = APIRouter(tags=["sweeps"])
    tags = Tags(store)

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

        def make() -> FigureData:
            sweep = store.sweeps.find(id)
            engine = engines.get(sweep.id)
            engine.sync()
            sheet = Sheet(sweep.name, engine.problem, engine.in_order(), metric=metric, params=tuple(param))
            made = chart(figure, sheet)
            return FigureData(sweep=sweep.id, figure=figure, metric=sheet.metric.name, data=made.data())

        return tags.answer(request, make)

    @routes.get("/sweeps:compare", response_model=ContestView)
    @needs("read", checks_itself=True)
    def compare(
        request: Request, ids: Annotated[str, Query(min_length=1, max_length=4000)], metric: str | None = None
    ) -> Response:
        """Return sweeps against each other: `ids` are ids or names, with commas between them."""
        who = caller(request)
        # Named by id below: two sweeps may have one name.
        found = [store.sweeps.get(who.sweep(store, text.strip())) for text in ids.split(",") if text.strip()]
        sweeps = {sweep.id: sweep for sweep in found}
        if not 0 < len(sweeps) <= _MOST:
            raise StudyError(f"{len(sweeps)} sweeps can't be compared", f"name one to {_MOST}: ids=a,b,c")

        def make() -> ContestView:
            given = {}
            for id in sweeps:
                engine = engines.get(id)
                engine.sync()
                given[id] = engine.problem, engine.in_order()
            contest = compare_sweeps(given, metric=metric)
            lines = [
                ContenderView(
                    sweep=one.name, name=sweeps[one.name].name, method=engines.get(one.name).config.method.name,
                    num_trials=one.num_trials, num_complete=one.num_complete, num_stopped=one.num_stopped,
                    num_failed=one.num_failed, best=one.best, best_number=one.best_number,
                    curve=list(one.curve), num_needed=one.num_needed, seconds=one.seconds,
                )
                for one in contest.sweeps
            ]  # fmt: skip
            return ContestView(metric=contest.metric, goal=contest.goal, target=contest.target, sweeps=lines)

        return tags.answer(request, make)

    return routes
