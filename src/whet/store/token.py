"""Tokens: who may do what with a store that others reach, by a secret that is shown once and kept as its digest."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import final

from whet.errors import Conflict, NotFound, StoreError, UnknownName, nearest
from whet.store.codec import text
from whet.store.ids import new_id

__all__ = ["Scope", "Token", "Tokens", "digest"]

_PREFIX = "whet_"
"""How every token begins, so that scanners for leaked secrets know one: ``whet_[0-9a-z]{10}_[0-9a-f]{64}``."""
_SECRET_BYTES = 32
_NOBODY = hashlib.sha256(b"").hexdigest()
_USED_S = 600.0  # a use is written down once in this time


class Scope(Enum):
    """What a token allows; each allows what the ones before it do."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def covers(self, other: Scope) -> bool:
        """Return whether it allows what `other` does."""
        return _ORDER[self] >= _ORDER[other]

    @classmethod
    def of(cls, name: str) -> Scope:
        """Return the scope called `name`, or raise UnknownName."""
        try:
            return cls(name)
        except ValueError:
            raise UnknownName.of("scope", name, [scope.value for scope in cls]) from None


_ORDER = {scope: place for place, scope in enumerate(Scope)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is kept: everything but its secret.

    Args:
        id: Ten letters and digits; they stand in the token, too.
        projects: Those that it is limited to; empty: none, it is good for all.
        created: This and the other times in seconds since the epoch.
        expires: None: never.
        revoked: When it was, or None.
        used: When it was last used, to ten minutes, or None.
    """

    id: str
    name: str
    scope: Scope
    projects: tuple[str, ...]
    created: float
    expires: float | None
    revoked: float | None = None
    used: float | None = None

    def is_live(self, now: float) -> bool:
        """Return whether it is good at the time `now`."""
        return self.revoked is None and (self.expires is None or now < self.expires)


def digest(secret: str) -> str:
    """Return what is kept of a token: its SHA-256, in hex. Its 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Tokens(ABC):
    """The tokens of a store. They are handed out where the store is (``whet token``), never over HTTP."""

    @abstractmethod
    def keep(self, token: Token, digest: str) -> None:
        """Keep a new token."""

    @abstractmethod
    def read(self, id: str) -> tuple[Token, str] | None:
        """Return the token `id` and its digest, or None."""

    @abstractmethod
    def all(self) -> list[Token]:
        """Return all tokens, newest first; revoked and expired ones too."""

    @abstractmethod
    def mark(self, id: str, *, revoked: float | None = None, used: float | None = None) -> None:
        """Write down when the token was revoked or used; what is None stays."""

    @abstractmethod
    def drop(self, id: str) -> None:
        """Delete the token; harmless where there is none."""

    @final
    def create(
        self, scope: Scope, *, projects: Collection[str] = (), name: str = "", expires: float | None = None
    ) -> tuple[Token, str]:
        """Make a token, and return it with its secret, which nobody can read again.

        Args:
            scope: What it allows.
            projects: Those that it is limited to; empty: it is good for all.
            name: Who or what it is for.
            expires: Seconds since the epoch, later than now; None: never.
        """
        now = time.time()
        if expires is not None and not expires > now:
            raise StoreError(f"expires={expires} is not later than now ({now:.0f})", "give a time to come")
        token = Token(
            id=new_id(),
            name=text(name),
            scope=scope,
            projects=tuple(sorted({text(project) for project in projects})),
            created=now,
            expires=expires,
        )
        secret = f"{_PREFIX}{token.id}_{secrets.token_hex(_SECRET_BYTES)}"
        self.keep(token, digest(secret))
        return token, secret

    @final
    def check(self, secret: str) -> Token | None:
        """Return the token whose secret this is, or None. It may be expired or revoked (see `Token.is_live`).

        The comparison takes as long whether the secret is right or wrong, and whether there is a token of its id or not.
        """
        id = secret.removeprefix(_PREFIX).partition("_")[0]
        found = self.read(id) if id.isalnum() and id.isascii() else None
        token, kept = found or (None, _NOBODY)
        return token if hmac.compare_digest(kept, digest(secret)) else None

    @final
    def use(self, token: Token, now: float) -> None:
        """Write down that it was used, unless that was done a moment ago."""
        if token.used is None or now - token.used > _USED_S:
            self.mark(token.id, used=now)

    @final
    def find(self, beginning: str) -> Token:
        """Return the token whose id, unique beginning of an id, or name is `beginning`.

        Raises:
            NotFound: there is none, or several.
        """
        known = self.all()
        found = [token for token in known if token.id == beginning] or [
            token for token in known if beginning and (token.id.startswith(beginning) or token.name == beginning)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFound(
                f"{beginning!r} is several tokens", f"give the id of one: {', '.join(token.id for token in found)}"
            )
        near = ", ".join(nearest(beginning, [token.id for token in known])[:5])
        raise NotFound(f"no token {beginning!r}", f"there are: {near}" if known else "there is none")

    @final
    def revoke(self, id: str) -> Token:
        """Make the token good for nothing from now on, and return it. Again: harmless."""
        token = self.find(id)
        if token.revoked is None:
            self.mark(token.id, revoked=time.time())
        return self.find(token.id)

    @final
    def forget(self, id: str) -> None:
        """Delete a token that is good for nothing any more.

        Raises:
            Conflict: it is still good.
        """
        token = self.find(id)
        if token.is_live(time.time()):
            raise Conflict(f"token {token.id} is still good", "revoke it first")
        self.drop(token.id)
