"""The application: all routes over one store."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Match, Route

from whet import __version__
from whet.errors import NotFound, StoreError, WhetError
from whet.server import (
    beginnings,
    charts,
    drafts,
    files,
    live,
    page,
    retries,
    runs,
    session,
    sweeps,
    tables,
    verbs,
    work,
)
from whet.server.access import admit, needs
from whet.server.answers import Answers
from whet.server.engines import Engines
from whet.server.etags import Tags
from whet.server.guard import API, Door, Guard
from whet.server.keys import Keys
from whet.server.problems import PROBLEMS, Problem, problem
from whet.server.pulse import Pulse
from whet.server.questions import Questions
from whet.server.watched import Watched
from whet.store.base import Store
from whet.store.verbs import API_VERSION

__all__ = ["API", "application"]


def application(store: Store, door: Door = Door()) -> FastAPI:  # noqa: B008 - frozen
    """Return the application over `store`, which its caller closes, behind a `door`. What files may come, `store.files` knows.

    What its routes need they say with `whet.server.access.needs`; who asks is found out by `whet.server.guard`.
    """
    app = FastAPI(
        title="Whet",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        dependencies=[Depends(admit)],
    )
    pulse = Pulse()

    def heard(verb: str, sweep: str) -> None:
        if verb == "sweeps.delete":
            engines.drop(sweep)
        pulse.beat(sweep)

    store = Watched(store, heard)
    engines, answers, tags = Engines(store), Answers(), Tags(store)
    app.state.store, app.state.pulse = store, pulse
    keys = Keys(store.tokens)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=1)
    app.add_middleware(Guard, keys=keys, door=door)  # around the other one
    api = APIRouter(prefix=API, responses=PROBLEMS)

    @api.get("", summary="Say who is here.")
    @needs("read", anywhere=True)
    def hello() -> dict[str, str | int]:
        return {"whet": __version__, "api": API_VERSION}

    api.include_router(session.router(keys))
    api.include_router(verbs.router(store, answers))
    api.include_router(work.router(store, engines, Questions(pulse)))
    api.include_router(live.router(store, pulse))
    api.include_router(sweeps.router(store, engines, tags))
    api.include_router(runs.router(store, tags))
    api.include_router(files.router(store))
    api.include_router(tables.router(store, tags))
    api.include_router(charts.router(store, engines, tags))
    api.include_router(retries.router(store))
    api.include_router(drafts.router())
    api.include_router(beginnings.router(store))
    app.include_router(api)
    app.include_router(page.router())

    @app.exception_handler(WhetError)
    async def refused(request: Request, error: WhetError) -> Response:
        return problem(error)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        kind = NotFound if error.status_code == 404 else StoreError
        answer = problem(
            kind(f"{request.method} {request.url.path}: {error.detail}", f"see {API}/openapi.json"), error.status_code
        )
        answer.headers.update(error.headers or {})
        if error.status_code == 405:  # of one path there may be several routes
            answer.headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return answer

    @app.exception_handler(RequestValidationError)
    async def misread(request: Request, error: RequestValidationError) -> Response:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return problem(
            StoreError(f"{request.method} {request.url.path}: {'; '.join(wrong)}", f"see {API}/openapi.json")
        )

    app.openapi = lambda: app.openapi_schema or _described(app)  # type: ignore[method-assign]
    return app


def _methods(app: FastAPI, request: Request) -> set[str]:
    routes = [
        route for route in app.routes if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]
    return {method for route in routes for method in route.methods or ()} - {"HEAD"}


def _described(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, which names the shape of problems once."""
    made = get_openapi(title=app.title, version=app.version, routes=app.routes)
    made["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    app.openapi_schema = made
    return made
