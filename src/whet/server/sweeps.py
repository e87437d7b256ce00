"""Sweeps over HTTP: made, read, moved and looked at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from whet.analysis.correlation import Correlation, correlation
from whet.analysis.history import Milestone, best_so_far, hypervolume_so_far
from whet.analysis.importance import importance
from whet.analysis.parallel import Parallel, parallel_coordinates
from whet.analysis.pareto import pareto_front
from whet.config import parse, with_parts
from whet.errors import ConfigError, StudyError
from whet.server.access import caller, needs
from whet.server.drafts import drafted
from whet.server.engines import Engines, Seen
from whet.server.etags import Tags
from whet.server.once import Key, kept_key
from whet.server.rest import answer
from whet.server.sparks import Sparks, meaning
from whet.server.views import Best, Counts, Edit, Enqueue, Marks, NewSweep, Stats, SweepFull, SweepRow, TrialView
from whet.store.base import Store, Sweep, SweepState
from whet.store.describe import method_of, sweep_as_json
from whet.study.create import DEFAULT_PROJECT, create_sweep, edit_sweep
from whet.trial import Phase, Trial

__all__ = ["marks_of", "router", "trial_view"]

_TO = {
    "start": SweepState.RUNNING,
    "resume": SweepState.RUNNING,
    "pause": SweepState.PAUSED,
    "finish": SweepState.FINISHED,
    "cancel": SweepState.CANCELED,
}


def router(store: Store, engines: Engines, tags: Tags) -> APIRouter:
    """Return the routes ``/sweeps`` but those of workers (see `whet.server.work`)."""
    routes = APIRouter(prefix="/sweeps", tags=["sweeps"])
    sparks = Sparks(store)

    @routes.get("", response_model=list[SweepRow])
    @needs("read", checks_itself=True)
    def all_sweeps(
        request: Request,
        project: str | None = None,
        state: Annotated[list[SweepState] | None, Query()] = None,
        method: str | None = None,
    ) -> Response:
        """Return the sweeps, newest first."""
        who = caller(request)
        seen = [sweep for sweep in store.sweeps.all(project) if who.sees(sweep.project)]
        wanted = [
            sweep
            for sweep in seen
            if (not state or sweep.state in state) and (method is None or method_of(sweep) == method)
        ]
        lines = sparks.of(wanted)
        return answer([_row(sweep, lines[sweep.id]) for sweep in wanted])

    @routes.post("", status_code=201, response_model=SweepFull)
    @needs("write", checks_itself=True)
    def create(request: Request, body: NewSweep, idempotency_key: Key = None) -> Response:
        """Make a sweep from what a sweep file says, or from a template; with an Idempotency-Key, one however often it is sent."""
        config = drafted(body)
        project = body.project or config.project or DEFAULT_PROJECT
        who = caller(request)
        who.check(project)
        if who.projects is not None:  # what it learns from must be the caller's as well
            config = replace(config, start_from=tuple(who.sweep(store, text, project) for text in config.start_from))
        id = create_sweep(store, config, project=project, once=kept_key(who, "new sweep", idempotency_key))
        return answer(_full(store.sweeps.get(id), engines), 201)

    @routes.get("/{id}", response_model=SweepFull)
    @needs("read", sweep="id")
    def get(id: str) -> Response:
        """Return the sweep of that id, name, or unique beginning of an id."""
        return answer(_full(store.sweeps.find(id), engines))

    @routes.put("/{id}", response_model=SweepFull)
    @needs("write", sweep="id")
    def edit(id: str, body: Edit) -> Response:
        """Change the cap, the configuration, or parts of its parameters."""
        found = store.sweeps.find(id)
        given = body.config
        if body.parameters is not None:
            if given is not None:
                raise ConfigError("both a configuration and parts of one are given", "send config, or parameters")
            given = with_parts(found.config, body.parameters)
        config = None if given is None else parse(given)
        return answer(_full(edit_sweep(store, found.id, version=body.version, config=config, cap=body.cap), engines))

    @routes.delete("/{id}", status_code=204)
    @needs("admin", sweep="id")
    def delete(id: str) -> Response:
        """Delete the sweep with its trials, runs and metrics."""
        found = store.sweeps.find(id)
        store.sweeps.delete(found.id)
        return Response(status_code=204)

    @routes.get("/{id}/stats", response_model=Stats)
    @needs("read", sweep="id")
    def stats(request: Request, id: str) -> Response:
        """Return counts, the best, and how much each parameter matters."""
        seen = engines.see(store.sweeps.find(id).id)
        return tags.answer(request, lambda: _stats(seen), mark=seen.mark)

    @routes.get("/{id}/trials", response_model=list[TrialView])
    @needs("read", sweep="id")
    def trials(id: str, since: Annotated[int, Query(ge=0)] = 0) -> Response:
        """Return the trials from number `since` on, with their reports."""
        engine = engines.get(store.sweeps.find(id).id)
        engine.sync()
        return answer([trial_view(trial) for trial in engine.in_order()[since:]])

    @routes.get("/{id}/history", response_model=list[Milestone] | list[tuple[int, float]])
    @needs("read", sweep="id")
    def history(request: Request, id: str) -> Response:
        """Return the best result so far after each complete trial; with several metrics the hypervolume, as (number, volume)."""
        seen = engines.see(store.sweeps.find(id).id)
        so_far: Any = best_so_far if len(seen.problem.metrics) == 1 else hypervolume_so_far
        return tags.answer(request, lambda: so_far(seen.problem, seen.trials()), mark=seen.mark)

    @routes.get("/{id}/marks", response_model=Marks)
    @needs("read", sweep="id")
    def marks(request: Request, id: str) -> Response:
        """Return which trials stopped early, and at what, and which failed: all of them, in few bytes."""
        seen = engines.see(store.sweeps.find(id).id)
        return tags.answer(request, lambda: marks_of(seen.trials()), mark=seen.mark)

    @routes.get("/{id}/parallel-coordinates", response_model=Parallel)
    @needs("read", sweep="id")
    def parallel(
        request: Request,
        id: str,
        *,
        param: Annotated[list[str], Query(default_factory=list)],
        most: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        """Return axes and lines of the complete trials: of all parameters, of those that are named (`param`, repeated), or of the `most` important ones."""
        seen = engines.see(store.sweeps.find(id).id)
        return tags.answer(
            request, lambda: parallel_coordinates(seen.problem, seen.trials(), params=param, most=most), mark=seen.mark
        )

    @routes.get("/{id}/correlation", response_model=Correlation)
    @needs("read", sweep="id")
    def correlations(request: Request, id: str) -> Response:
        """Return the rank correlations of parameters and metrics."""
        seen = engines.see(store.sweeps.find(id).id)
        return tags.answer(request, lambda: correlation(seen.problem, seen.trials()), mark=seen.mark)

    @routes.post("/{id}/enqueue", status_code=201)
    @needs("write", sweep="id")
    def enqueue(request: Request, id: str, body: Enqueue, idempotency_key: Key = None) -> Response:
        """Queue a configuration, with an Idempotency-Key once however often it is sent; the answer is its trial's number."""
        engine = engines.get(store.sweeps.find(id).id)
        once = kept_key(caller(request), f"{engine.id} enqueue", idempotency_key)
        return answer({"number": engine.enqueue(body.params, once=once)}, 201)

    for word, state in _TO.items():
        routes.add_api_route(
            f"/{{id}}/{word}",
            _moving(store, engines, state),
            methods=["POST"],
            name=word,
            summary=f"{word.capitalize()} the sweep.",
            response_model=SweepFull,
        )

    return routes


