"""The application: all routes over one store."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from whet import __version__
from whet.errors import NotFound, StoreError, WhetError
from whet.server import live, sweeps, verbs, work
from whet.server.answers import Answers
from whet.server.engines import Engines
from whet.server.problems import problem
from whet.server.pulse import Pulse
from whet.store.base import Store

__all__ = ["API", "application"]

API = "/api/v1"


def application(store: Store) -> FastAPI:
    """Return the application over `store`, which its caller closes."""
    app = FastAPI(title="Whet", version=__version__, docs_url=None, redoc_url=None, openapi_url=f"{API}/openapi.json")
    api = APIRouter(prefix=API)

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
        return problem(
            kind(f"{request.method} {request.url.path}: {error.detail}", f"see {API}/openapi.json"), error.status_code
        )

    return app
