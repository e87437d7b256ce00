"""Trials that failed, run again on request."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from whet.server.access import needs
from whet.server.rest import answer
from whet.server.sweep_views import Queued, Retries, Skipped
from whet.server.views import Again
from whet.store.base import Store
from whet.study.retry import retry

__all__ = ["router"]


def router(store: Store) -> APIRouter:
    """Return the route ``/sweeps/{id}/retry``."""
    routes = APIRouter(prefix="/sweeps", tags=["sweeps"])

    @routes.post("/{id}/retry", response_model=Retries)
    @needs("write", sweep="id")
    def again(id: str, body: Again) -> Response:
        """Queue trials that are over once more, as new ones with the same params; sent twice it queues nothing twice.

        A cap is raised by as many, and a finished sweep is reopened.
        """
        sweep = store.sweeps.find(id).id
        done = retry(store, sweep, body.numbers)
        queued, waiting = (
            [Queued(number=old, as_number=new) for old, new in pairs.items()] for pairs in (done.queued, done.waiting)
        )
        skipped = [Skipped(number=number, reason=why) for number, why in done.skipped.items()]
        return answer(Retries(queued=queued, waiting=waiting, skipped=skipped, state=done.state.value, cap=done.cap))

    return routes
