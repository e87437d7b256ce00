"""The application: all routes over one store."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from whet import __version__
from whet.errors import NotFound, StoreError, WhetError
from whet.server import live, sweeps, verbs, work
from whet.server.answers import Answers
from whet.server.engines import Engines
from whet.server.problems import PROBLEMS, Problem, problem
from whet.server.pulse import Pulse
from whet.store.base import Store

__all__ = ["API", "application"]

API = "/api/v1"


def application(store: Store) -> FastAPI:
    """Return the application over `store`, which its caller closes."""
    app = FastAPI(title="Whet", version=__version__, docs_url=None, redoc_url=None, openapi_url=f"{API}/openapi.json")
    api = APIRouter(prefix=API, responses=PROBLEMS)

    @api.get("", summary="Say who is here.")
    def hello() -> dict[str, str]:
        return {"whet": __version__}

    answers, engines, pulse = Answers(), Engines(store), Pulse()
    api.include_router(verbs.router(store, answers, pulse))
    api.include_router(work.router(store, engines, answers, pulse))
    api.include_router(live.router(store, pulse))
    api.include_router(sweeps.router(store, engines))
    app.include_router(api)

    @app.exception_handler(WhetError)
    async def refused(request: Request, error: WhetError) -> Response:
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        return problem(StoreError(f"{place}: {first['msg']}", f"see {API}/openapi.json"))

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
