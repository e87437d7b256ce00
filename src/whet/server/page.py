"""The web page: files that were built once, sent as they are.

They lie in `whet/web` of the package: `make ui` builds them, a wheel has them. Files under ``/assets`` carry a digest of what is in them
in their names, so browsers keep them for good; the document that names them is asked for anew each time.
"""

from __future__ import annotations

import gzip
import mimetypes
import re
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
_BR = ".br"
_CODINGS = ("br", "gzip")  # the shorter one first; browsers take `br` over TLS alone
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
    if found is None or found.suffix == _BR:
        raise HTTPException(404, "there is no such file")
    now = found.stat()
    codings = _read(found, now.st_mtime_ns, now.st_size)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    taken = _taken(request.headers.get("accept-encoding", ""))
    body = codings[""]
    for coding in _CODINGS:
        if coding in taken and coding in codings:
            # Better than the middleware would, which leaves it alone then. A cache must not hand to all what only some can read.
            body, headers = codings[coding], {**headers, "Content-Encoding": coding, "Vary": "Accept-Encoding"}
            break
    return Response(body, headers=headers, media_type=kind)


def _taken(accepted: str) -> set[str]:
    """Return the codings that a client takes, by its `Accept-Encoding` (RFC 9110, 12.5.3)."""
    parts = [[part.strip().lower() for part in one.split(";")] for one in accepted.split(",")]
    return {name for name, *weights in parts if not any(re.fullmatch(r"q=0(\.0*)?", weight) for weight in weights)}


@lru_cache(maxsize=256)
def _read(file: Path, mtime_ns: int, size: int) -> dict[str, bytes]:
    """Return a file as it is, and compressed where that is less, by coding; a new build may change those whose names have no digest."""
    body = file.read_bytes()
    found = {"": body, "gzip": gzip.compress(body, 9, mtime=0)}
    better = file.with_name(file.name + _BR)  # made by the page's build
    if better.is_file() and better.stat().st_mtime_ns >= mtime_ns:
        found["br"] = better.read_bytes()
    return {coding: made for coding, made in found.items() if not coding or len(made) < len(body)}
