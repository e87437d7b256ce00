"""How long a loop that lost its store waits for it, and what it says meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import final

from whet.errors import StoreUnavailable
from whet.tune.events import Event, EventKind

__all__ = ["PATIENCE_S", "Patience", "in_words"]

PATIENCE_S = 600.0
"""Unless one says otherwise: a server may be restarted, upgraded, or moved in the meantime."""


@final
class Patience:
    """One wait for a store at a time, from the first failure to the first success.

    Args:
        limit_s: How long to wait; 0: not at all.
        say: Told once when it begins, and once when it is over.
    """

    def __init__(self, limit_s: float, say: Callable[[Event], None]) -> None:
        self._limit_s = limit_s
        self._say = say
        self._since: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the store was out of reach when it was last tried."""
        return self._since is not None

    def failed(self, error: StoreUnavailable, meanwhile: str = "") -> None:
        """Note that the store was out of reach; try again in a moment.

        Args:
            error: Why.
            meanwhile: What goes on all the same, in words.

        Raises:
            StoreUnavailable: the `error`, when it was waited for long enough.
        """
        now = time.monotonic()
        if self._since is None and self._limit_s > 0:
            self._since = now
            kept = f"{meanwhile}, and the" if meanwhile else "the"
            self._say(
                Event(
                    EventKind.NOTICE,
                    None,
                    f"{error.problem}: {kept} store is tried again for {in_words(self._limit_s)}",
                )
            )
        elif self._since is None or now - self._since >= self._limit_s:
            raise error

    def succeeded(self) -> bool:
        """Note that the store answered, and return whether it was waited for."""
        since, self._since = self._since, None
        if since is not None:
            waited_s = time.monotonic() - since
            self._say(Event(EventKind.NOTICE, None, f"the store answers again, after {in_words(waited_s)}"))
        return since is not None


def in_words(seconds: float) -> str:
    """Return a time as people say it.

    Example:
        >>> in_words(600.0), in_words(45.2), in_words(5400.0)
        ('10 min', '45 s', '90 min')
    """
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
