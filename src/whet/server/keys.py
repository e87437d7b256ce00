"""Who shows this token, or this session's cookie."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import final

from whet.errors import StoreUnavailable
from whet.server.access import Caller
from whet.server.failures import Failures
from whet.store.token import Token, Tokens, digest

__all__ = ["FRESH_S", "SESSION_S", "Keys", "caller_by"]

FRESH_S = 2.0
"""For so long an answer of the store is good: a token that was revoked ends within it."""
SESSION_S = 7 * 86_400.0
"""How long a session lasts, at most until the server ends."""
_KNOWN_S = 600.0
_MOST = 4096


@final
class Keys:
    """The tokens of a store as a server looks at them, and its sessions. Safe to use from several threads.

    Args:
        tokens: The store's.
        now: Seconds since the epoch.
    """

    def __init__(self, tokens: Tokens, now: Callable[[], float] = time.time) -> None:
        self.failures = Failures()
        self._tokens = tokens
        self._now = now
        self._lock = threading.Lock()
        self._good: OrderedDict[str, tuple[float, Token]] = OrderedDict()  # by the digest of secret or cookie
        self._sessions: OrderedDict[str, tuple[float, str]] = (
            OrderedDict()
        )  # by the cookie's digest: its end, the token's id
        self._none: tuple[float, bool] = (-FRESH_S, False)

    # -- what is remembered, at no cost

    def fresh_none(self) -> bool | None:
        """Return whether there are no tokens at all, as far as is known; None: it has to be looked up, by `none`."""
        at, none = self._none
        return none if time.monotonic() - at < FRESH_S else None

    def fresh(self, shown: str) -> Token | None:
        """Return the token of a secret or cookie that was looked up a moment ago; None: it has to be looked up."""
        found = self._good.get(digest(shown))
        return found[1] if found is not None and time.monotonic() - found[0] < FRESH_S else None

    def was_good(self, secret: str) -> bool:
        """Return whether it was known to be good some minutes ago: its holder does not pay for others that fail beside him."""
        found = self._good.get(digest(secret))
        return found is not None and time.monotonic() - found[0] < _KNOWN_S

    # -- what asks the store

    def none(self) -> bool:
        """Return whether the store has no token, neither good nor bad."""
        none = not self._tokens.all()
        self._none = time.monotonic(), none
        return none

    def look(self, secret: str) -> Token | None:
        """Return the token of a secret, good or not any more, or None."""
        return self._remembered(secret, self._tokens.check(secret))

    def look_session(self, cookie: str) -> Token | None:
        """Return the token that a session was opened with, good or not any more, or None."""
        ends, id = self._sessions.get(digest(cookie), (0.0, ""))
        found = self._tokens.read(id) if self._now() < ends else None
        return self._remembered(cookie, found[0] if found else None)

    def _remembered(self, shown: str, token: Token | None) -> Token | None:
        key = digest(shown)
        with self._lock:
            if token is None or not self.is_live(token):
                self._good.pop(key, None)
                return token
            self._good[key] = time.monotonic(), token
            self._good.move_to_end(key)
            while len(self._good) > _MOST:
                self._good.popitem(last=False)
        with contextlib.suppress(StoreUnavailable):  # one that can only be read
            self._tokens.use(token, self._now())
        return token

    def is_live(self, token: Token) -> bool:
        """Return whether a token is good now."""
        return token.is_live(self._now())

    # -- sessions: the token stays out of the browser's cookies

    def open_session(self, token: Token) -> str:
        """Return the cookie of a new session for the holder of a token."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[digest(cookie)] = self._now() + SESSION_S, token.id
            while len(self._sessions) > _MOST:
                self._sessions.popitem(last=False)
        return cookie

    def end_session(self, cookie: str) -> None:
        """End a session; harmless where there is none."""
        with self._lock:
            self._sessions.pop(digest(cookie), None)
            self._good.pop(digest(cookie), None)


def caller_by(token: Token) -> Caller:
    """Return who shows a token."""
    return Caller(token=token.id, scope=token.scope, projects=frozenset(token.projects) or None)
