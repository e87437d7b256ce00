"""The server's process: when it ends, those who wait for something get to know first."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import final

import uvicorn

__all__ = ["Process"]


@final
class Process(uvicorn.Server):
    """uvicorn's server, which calls `ends` when it is told to end, just before it closes its sockets and waits for the answers under way."""

    def __init__(self, config: uvicorn.Config, ends: Callable[[], None]) -> None:
        super().__init__(config)
        self._ends = ends

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: wake those who wait, then finish what is under way."""
        self._ends()
        await super().shutdown(sockets)
