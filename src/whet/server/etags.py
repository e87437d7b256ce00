"""Answers that need not be sent again: a GET whose answer is what the client has already gets 304.

An answer's tag is a digest of it. As long as the store's mark stays (`Runs.mark`), the answer is known to be the same without being made,
so that polling a server on which nothing happens costs next to nothing.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import final

from starlette.requests import Request
from starlette.responses import Response

from whet.server.access import caller
from whet.server.rest import answer
from whet.store.base import Store

__all__ = ["Tags"]

_MOST = 2000
_TRUSTED_S = 10.0
"""For so long a mark is believed: ages in filters and the life of processes change with nothing written."""


@final
class Tags:
    """The tags of the latest answers. Safe to use from several threads."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, tuple[str, str]] = OrderedDict()

    def answer(self, request: Request, make: Callable[[], object]) -> Response:
        """Return what `make` returns as JSON, or 304 where the client has it."""
        has = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        who = caller(request)
        asked = (request.url.path, request.url.query, who.projects)
        mark = f"{self._store.runs.mark()} {self._now() // _TRUSTED_S:.0f}"  # before what is read
        kept = self._kept.get(asked)
        if kept is not None and kept[0] == mark and kept[1] in has:
            return self._headed(Response(status_code=304), kept[1])
        made = answer(make())
        tag = f'"{hashlib.blake2b(bytes(made.body), digest_size=12).hexdigest()}"'
        with self._lock:
            self._kept[asked] = (mark, tag)
            self._kept.move_to_end(asked)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return self._headed(Response(status_code=304) if tag in has else made, tag)

    def _headed(self, response: Response, tag: str) -> Response:
        response.headers["ETag"] = f"W/{tag}"  # weak, for it may be sent compressed
        response.headers["Cache-Control"] = "private, no-cache"
        return response
