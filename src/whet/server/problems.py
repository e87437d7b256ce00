"""Errors as HTTP says them: problem documents (RFC 9457) with the same parts as on the command line."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from whet.errors import Conflict, NotFound, Refused, StoreUnavailable, WhetError
from whet.store.codec import dump

__all__ = ["problem", "status_of"]

_STATUS: tuple[tuple[type[WhetError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (Refused, 403),
    (StoreUnavailable, 503),
)


def status_of(error: WhetError) -> int:
    """Return the HTTP status of an error: 404, 409, 403 and 503 where there is one for it, else 422."""
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
