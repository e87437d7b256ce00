"""How often an address showed a token that is none: after ten times in a minute it waits."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import final

__all__ = ["Failures"]

_MOST = 10
_WITHIN_S = 60.0
_ADDRESSES = 4096  # more are forgotten, oldest first: memory has an end


@final
class Failures:
    """The latest failures by address."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, address: str) -> None:
        """Note a failure."""
        with self._lock:
            self._times.setdefault(address, deque(maxlen=_MOST)).append(self._now())
            self._times.move_to_end(address)
            while len(self._times) > _ADDRESSES:
                self._times.popitem(last=False)

    def wait_s(self, address: str) -> float:
        """Return for how many seconds the address has to wait; 0: it may try."""
        with self._lock:
            times = self._times.get(address)
            if times is None or len(times) < _MOST:
                return 0.0
            return max(0.0, times[0] + _WITHIN_S - self._now())
