"""Answers that need not be sent again: a GET whose answer is what the client has already gets 304.

An answer's tag is a digest of it. What an answer was made from has a mark: the store's (`Runs.mark`), or for a sweep's figures its revision. As
long as that stays, the answer is known to be the same without being made, so that polling a server on which nothing happens costs next to
nothing; and the answers themselves are kept for those who ask the same, so that a figure is computed once however many look at it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from starlette.requests import Request
from starlette.responses import Response

from whet.server.access import caller
from whet.server.rest import answer
from whet.store.base import Store

__all__ = ["Tags"]

_MOST = 2000
_MOST_BYTES = 32 << 20
_TRUSTED_S = 10.0
"""For so long the store's mark is believed: ages in filters and the life of processes change with nothing written."""


@final
@dataclass(slots=True)
class _Kept:
    """An answer; `lock` is held by who makes it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    mark: object = None
    tag: str = ""
    body: bytes = b""


@final
class Tags:
    """The latest answers, up to 32 MiB, and the tags of more. Safe to use from several threads: who asks the same waits for the first one's answer."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, _Kept] = OrderedDict()
        self._bytes = 0

    def answer(self, request: Request, make: Callable[[], object], *, mark: object = None) -> Response:
        """Return what `make` returns as JSON, or 304 where the client has it.

        Args:
            request: The question; the same path and query by callers of equal reach are the same question.
            make: Makes the answer.
            mark: What it is made from; by default all that is stored.
        """
        has = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        asked = (request.url.path, request.url.query, caller(request).projects)
        if mark is None:
            mark = f"{self._store.runs.mark()} {self._now() // _TRUSTED_S:.0f}"  # before what is read
        with self._lock:
            kept = self._kept.setdefault(asked, _Kept())
            self._kept.move_to_end(asked)
            while len(self._kept) > _MOST:
                self._drop(self._kept.popitem(last=False)[1])
        with kept.lock:
            body = kept.body  # which may be dropped at any time
            if kept.mark != mark or not (body or kept.tag in has):
                body = bytes(answer(make()).body)
                kept.mark, kept.tag = mark, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
                self._keep(asked, kept, body)
            tag = kept.tag
        if tag in has:
            return self._headed(Response(status_code=304), tag)
        return self._headed(Response(body, media_type="application/json"), tag)

    def _keep(self, asked: object, kept: _Kept, body: bytes) -> None:
        with self._lock:
            if self._kept.get(asked) is not kept:  # so many others were asked for meanwhile
                return
            self._bytes += len(body) - len(kept.body)
            kept.body = body
            for old in self._kept.values():  # the bytes of the oldest go; they themselves where there are too many
                if self._bytes <= _MOST_BYTES:
                    break
                self._drop(old)

    def _drop(self, kept: _Kept) -> None:
        self._bytes -= len(kept.body)
        kept.body = b""

    def _headed(self, response: Response, tag: str) -> Response:
        response.headers["ETag"] = f"W/{tag}"  # weak, for it may be sent compressed
        response.headers["Cache-Control"] = "private, no-cache"
        return response
