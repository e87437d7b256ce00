"""Live updates as server-sent events, whose ids say how far one is: who reconnects gets exactly what he missed."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, final

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from whet.errors import NotFound
from whet.server.access import needs
from whet.server.pulse import Pulse
from whet.server.rest import answer
from whet.server.sweeps import trial_view
from whet.server.views import Changed
from whet.store.base import Changes, Store

__all__ = ["router"]

_LOOK_S = 1.0
"""Other processes may write to the same database: how often it is looked whether they did."""
_STILL_HERE_S = 2.0
"""How often something is sent where nothing happens: the guard, which looks at the token then, ends the stream of one that was revoked."""
_PAGE = 500
"""The most trials in one event, and the most reports, unless one trial has more."""


def router(store: Store, pulse: Pulse) -> APIRouter:
    """Return the route ``/sweeps/{id}/events``."""
    routes = APIRouter(tags=["sweeps"])

    @routes.get("/sweeps/{id}/events", response_class=StreamingResponse, responses={200: {"model": Changed}})
    @needs("read", sweep="id")
    async def events(
        id: str,
        since: Annotated[int, Query(ge=-1, lt=2**63)] = -1,
        last_event_id: Annotated[str | None, Header(max_length=64)] = None,
    ) -> StreamingResponse:
        """Send what changes in the sweep after revision `since` (or the header Last-Event-ID, which a browser sends when it reconnects)."""
        place = _Place.of(last_event_id) or _Place(since)
        sweep = await run_in_threadpool(store.sweeps.find, id)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _stream(store, pulse, sweep.id, place), media_type="text/event-stream", headers=headers
        )

    return routes


@final
@dataclass(frozen=True, slots=True)
class _Place:
    """How far a reader is: he knows what happened by revision `since`; in the middle of pages also trials up to `after`, and these lead `to`."""

    since: int
    to: int | None = None
    after: int = -1

    @staticmethod
    def of(text: str | None) -> _Place | None:
        found = re.fullmatch(r"(-1|\d{1,18})(?:\.(\d{1,18})\.(\d{1,18}))?", text or "", re.ASCII)
        if found is None:
            return None
        since, to, after = found.groups()
        return _Place(int(since)) if to is None else _Place(int(since), int(to), int(after))

    def then(self, changes: Changes) -> _Place:
        """Return where the reader is once he knows these changes."""
        to = (
            changes.revision if self.to is None else self.to
        )  # that of the first page: later ones may hold more, but not all
        return _Place(to) if changes.after is None else _Place(self.since, to, changes.after)

    def __str__(self) -> str:
        return str(self.since) if self.to is None else f"{self.since}.{self.to}.{self.after}"


async def _stream(store: Store, pulse: Pulse, sweep: str, place: _Place) -> AsyncIterator[str]:
    known: tuple[int, object, object] | None = None
    spoken = time.monotonic()
    yield "retry: 1000\n\n"
    while not pulse.ended:  # whoever still listens then reconnects, to the next server
        count = pulse.count(sweep)
        try:
            changes = await run_in_threadpool(_changes, store, sweep, place)
        except NotFound:
            yield "event: gone\ndata: {}\n\n"
            return
        then, now = place.then(changes), (changes.version, changes.state, changes.cap)
        if then != place or now != known:
            place, known, spoken = then, now, time.monotonic()
            yield f"id: {place}\nevent: changes\ndata: {await run_in_threadpool(_data, changes, place)}\n\n"
        elif time.monotonic() - spoken > _STILL_HERE_S:
            spoken = time.monotonic()
            yield ": still here\n\n"
        if place.to is None and place.since >= changes.revision:
            await pulse.wait(sweep, count, _LOOK_S)


def _changes(store: Store, sweep: str, place: _Place) -> Changes:
    return store.trials.changes(sweep, place.since, limit=_PAGE, after=place.after)


def _data(changes: Changes, place: _Place) -> str:
    found = Changed(
        revision=place.since,
        version=changes.version,
        state=changes.state.value,
        cap=changes.cap,
        trials=tuple(map(trial_view, changes.trials)),
        reports=tuple((number, attempt, report.step, report.values) for number, attempt, report in changes.reports),
        more=place.to is not None,
    )
    return bytes(answer(found).body).decode()  # JSON has no line breaks of its own
