"""Doing things now and then, in loops that turn all the time."""

from __future__ import annotations

import math
import time
from typing import final

__all__ = ["Pace"]


@final
class Pace:
    """Says when something is due again.

    Example:
        >>> is_due = Pace()
        >>> is_due("look", 60.0), is_due("look", 60.0)
        (True, False)
    """

    def __init__(self) -> None:
        self._last: dict[object, float] = {}

    def __call__(self, what: object, interval_s: float) -> bool:
        """Return whether `what` was last due `interval_s` ago or longer, or never; then it is now."""
        now = time.monotonic()
        if now - self._last.get(what, -math.inf) < interval_s:
            return False
        self._last[what] = now
        return True
