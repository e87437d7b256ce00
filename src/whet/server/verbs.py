"""The store's verbs over HTTP, one route each, for the stores of other machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from whet.errors import StoreError, WhetError
from whet.server.access import Caller, caller, needs
from whet.server.answers import Answers
from whet.server.once import kept_key
from whet.server.problems import problem
from whet.server.rest import check_depth
from whet.server.turns import Turns
from whet.server.verb_rules import act, own_sweep, scope_of
from whet.store.base import Store
from whet.store.codec import dump, load
from whet.store.token import Scope
from whet.store.verbs import Verb, verbs
from whet.store.wire import encode

__all__ = ["router"]

_WAIT_S = 2.0
_WAITERS = 1000  # threads that may wait for a turn: apart from the others, which would starve beside them
_TURN = {
    "type": "object",
    "properties": {"sweep": {"type": "string"}, "key": {"type": "string"}},
    "required": ["key", "sweep"],
}


def router(store: Store, answers: Answers) -> APIRouter:
    """Return the routes ``/verbs/FACET.VERB`` and ``/turns/…`` over `store`."""
    routes = APIRouter()
    turns = Turns()
    for verb in verbs().values():
        routes.add_api_route(
            f"/verbs/{verb.name}",
            _route(
                _calling(verb, store),
                answers,
                scope=scope_of(verb),
                keeps=not (verb.reads or verb.is_kept),  # the store keeps what it did for those that take a key
            ),
            methods=["POST"],
            name=verb.name,
            summary=verb.doc.partition("\n")[0],
            description=verb.doc,
            tags=["verbs"],
            openapi_extra=_taking(verb.schema),
        )

    def take(who: Caller, body: object, key: str) -> object:
        sweep, holder = _named(body, "sweep", "key")
        own_sweep(store, who, sweep)
        return turns.take(sweep, holder, _WAIT_S)

    def release(who: Caller, body: object, key: str) -> object:
        sweep, holder = _named(body, "sweep", "key")
        own_sweep(store, who, sweep)
        turns.release(sweep, holder)
        return None

    waiters = CapacityLimiter(_WAITERS)
    for name, what in (("take", take), ("release", release)):
        routes.add_api_route(
            f"/turns/{name}",
            _route(what, answers, scope=Scope.WRITE, keeps=False, threads=waiters),
            methods=["POST"],
            name=f"turns.{name}",
            tags=["verbs"],
            openapi_extra=_taking(_TURN),
        )
    return routes


def _taking(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return how OpenAPI describes a body of these arguments."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": dict(arguments)}}}}


def _calling(verb: Verb, store: Store) -> Callable[[Caller, object, str], object]:
    def call(who: Caller, body: object, key: str) -> object:
        given = verb.read(body)
        if verb.is_kept:  # a server that is killed now forgets its answers, but not what it has done
            given["once"] = kept_key(who, f"{verb.name} {given.get('sweep', '')}", given.get("once") or key)
        return encode(act(verb, store, who, given))

    return call


def _named(body: object, *names: str) -> list[str]:
    if not isinstance(body, dict) or not all(isinstance(body.get(name), str) for name in names):
        raise StoreError(f"got {body!r:.80}, wanted a mapping with {' and '.join(names)}", "send both as text")
    return [body[name] for name in names]


def _route(
    what: Callable[[Caller, object, str], object],
    answers: Answers,
    *,
    scope: Scope,
    keeps: bool,
    threads: CapacityLimiter | None = None,
) -> Callable[[Request], Awaitable[Response]]:
    def answer(who: Caller, body: bytes, key: str) -> Response:
        try:
            try:
                given = load(body)
            except (ValueError, RecursionError) as error:
                raise StoreError(f"the body is not JSON ({error})", "send a mapping of the verb's arguments") from None
            check_depth(given)
            return Response(dump(what(who, given, key)), media_type="application/json")
        except WhetError as error:
            return problem(error)

    @needs(scope.value, checks_itself=True)
    async def route(request: Request) -> Response:
        body = await request.body()
        who, key = caller(request), request.headers.get("idempotency-key", "")
        if keeps and key:  # another caller's answer, or that to another question, is not this one's
            kept = f"{who.token} {request.url.path} {key}"
            return await run_in_threadpool(answers.once, kept, lambda: answer(who, body, key))
        return await to_thread.run_sync(answer, who, body, key, limiter=threads)

    return route
