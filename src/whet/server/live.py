"""Live updates as server-sent events, whose ids are revisions: who reconnects gets exactly what he missed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from whet.server.access import needs
from whet.server.pulse import Pulse
from whet.server.rest import answer
from whet.server.sweeps import trial_view
from whet.server.views import Changed
from whet.store.base import Changes, Store

__all__ = ["router"]

_LOOK_S = 1.0
"""Other processes may write to the same database: how often it is looked whether they did."""
_STILL_HERE_S = 15.0


def router(store: Store, pulse: Pulse) -> APIRouter:
    """Return the route ``/sweeps/{id}/events``."""
    routes = APIRouter(tags=["sweeps"])

    @routes.get("/sweeps/{id}/events", response_class=StreamingResponse, responses={200: {"model": Changed}})
    @needs("read", sweep="id")
    async def events(
        id: str,
        since: Annotated[int, Query(ge=-1, lt=2**63)] = -1,
        last_event_id: Annotated[str | None, Header(max_length=18)] = None,
    ) -> StreamingResponse:
        """Send what changes in the sweep after revision `since` (or the header Last-Event-ID, which a browser sends when it reconnects)."""
        start = int(last_event_id) if last_event_id and last_event_id.isdecimal() else since
        sweep = await run_in_threadpool(store.sweeps.find, id)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(
            _stream(store, pulse, sweep.id, start), media_type="text/event-stream", headers=headers
        )

    return routes


async def _stream(store: Store, pulse: Pulse, sweep: str, revision: int) -> AsyncIterator[str]:
    version: tuple[int, object, object] | None = None
    spoken = time.monotonic()
    yield "retry: 1000\n\n"
    while True:
        count = pulse.count(sweep)
        changes = await run_in_threadpool(store.trials.changes, sweep, revision)
        now = (changes.version, changes.state, changes.cap)
        if changes.revision != revision or now != version:
            revision, version, spoken = changes.revision, now, time.monotonic()
            yield f"id: {revision}\nevent: changes\ndata: {await run_in_threadpool(_data, changes)}\n\n"
        elif time.monotonic() - spoken > _STILL_HERE_S:
            spoken = time.monotonic()
            yield ": still here\n\n"
        await pulse.wait(sweep, count, _LOOK_S)


def _data(changes: Changes) -> str:
    found = Changed(
        revision=changes.revision,
        version=changes.version,
        state=changes.state.value,
        cap=changes.cap,
        trials=tuple(map(trial_view, changes.trials)),
        reports=tuple((number, attempt, report.step, report.values) for number, attempt, report in changes.reports),
    )
    return bytes(answer(found).body).decode()  # JSON has no line breaks of its own
