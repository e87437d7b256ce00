"""A sweep's turn to suggest, held at the server."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from typing import final

from whet.store.http.client import Client

__all__ = ["Turn"]


@final
class Turn(AbstractContextManager[None]):
    """The turn of one sweep. The server takes it back from a holder that was silent for too long."""

    def __init__(self, client: Client, sweep: str) -> None:
        self._client, self._sweep, self._key = client, sweep, secrets.token_hex(8)

    def __enter__(self) -> None:
        while not self._client.post("/turns/take", {"sweep": self._sweep, "key": self._key}):
            pass  # each question waits at the server

    def __exit__(self, *_: object) -> None:
        self._client.post("/turns/release", {"sweep": self._sweep, "key": self._key})
