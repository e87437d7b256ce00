"""Errors as HTTP says them: problem documents (RFC 9457) with the same parts as on the command line."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from whet.errors import Conflict, NotFound, Refused, StoreUnavailable, TooLarge, WhetError
from whet.store.codec import dump

__all__ = ["PROBLEMS", "Problem", "problem", "status_of"]


class Problem(BaseModel):
    """What went wrong: `type` ends in the error's name, `detail` says what was got and wanted, `fix` what to do next."""

    type: str
    title: str
    status: int
    detail: str
    fix: str
    facts: dict[str, Any]


_MEANINGS = {
    400: "The body is not JSON.",
    401: "There is no token, or it is not valid (any more).",
    403: "The token may not do this.",
    404: "There is no such thing.",
    409: "Somebody else was first, or the state does not allow it.",
    413: "The body, or what it is a part of, is too large.",
    421: "The server is not called like that.",
    422: "What was sent does not fit.",
    429: "Too many failed attempts.",
    503: "The database is out of reach: try again later.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, text in _MEANINGS.items()
}
"""What every route may answer instead."""

_STATUS: tuple[tuple[type[WhetError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (Refused, 403),
    (StoreUnavailable, 503),
    (TooLarge, 413),
)


def status_of(error: WhetError) -> int:
    """Return the HTTP status of an error: 404, 409, 403, 413 and 503 where there is one for it, else 422."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 422)


def problem(error: WhetError, status: int | None = None, **headers: str) -> Response:
    """Return the problem document of an error: ``type`` ends in the error's name, ``detail`` is its problem, ``fix`` what to do."""
    status = status or status_of(error)
    name = type(error).__name__
    body: dict[str, Any] = {
        "type": f"urn:whet:error:{name}",
        "title": name,
        "status": status,
        "detail": error.problem,
        "fix": error.fix,
        "facts": {key: value for key, value in error.facts.items() if _is_plain(value)},
    }
    return Response(
        dump(body),
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        "application/problem+json",
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float, bool))
