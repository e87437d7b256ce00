"""Tokens are not handed out over HTTP."""

from __future__ import annotations

from typing import final

from whet.errors import Refused
from whet.store.token import Token, Tokens

__all__ = ["NoTokens"]


@final
class NoTokens(Tokens):
    """The tokens of a server, which it keeps to itself: every verb raises Refused."""

    def __init__(self, url: str) -> None:
        self._url = url

    def _refused(self) -> Refused:
        return Refused(
            f"the tokens of {self._url} are kept where its store is",
            "run `whet --store … token` there, with the store that its `whet serve` has",
        )

    def keep(self, token: Token, digest: str) -> None:
        raise self._refused()

    def read(self, id: str) -> tuple[Token, str] | None:
        raise self._refused()

    def all(self) -> list[Token]:
        raise self._refused()

    def mark(self, id: str, *, revoked: float | None = None, used: float | None = None) -> None:
        raise self._refused()

    def drop(self, id: str) -> None:
        raise self._refused()
