"""Tokens, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from sqlalchemy import bindparam, delete, func, insert, select, update

from whet.store.codec import dump, load
from whet.store.database import Database, Statement
from whet.store.schema import tokens
from whet.store.token import Scope, Token, Tokens

__all__ = ["SqlTokens"]

_TOKENS = select(
    *(tokens.c[name] for name in ("id", "name", "scope", "projects", "created", "expires", "revoked", "used", "digest"))
)
_ID = tokens.c.id == bindparam("token")
_READ = Statement(_TOKENS.where(_ID))
_ALL = Statement(_TOKENS.order_by(tokens.c.created.desc(), tokens.c.id))
_KEEP = Statement(insert(tokens).values({c.name: bindparam(c.name, type_=c.type) for c in tokens.c}))
_MARK = Statement(
    update(tokens)
    .where(_ID)
    .values(
        {
            name: func.coalesce(bindparam(f"new_{name}", type_=tokens.c[name].type), tokens.c[name])
            for name in ("revoked", "used")
        }
    )
)
_DROP = Statement(delete(tokens).where(_ID))


@final
class SqlTokens(Tokens):
    """Tokens in a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def keep(self, token: Token, digest: str) -> None:
        with self._db.write() as tx:
            tx.run(
                _KEEP,
                id=token.id,
                digest=digest,
                name=token.name,
                scope=token.scope.value,
                projects=dump(list(token.projects)),
                created=token.created,
                expires=token.expires,
                revoked=token.revoked,
                used=token.used,
            )

    def read(self, id: str) -> tuple[Token, str] | None:
        rows = self._db.once(_READ, token=id)
        return (_to_token(rows[0]), rows[0][-1]) if rows else None

    def all(self) -> list[Token]:
        return [_to_token(row) for row in self._db.once(_ALL)]

    def mark(self, id: str, *, revoked: float | None = None, used: float | None = None) -> None:
        with self._db.write() as tx:
            tx.run(_MARK, token=id, new_revoked=revoked, new_used=used)

    def drop(self, id: str) -> None:
        with self._db.write() as tx:
            tx.run(_DROP, token=id)


def _to_token(row: Sequence[Any]) -> Token:
    id, name, scope, projects, created, expires, revoked, used, _ = row
    return Token(
        id=id,
        name=name,
        scope=Scope(scope),
        projects=tuple(load(projects)),
        created=created,
        expires=expires,
        revoked=revoked,
        used=used,
    )
