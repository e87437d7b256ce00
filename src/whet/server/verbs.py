"""The store's verbs over HTTP, one route each, for the stores of other machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from whet.errors import StoreError, WhetError
from whet.server.answers import Answers
from whet.server.problems import problem
from whet.server.pulse import Pulse
from whet.server.turns import Turns
from whet.store.base import Store
from whet.store.codec import dump, load
from whet.store.verbs import Verb, verbs

__all__ = ["router"]

_WAIT_S = 2.0
_TURN = {
    "type": "object",
    "properties": {"sweep": {"type": "string"}, "key": {"type": "string"}},
    "required": ["key", "sweep"],
}


def router(store: Store, answers: Answers, pulse: Pulse) -> APIRouter:
    """Return the routes ``/verbs/FACET.VERB`` and ``/turns/…`` over `store`."""
    routes = APIRouter()
    turns = Turns()
    for verb in verbs().values():
        routes.add_api_route(
            f"/verbs/{verb.name}",
            _route(_calling(verb, store, pulse), answers, keeps=not verb.reads),
            methods=["POST"],
            name=verb.name,
            summary=verb.doc.partition("\n")[0],
            description=verb.doc,
            tags=["verbs"],
            openapi_extra=_taking(verb.schema),
        )

    def take(body: object) -> object:
        sweep, key = _named(body, "sweep", "key")
        return turns.take(sweep, key, _WAIT_S)

    def release(body: object) -> object:
        turns.release(*_named(body, "sweep", "key"))
        return None

    for path, act in (("/turns/take", take), ("/turns/release", release)):
        route = _route(act, answers, keeps=False)
        routes.add_api_route(path, route, methods=["POST"], name=path, tags=["verbs"], openapi_extra=_taking(_TURN))
    return routes


def _taking(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return how OpenAPI describes a body of these arguments."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": dict(arguments)}}}}


def _calling(verb: Verb, store: Store, pulse: Pulse) -> Callable[[object], object]:
    def call(body: object) -> object:
        found = verb.call(store, body)
        if not verb.reads and isinstance(body, dict):
            pulse.beat(str(body.get("sweep") or body.get("id")))
        return found

    return call


def _named(body: object, *names: str) -> list[str]:
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in names):
        raise StoreError(f"got {body!r:.80}, wanted a mapping with {' and '.join(names)}", "send both as text")
    return [body[name] for name in names]


def _route(
    act: Callable[[object], object], answers: Answers, *, keeps: bool
) -> Callable[[Request], Awaitable[Response]]:
    def answer(body: bytes) -> Response:
        try:
            try:
                given = load(body)
            except (ValueError, RecursionError) as error:
                raise StoreError(f"the body is not JSON ({error})", "send a mapping of the verb's arguments") from None
            return Response(dump(act(given)), media_type="application/json")
        except WhetError as error:
            return problem(error)

    async def route(request: Request) -> Response:
        body = await request.body()
        key = request.headers.get("idempotency-key", "")
        if keeps and key:
            return await run_in_threadpool(answers.once, key, lambda: answer(body))
        return await run_in_threadpool(answer, body)

    return route
