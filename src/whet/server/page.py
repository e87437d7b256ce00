"""The web page: files that were built once, sent as they are.

They lie in `whet/web` of the package: `make ui` builds them, a wheel has them. Files under ``/assets`` carry a digest of what is in them
in their names, so browsers keep them for good; the document that names them is asked for anew each time.
"""

from __future__ import annotations

import gzip
import mimetypes
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from whet.server.access import open_to_all

__all__ = ["PAGES", "is_built", "router"]

PAGES = ("runs", "sweeps", "compare")
"""What the first part of a page's path may be: all of these are one document, whose script finds out which page is meant."""

_FILES = ("theme.js", "favicon.svg")
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}
_ASKED = {"Cache-Control": "no-cache"}
_NEVER = {"Cache-Control": "no-store"}
_MISSING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Whet</title>
<h1>Whet runs here, without its page</h1>
<p>This copy of Whet was made without the page. In a checkout, build it with Node 20.19 or later, then start the server or make the wheel again:</p>
<pre>make ui</pre>
<p>Everything else works: <a href="/api/v1/openapi.json">the API</a>, agents, and every command.</p>
</html>
"""


def _folder() -> Path:
    return Path(__file__).parents[1] / "web"


def is_built() -> bool:
    """Return whether this copy of Whet has its page."""
    return (_folder() / "index.html").is_file()


def router() -> APIRouter:
    """Return the routes of the page, which are no part of the API and ask for no token: the files hold no data."""
    routes = APIRouter(include_in_schema=False)

    @open_to_all
    def document() -> Response:
        if not is_built():
            return HTMLResponse(_MISSING, headers=_NEVER)
        return HTMLResponse((_folder() / "index.html").read_bytes(), headers=_NEVER)

    @open_to_all
    def asset(request: Request, name: str) -> Response:
        return _file(request, _folder() / "assets", name, _KEPT)

    @open_to_all
    def file(request: Request) -> Response:
        return _file(request, _folder(), request.url.path[1:], _ASKED)

    documents = ["/", *(f"/{page}" for page in PAGES), *(f"/{page}/{{rest:path}}" for page in PAGES)]
    for path in documents:
        routes.add_api_route(path, document, methods=["GET", "HEAD"])
    for name in _FILES:
        routes.add_api_route(f"/{name}", file, methods=["GET", "HEAD"])
    routes.add_api_route("/assets/{name}", asset, methods=["GET", "HEAD"])
    return routes


def _file(request: Request, folder: Path, name: str, headers: dict[str, str]) -> Response:
    """Return a file by a name that is in the folder's list, so that no name leads out of it."""
    found = {one.name: one for one in folder.iterdir() if one.is_file()}.get(name) if folder.is_dir() else None
    if found is None:
        raise HTTPException(404, "there is no such file")
    now = found.stat()
    body, squeezed = _read(found, now.st_mtime_ns, now.st_size)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if len(squeezed) < len(body) and "gzip" in request.headers.get("accept-encoding", ""):
        # Better than the middleware would, which leaves it alone then. A cache must not hand it to those who take no gzip.
        body, headers = squeezed, {**headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(body, headers=headers, media_type=kind)


@lru_cache(maxsize=256)
def _read(file: Path, mtime_ns: int, size: int) -> tuple[bytes, bytes]:
    """Return a file as it is, and compressed; a new build may change those whose names have no digest."""
    body = file.read_bytes()
    return body, gzip.compress(body, 9, mtime=0)
