"""The application: all routes over one store."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from whet import __version__
from whet.errors import NotFound, StoreError, WhetError
from whet.server import verbs
from whet.server.answers import Answers
from whet.server.problems import problem
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

    answers = Answers()
    api.include_router(verbs.router(store, answers))
    app.include_router(api)

    @app.exception_handler(WhetError)
    async def refused(request: Request, error: WhetError) -> Response:
        return problem(error)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        kind = NotFound if error.status_code == 404 else StoreError
        return problem(
            kind(f"{request.method} {request.url.path}: {error.detail}", f"see {API}/openapi.json"), error.status_code
        )

    return app
