"""What every request passes first."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from whet.server.access import EVERYBODY, Visit

__all__ = ["Guard"]


class Guard:
    """Lets everybody in, for now: the routes check what they need already, so that they are ready for the day."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        if scope["type"] == "http":
            Visit(EVERYBODY).enter(scope)
        await self._app(scope, receive, send)
