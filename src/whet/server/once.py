"""The key with which a request is sent again, as the store keeps it."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import Header

from whet.server.access import Caller

__all__ = ["Key", "kept_key"]

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]
"""The header; one request means one key, whoever sends it again."""


def kept_key(who: Caller, what: str, key: str | None) -> str | None:
    """Return the key under which what `who` asks for is done once, or None without one.

    Another caller's key, and the same key of another question, are other keys; and nobody reads from it what was sent.

    Args:
        who: The caller.
        what: The question: a verb or a route, and the sweep.
        key: As it was sent.
    """
    return None if not key else hashlib.sha256("\n".join((who.token, what, key)).encode()).hexdigest()
