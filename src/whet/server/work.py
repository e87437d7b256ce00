"""The routes of workers: they ask for trials, report, have them judged, and tell how they ended."""

from __future__ import annotations

import secrets
from typing import Any

from anyio import from_thread
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from whet.errors import StudyError
from whet.server.access import caller, needs
from whet.server.engines import Engines
from whet.server.once import Key, kept_key
from whet.server.questions import NotNow, Questions
from whet.server.rest import answer
from whet.server.views import Judge, Judgement, Report, Settle, Settled, Suggest, Suggested, Tell, Told
from whet.stop.base import Decision, Verdict
from whet.store.base import Store
from whet.study.engine import Engine, Nothing
from whet.study.judging import judge as judged
from whet.study.question import Unwanted
from whet.trial import Phase
from whet.trial import Report as TrialReport

__all__ = ["router"]


def router(store: Store, engines: Engines, questions: Questions) -> APIRouter:
    """Return the routes ``/sweeps/{id}/suggest``, ``report``, ``judge``, ``tell`` and ``settle``."""
    routes = APIRouter(prefix="/sweeps/{id}", tags=["workers"])

    def engine_of(id: str) -> Engine:
        return engines.get(store.sweeps.find(id).id)

    @routes.post("/suggest", response_model=Suggested)
    @needs("write", sweep="id")
    async def suggest(request: Request, id: str, body: Suggest, idempotency_key: Key = None) -> Response:
        """Hand out the next trial. The worker reports on it, gives a sign of life every quarter of a minute, and tells how it ended."""
        engine = await run_in_threadpool(engine_of, id)
        owner = body.owner or f"http||{secrets.token_hex(8)}"
        key = kept_key(caller(request), f"{engine.id} suggest", idempotency_key)

        def is_wanted() -> bool:
            return not from_thread.run(request.is_disconnected)

        def ask() -> Response:
            found = engine.ask_for(owner, mine=body.mine, key=key, is_wanted=is_wanted)
            if isinstance(found, Nothing):
                raise NotNow(found)
            return answer(Suggested(trial=found, reason=found.note, final=False, state=engine.state.value))

        try:
            return await questions.answer(
                engine.id,
                ask,
                wait_s=body.wait_s,
                is_alike=body.mine is None,
                has_left=request.is_disconnected,
            )
        except NotNow as not_now:
            nothing = not_now.nothing
        except Unwanted:
            nothing = Nothing("whoever asked has left", final=False)
        return answer(Suggested(trial=None, reason=nothing.reason, final=nothing.final, state=engine.state.value))

    @routes.post("/report", response_model=Judgement)
    @needs("write", sweep="id")
    def report(id: str, body: Report) -> Response:
        """Keep metrics of a running trial at a step, and say whether it goes on."""
        engine = engine_of(id)
        values = _in_order(engine, body.values, whole=False)
        engine.report(body.number, body.attempt, TrialReport(step=body.step, values=values))
        decision = engine.decide(body.number)
        return _judgement(len(engine.trial(body.number).reports), decision)

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
        return _judgement(num, decision)

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
        engine.sync()
        return answer(Told(phase=phase.value, reason=engine.trial(body.number).reason))

    @routes.post("/settle", response_model=Settled)
    @needs("write", sweep="id")
    def settle(id: str, body: Settle) -> Response:
        """Finish the sweep if there is a reason to: its target or cap is reached, or its method has nothing left and nothing runs."""
        engine = engine_of(id)
        engine.finish_if_done(exhausted=body.exhausted, may_search=body.may_search)
        return answer(Settled(state=engine.state.value, reason=engine.why_over(may_search=body.may_search)))

    return routes


def _judgement(num: int, decision: Decision | None) -> Response:
    """Return what `decision` says after `num` reports; a trial that goes on needs no reason."""
    if decision is None or decision.verdict is Verdict.CONTINUE:
        return answer(Judgement(num_judged=num, verdict=None, reason=""))
    verdict: Any = decision.verdict.value
    return answer(Judgement(num_judged=num, verdict=verdict, reason=decision.reason))


def _in_order(engine: Engine, values: dict[str, float], *, whole: bool) -> tuple[float, ...]:
    """Return a value for each metric of the sweep."""
    names = [metric.name for metric in engine.problem.metrics]
    if unknown := values.keys() - set(names):
        raise StudyError(f"the sweep has no metric {', '.join(sorted(unknown))}", f"its metrics are {', '.join(names)}")
    if whole and (missing := set(names) - values.keys()):
        raise StudyError(f"there is no value of {', '.join(sorted(missing))}", "send one for each metric")
    return tuple(values.get(name, float("nan")) for name in names)
