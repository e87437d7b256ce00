"""Tokens, in memory."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import final

from whet.store.token import Token, Tokens

__all__ = ["MemoryTokens"]


@final
class MemoryTokens(Tokens):
    """Tokens in memory, for a server's tests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[Token, str]] = {}

    def keep(self, token: Token, digest: str) -> None:
        with self._lock:
            self._kept[token.id] = token, digest

    def read(self, id: str) -> tuple[Token, str] | None:
        return self._kept.get(id)

    def all(self) -> list[Token]:
        with self._lock:
            return [token for token, _ in reversed(self._kept.values())]

    def mark(self, id: str, *, revoked: float | None = None, used: float | None = None) -> None:
        with self._lock:
            if id in self._kept:
                token, digest = self._kept[id]
                token = replace(
                    token,
                    revoked=token.revoked if revoked is None else revoked,
                    used=token.used if used is None else used,
                )
                self._kept[id] = token, digest

    def drop(self, id: str) -> None:
        with self._lock:
            self._kept.pop(id, None)
