"""The application: all routes over one store."""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from whet import __version__
from whet.errors import NotFound, StoreError, WhetError
from whet.server import runs, session, verbs
from whet.server.access import admit, needs
from whet.server.answers import Answers
from whet.server.guard import API, Door, Guard
from whet.server.keys import Keys
from whet.server.problems import problem
from whet.store.base import Store

__all__ = ["API", "application"]


def application(store: Store, door: Door = Door()) -> FastAPI:  # noqa: B008 - frozen
    """Return the application over `store`, which its caller closes, behind a `door`.

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
    app.state.store = store
    keys = Keys(store.tokens)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=1)
    app.add_middleware(Guard, keys=keys, door=door)  # around the other one
    api = APIRouter(prefix=API)

    @api.get("", summary="Say who is here.")
    @needs("read", anywhere=True)
    def hello() -> dict[str, str]:
        return {"whet": __version__}

    answers = Answers()
    api.include_router(session.router(keys))
    api.include_router(verbs.router(store, answers))
    api.include_router(runs.router(store))
    app.include_router(api)

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
        return answer

    @app.exception_handler(RequestValidationError)
    async def misread(request: Request, error: RequestValidationError) -> Response:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return problem(
            StoreError(f"{request.method} {request.url.path}: {'; '.join(wrong)}", f"see {API}/openapi.json")
        )

    return app
