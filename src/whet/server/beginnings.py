"""What a new sweep begins with: the methods there are, the schema of sweep files, and files made around a run or of a script's flags."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from whet import plugins
from whet.config import parse, schema
from whet.errors import WhetError
from whet.project.around import around_run
from whet.project.beginning import Beginning, from_pasted
from whet.server.access import needs
from whet.server.rest import answer
from whet.server.sweep_views import BeginningView, MethodsView, MethodView
from whet.store.base import Store

__all__ = ["PastedText", "methods", "router"]


class PastedText(BaseModel):
    """A command line, what ``--help`` prints, or a script's text."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, Field(max_length=200_000)]


def router(store: Store) -> APIRouter:
    """Return the routes ``/sweeps:methods``, ``/sweeps:schema``, ``/sweeps:flags`` and ``/runs/{run}/around``."""
    routes = APIRouter(tags=["sweeps"])

    @routes.get("/sweeps:methods", response_model=MethodsView)
    @needs("read", anywhere=True)
    def all_methods() -> Response:
        """Return the methods and stoppers that are installed here, with when to take each, and its knobs."""
        return answer(methods())

    @routes.get("/sweeps:schema", response_model=dict[str, Any])
    @needs("read", anywhere=True)
    def sweep_schema() -> Response:
        """Return the JSON Schema of sweep files."""
        return answer(schema())

    @routes.post("/sweeps:flags", response_model=BeginningView)
    @needs("read", anywhere=True)
    def flags(body: PastedText) -> Response:
        """Return a sweep file of the flags in a text, which is read and never run; nothing is kept."""
        return answer(_view(from_pasted(body.text)))

    @routes.get("/runs/{run}/around", response_model=BeginningView)
    @needs("read")
    def around(run: str) -> Response:
        """Return a sweep file that searches around the configuration of a run."""
        found = store.runs.find(run)
        config = parse(dict(store.sweeps.get(found.sweep).config)) if found.sweep is not None else None
        return answer(_view(around_run(found, config)))

    return routes


def methods() -> MethodsView:
    """Return what is known of the plug-ins of both kinds; one that can't be loaded says what it lacks."""
    return MethodsView(methods=_known("searcher"), stoppers=_known("stopper"))


def _known(kind: str) -> list[MethodView]:
    found = []
    for name in plugins.names(kind):
        try:
            cls = plugins.find(kind, name)
        except WhetError as error:
            found.append(MethodView(name=name, about=f"Not to be had here: {error.fix}", knobs=[], learns=True))
            continue
        about = cls.suits or (cls.__doc__ or "").strip().partition("\n")[0]
        found.append(
            MethodView(name=name, about=about, knobs=plugins.knobs(cls), learns=bool(getattr(cls, "learns", True)))
        )
    return found


def _view(beginning: Beginning) -> BeginningView:
    return BeginningView(text=beginning.text, notices=list(beginning.notices))
