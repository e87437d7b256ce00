"""Sessions of the page: a browser can't send a token with every request, so it shows it once and gets a cookie that no script can read."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from whet.errors import StoreError
from whet.server.access import Caller, caller, open_to_all
from whet.server.guard import API, check, cookie_name
from whet.server.keys import SESSION_S, Keys, caller_by
from whet.store.codec import load

__all__ = ["router"]


def router(keys: Keys) -> APIRouter:
    """Return the routes ``/session``."""
    routes = APIRouter(tags=["session"])

    @routes.get("/session", summary="Say who asks: its scope (null: a token is needed) and projects (null: all).")
    @open_to_all
    def who(request: Request) -> dict[str, Any]:
        return _said(caller(request))

    @routes.post("/session", summary="Open a session: {token} in, a cookie out.")
    @open_to_all
    async def login(request: Request) -> Response:
        body = await request.body()
        address = request.client.host if request.client else ""
        try:
            given = load(body)
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict) or not isinstance(given.get("token"), str):
            raise StoreError("the body is no mapping with a token", 'send {"token": "whet_…"} as JSON')
        found = await run_in_threadpool(check, keys, given["token"], address)
        if isinstance(found, Response):
            return found
        answer = JSONResponse(_said(caller_by(found)))
        answer.set_cookie(
            cookie_name(request.scope),
            keys.open_session(found),
            max_age=int(SESSION_S),
            path=API,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    @routes.delete("/session", summary="End the session.", status_code=204)
    @open_to_all
    def logout(request: Request) -> Response:
        name = cookie_name(request.scope)
        keys.end_session(request.cookies.get(name, ""))
        answer = Response(status_code=204)
        answer.delete_cookie(name, path=API, httponly=True, samesite="strict")
        return answer

    return routes


def _said(who: Caller) -> dict[str, Any]:
    return {
        "token": who.token or None,
        "scope": who.scope.value if who.scope else None,
        "projects": sorted(who.projects) if who.projects is not None else None,
    }
