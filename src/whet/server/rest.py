"""How values leave the server for people's programs: strict JSON, in which NaN and the infinities are text."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from starlette.responses import Response

from whet.errors import StoreError
from whet.store.wire import encode

__all__ = ["Number", "answer", "check_depth"]

_MOST_DEPTH = 64

Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""A float as it leaves the server."""


def answer(value: object, status: int = 200, **headers: str) -> Response:
    """Return `value` as JSON: frozen values as mappings of their fields, enums as their text."""
    plain = encode(value)
    try:
        body = _write(plain, allow_nan=False)
    except ValueError:
        body = _write(_named(plain), allow_nan=False)
    return Response(body, status, headers, "application/json")


def check_depth(value: object, most: int = _MOST_DEPTH) -> None:
    """Raise StoreError where lists and mappings are nested more than `most` deep: what is kept must come out again."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inner and not most:
        raise StoreError(f"the body is nested more than {_MOST_DEPTH} deep", "send flatter values")
    for one in inner:
        if isinstance(one, (dict, list)):
            check_depth(one, most - 1)


def _write(value: object, *, allow_nan: bool) -> str:
    return json.dumps(value, allow_nan=allow_nan, separators=(",", ":"), default=str)


def _named(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _named(inner) for key, inner in value.items()}
    return [_named(inner) for inner in value] if isinstance(value, list) else value
