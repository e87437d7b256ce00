"""The files of runs over HTTP: which there are, sent in pieces, read whole or in part."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from whet.server.access import needs
from whet.server.rest import answer
from whet.server.run_views import ArtifactView, Received
from whet.store.base import Store

__all__ = ["router"]

_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def router(store: Store) -> APIRouter:
    """Return the routes of files over `store`."""
    routes = APIRouter(tags=["runs"])

    @routes.get("/runs/{run}/artifacts", response_model=list[ArtifactView])
    @needs("read")
    def artifacts(run: str) -> Response:
        """Return the files that the run keeps; `here`: their content is at the server."""
        standing = store.files.standing(store.runs.find(run).id)
        views = [
            ArtifactView(
                name=one.artifact.name,
                kind=one.artifact.kind,
                path=one.artifact.path,
                size=one.artifact.size,
                sha256=one.artifact.sha256,
                here=one.here,
                received=one.received,
            )
            for one in standing
        ]
        return answer(views)

    @routes.get(
        "/runs/{run}/artifacts/{name:path}",
        response_class=Response,
        responses={
            200: {"description": "All of it.", "content": _BYTES},
            206: {"description": "The part that Range asks for.", "content": _BYTES},
            304: {"description": "The client has it."},
            416: {"description": "There is no such part."},
        },
    )
    @needs("read")
    def download(request: Request, run: str, name: str) -> Response:
        """Return a file that the run keeps, to be saved: never as a page, whatever it holds. `Range` asks for a part; the ETag is its SHA-256."""
        id = store.runs.find(run).id
        whole = store.files.read(id, name)
        tag, size = f'"{whole.artifact.sha256}"', whole.artifact.size
        headers = {
            "ETag": tag,
            "Accept-Ranges": "bytes",
            "Content-Encoding": "identity",  # lest it be compressed: then nobody would know how long it is, nor could go on in the middle
            "Cache-Control": "private, no-cache",
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='', errors='replace')}",
            "Content-Security-Policy": _POLICY,
        }
        has = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
        if tag in has or "*" in has:
            return Response(status_code=304, headers=headers)
        wanted = request.headers.get("range", "") if request.headers.get("if-range", tag) == tag else ""
        part = _part(wanted, size)
        if part is None:
            return _sent(whole.pieces, 200, size, headers)
        start, end = part
        if start >= end:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        return _sent(store.files.read(id, name, start, end).pieces, 206, end - start, headers)

    @routes.patch(
        "/runs/{run}/uploads/{sha256}",
        response_model=Received,
        openapi_extra={"requestBody": {"required": True, "content": _BYTES}},
    )
    @needs("write")
    async def upload(
        request: Request,
        run: str,
        sha256: Annotated[str, Path(min_length=64, max_length=64)],
        offset: Annotated[int, Query(ge=0, le=2**53)],
    ) -> Response:
        """Take a piece of a file that the run says that it keeps, and return how much has come.

        A piece that begins elsewhere than at what has come changes nothing. With the last one the SHA-256 is looked at.
        """
        piece = await request.body()

        def take() -> int:
            return store.files.send(store.runs.find(run).id, sha256, offset, piece)

        return answer(Received(received=await run_in_threadpool(take)))

    return routes


def _sent(pieces: object, status: int, size: int, headers: dict[str, str]) -> Response:
    return StreamingResponse(
        pieces,  # type: ignore[arg-type]
        status,
        {**headers, "Content-Length": str(size)},
        "application/octet-stream",
    )


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """Return the bytes [start, end) that a Range asks for; None: all, for there is none, or it is of a kind that may be ignored."""
    found = _RANGE.fullmatch(wanted.strip())
    if found is None or found.group() == "bytes=-" or max(map(len, found.groups())) > 18:
        return None
    first, last = found.groups()
    if not first:
        return max(0, size - int(last)), size
    start, end = int(first), int(last) + 1 if last else size
    if last and end <= start:
        return None
    return start, min(end, size)