def _moving(store: Store, engines: Engines, state: SweepState) -> Callable[[str], Response]:
    @needs("write", sweep="id")
    def move(id: str) -> Response:
        return answer(_full(store.sweeps.move(store.sweeps.find(id).id, state), engines))

    return move


def _full(sweep: Sweep, engines: Engines) -> SweepFull:
    reason = ""
    if sweep.state is SweepState.FINISHED:
        engine = engines.get(sweep.id)
        engine.sync()
        reason = engine.why_over(may_search=True)
    return SweepFull(**_facts(sweep), config=sweep.config, driver=sweep.driver, end_reason=reason)


def _facts(sweep: Sweep) -> dict[str, Any]:
    facts = {**sweep_as_json(sweep), "version": sweep.version, "revision": sweep.revision}
    facts.pop("limits", None)  # which the configuration says
    return facts


def _row(sweep: Sweep, line: list[tuple[int, float]]) -> SweepRow:
    facts = _facts(sweep)
    names = [str(metric["name"]) for metric in facts["metrics"]]
    return SweepRow(**facts, spark=tuple(line), spark_of=meaning(sweep, names))


def _stats(seen: Seen) -> Stats:
    problem, trials = seen.problem, seen.trials()
    shares, note = None, ""
    try:
        shares = importance(problem, trials)
    except StudyError as error:
        note = str(error)
    best = [Best(number=t.number, values=t.values or (), params=t.params) for t in pareto_front(problem, trials)]
    seconds = sum(t.seconds or 0.0 for t in trials)
    return Stats(counts=_counts(trials), best=tuple(best), importance=shares, note=note, seconds=seconds)


def marks_of(trials: list[Trial]) -> Marks:
    """Return those of the trials that are no results."""
    ended = [(t.number, t.values[0]) for t in trials if t.stopped and t.values and math.isfinite(t.values[0])]
    return Marks(
        stopped=tuple((number, float(f"{value:.6g}")) for number, value in ended),
        failed=tuple(t.number for t in trials if t.phase is Phase.FAILED),
    )


def _counts(trials: list[Trial]) -> Counts:
    by_phase = {phase.value: sum(t.phase is phase for t in trials) for phase in Phase}
    return Counts(**by_phase, stopped=sum(t.stopped for t in trials))


def trial_view(trial: Trial) -> TrialView:
    """Return a trial as it leaves the server."""
    return TrialView(
        number=trial.number, phase=trial.phase.value, params=trial.params, values=trial.values, stopped=trial.stopped,
        reason=trial.reason, note=trial.note, attempt=trial.attempt, parent=trial.parent, attrs=trial.attrs,
        started=trial.started, ended=trial.ended, reports=tuple((r.step, r.values) for r in trial.reports),
    )  # fmt: skip
