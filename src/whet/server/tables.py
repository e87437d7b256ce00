"""A sweep's runs as a table: page by page, or as one file that is sent while it is made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from whet.server.access import needs
from whet.server.etags import Tags
from whet.server.exports import Format, file_of
from whet.server.run_views import PageView, page_view
from whet.store.base import Store, TableQuery
from whet.store.matching import matching

__all__ = ["router"]

Filter = Annotated[str, Query(max_length=2000)]


def router(store: Store, tags: Tags) -> APIRouter:
    """Return the routes ``/sweeps/{id}/runs`` and ``/sweeps/{id}/export``."""
    routes = APIRouter(prefix="/sweeps", tags=["sweeps"])

    @routes.get("/{id}/runs", response_model=PageView)
    @needs("read", sweep="id")
    def runs(
        request: Request,
        id: str,
        *,
        filter: Filter = "",
        sort: str = "-created",
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        cursor: str | None = None,
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        column: Annotated[list[str], Query(default_factory=list)],
    ) -> Response:
        """Return a page of the sweep's runs, asked for as in ``/runs``."""
        sweep = store.sweeps.find(id).id
        query = TableQuery(
            filter=filter, sort=sort, sweep=sweep, limit=limit, cursor=cursor, offset=offset, columns=tuple(column)
        )
        return tags.answer(request, lambda: page_view(store.runs.table(query)))

    @routes.get("/{id}/export", response_class=Response)
    @needs("read", sweep="id")
    def export(id: str, filter: Filter = "", format: Format = "csv") -> Response:
        """Return the sweep's runs as one file: a row a run with the columns of ``whet export``, or as JSON whole runs with their curves."""
        sweep = store.sweeps.find(id)
        query = TableQuery(filter=filter, sort="created", sweep=sweep.id)
        return file_of(store, matching(store, query), format, sweep.id)

    return routes
