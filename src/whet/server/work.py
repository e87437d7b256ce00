"""The routes of workers: they ask for trials, report, have them judged, and tell how they ended."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio
from fastapi import APIRouter, Header
from starlette.responses import Response

from whet.errors import StudyError
from whet.server.access import needs
from whet.server.answers import Answers
from whet.server.engines import Engines
from whet.server.pulse import Pulse
from whet.server.rest import answer
from whet.server.views import Judge, Judgement, Report, Settle, Settled, Suggest, Suggested, Tell, Told
from whet.store.base import Store
from whet.study.engine import Engine, Nothing
from whet.study.judging import judge as judged
from whet.trial import Phase
from whet.trial import Report as TrialReport

__all__ = ["router"]

_SEARCHING = 4
"""Threads that suggest at a time, so that others are left for those who only report."""
_LOOK_S = 1.0
"""Other processes may work on the same database: how often a waiting question looks by itself."""

T = TypeVar("T")
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)]


class _NotNow(Exception):
    def __init__(self, nothing: Nothing) -> None:
        self.nothing = nothing


def router(store: Store, engines: Engines, answers: Answers, pulse: Pulse) -> APIRouter:
    """Return the routes ``/sweeps/{id}/suggest``, ``report``, ``judge``, ``tell`` and ``settle``."""
    routes = APIRouter(prefix="/sweeps/{id}", tags=["workers"])
    searching: list[anyio.CapacityLimiter] = []

    async def search(work: Callable[[], T]) -> T:
        if not searching:
            searching.append(anyio.CapacityLimiter(_SEARCHING))
        return await anyio.to_thread.run_sync(work, limiter=searching[0])

    def engine_of(id: str) -> Engine:
        return engines.get(store.sweeps.find(id).id)

    @routes.post("/suggest", response_model=Suggested)
    @needs("write", sweep="id")
    async def suggest(id: str, body: Suggest, idempotency_key: Key = None) -> Response:
        """Hand out the next trial. The worker reports on it, gives a sign of life every quarter of a minute, and tells how it ended."""
        engine = await search(lambda: engine_of(id))
        owner = body.owner or f"http||{secrets.token_hex(8)}"
        key = f"{engine.id} suggest {idempotency_key or secrets.token_hex(16)}"  # the answer is this sweep's

        def ask() -> Response:
            found = engine.ask(mine=body.mine, owner=owner, key=idempotency_key)
            if isinstance(found, Nothing):
                raise _NotNow(found)
            return answer(Suggested(trial=found, reason=found.note, final=False, state=engine.state.value))

        deadline = time.monotonic() + body.wait_s
        while True:
            since = pulse.count(engine.id)
            try:
                found = await search(lambda: answers.once(key, ask))
            except _NotNow as not_now:
                nothing = not_now.nothing
            else:
                pulse.beat(engine.id)
                return found
            left = deadline - time.monotonic()
            if nothing.final or left <= 0:
                return answer(
                    Suggested(trial=None, reason=nothing.reason, final=nothing.final, state=engine.state.value)
                )
            await pulse.wait(engine.id, since, min(left, _LOOK_S))

    @routes.post("/report", response_model=Judgement)
    @needs("write", sweep="id")
    def report(id: str, body: Report) -> Response:
        """Keep metrics of a running trial at a step, and say whether it goes on."""
        engine = engine_of(id)
        values = _in_order(engine, body.values, whole=False)
        engine.report(body.number, body.attempt, TrialReport(step=body.step, values=values))
        pulse.beat(engine.id)
        decision = engine.decide(body.number)
        num = len(engine.trial(body.number).reports)
        goes_on = decision is None or decision.verdict.value == "continue"
        if decision is None or goes_on:
            return answer(Judgement(num_judged=num, verdict=None, reason=""))
        return answer(Judgement(num_judged=num, verdict=decision.verdict.value, reason=decision.reason))  # type: ignore[arg-type]

    @routes.post("/judge", response_model=Judgement)
    @needs("write", sweep="id")
    def judge(id: str, body: Judge) -> Response:
        """Say whether a running trial goes on, after its reports that were not judged yet."""
        engine = engine_of(id)
        engine.sync()
        if body.num_judged is None:
            num, decision = len(engine.trial(body.number).reports), engine.decide(body.number, body.after)
        else:
            num, decision = judged(engine, body.number, body.num_judged, body.after)
        verdict: Any = None if decision is None or decision.verdict.value == "continue" else decision.verdict.value
        return answer(
            Judgement(num_judged=num, verdict=verdict, reason=decision.reason if decision and verdict else "")
        )

    @routes.post("/tell", response_model=Told)
    @needs("write", sweep="id")
    def tell(id: str, body: Tell) -> Response:
        """Say how a trial ended."""
        engine = engine_of(id)
        if body.failed + body.stopped + (body.values is not None) != 1 and not (body.stopped and not body.failed):
            raise StudyError(
                "a trial has values, or failed: true, or stopped: true",
                "send one of them (a stopped one may have values)",
            )
        values = None if body.values is None else _in_order(engine, body.values, whole=True)
        phase = engine.tell(
            body.number, body.attempt, values, phase=Phase.FAILED if body.failed else Phase.FINISHED, stopped=body.stopped,
            reason=body.reason, attrs=body.attrs,
        )  # fmt: skip
        pulse.beat(engine.id)
        engine.sync()
        return answer(Told(phase=phase.value, reason=engine.trial(body.number).reason))

    @routes.post("/settle", response_model=Settled)
    @needs("write", sweep="id")
    def settle(id: str, body: Settle) -> Response:
        """Finish the sweep if there is a reason to: its target or cap is reached, or its method has nothing left and nothing runs."""
        engine = engine_of(id)
        engine.finish_if_done(exhausted=body.exhausted)
        pulse.beat(engine.id)
        return answer(Settled(state=engine.state.value, reason=engine.why_over()))

    return routes


def _in_order(engine: Engine, values: dict[str, float], *, whole: bool) -> tuple[float, ...]:
    """Return a value for each metric of the sweep."""
    names = [metric.name for metric in engine.problem.metrics]
    if unknown := values.keys() - set(names):
        raise StudyError(f"the sweep has no metric {', '.join(sorted(unknown))}", f"its metrics are {', '.join(names)}")
    if whole and (missing := set(names) - values.keys()):
        raise StudyError(f"there is no value of {', '.join(sorted(missing))}", "send one for each metric")
    return tuple(values.get(name, float("nan")) for name in names)
