"""Answers to verbs sent with an Idempotency-Key whose doing the store itself does not remember: sent again soon, a verb gets the same answer, and is done once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import final

from starlette.responses import Response

__all__ = ["Answers"]

_KEPT_S = 600.0
_MOST = 20_000


@final
class Answers:
    """The latest answers by key, for ten minutes. Safe to use from several threads: a second request waits for the first one's answer."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Future[Response]]] = OrderedDict()

    def once(self, key: str, act: Callable[[], Response]) -> Response:
        """Return the answer to the request `key`: that which it got already, or what `act` returns now.

        An answer that says "not now" (502 and above), or an exception, is not kept: the request may be tried again.
        """
        with self._lock:
            self._forget()
            if key in self._kept:
                waiting, mine = self._kept[key][1], None
            else:
                waiting = mine = Future[Response]()
                self._kept[key] = (self._now(), mine)
        if mine is None:
            return waiting.result()
        try:
            answer = act()
        except BaseException as error:
            self._drop(key)
            mine.set_exception(error)
            raise
        if answer.status_code >= 502:
            self._drop(key)
        mine.set_result(answer)
        return answer

    def _drop(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def _forget(self) -> None:
        old = self._now() - _KEPT_S
        while self._kept and (len(self._kept) > _MOST or next(iter(self._kept.values()))[0] < old):
            self._kept.popitem(last=False)
