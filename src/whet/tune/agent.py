"""Agents: processes that ask a sweep for work, run it and report, until there is none."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, final

from whet.errors import Conflict, NotFound, StoreUnavailable, StudyError, TrialPruned
from whet.launch.local import Local
from whet.stop.base import Verdict
from whet.store.base import Store, SweepState
from whet.store.open import open_store, split_address, whet_dir
from whet.study.engine import LEASE_S, Assignment, Engine, Nothing
from whet.study.interrupt import Interrupts
from whet.study.judging import judge
from whet.study.saved import checkpoints_of, how_it_starts
from whet.track import opening
from whet.track.claim import current
from whet.track.shipper import ship_all
from whet.trial import Phase
from whet.tune.events import MAX_FAILURES, Ending, Event, EventKind, Tally, failed, finished, started
from whet.tune.job import claim_of, measured, result_of
from whet.tune.loop import drive
from whet.tune.patience import PATIENCE_S, Patience
from whet.tune.sharing import num_in_other_hands, stays_for, why_end

__all__ = ["agent", "work"]

_WATCH_S = 0.05
_ASK_S = 0.25
_AGAIN_S = 1.0
"""How long it waits before it tries a store again that was out of reach."""

T = TypeVar("T")


def agent(
    sweep_id: str,
    function: Callable[[], Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
    count: int | None = None,
    *,
    storage: str | Store | None = None,
    max_failures: int = MAX_FAILURES,
    patience_s: float = PATIENCE_S,
) -> None:
    """Work for a sweep until there is nothing left, or `count` trials were run (W&B's `wandb.agent`).

    Args:
        sweep_id: Its id or name, or its address at a server: ``http://host:8765/ID``.
        function: Called without arguments once a trial; inside, `whet.init()` gives the trial's run and `whet.config` its configuration.
            None: the sweep's own program is run, a process a trial.
        entity: Accepted for W&B's sake.
        project: Where to look for the sweep; default everywhere.
        count: The most trials to run.
        storage: As in `whet.create_study`.
        max_failures: It ends when so many trials in a row failed here; 0: never.
        patience_s: How long to wait for a store that is out of reach.

    Raises:
        NotFound: there is no such sweep.
        StudyError: no `function` is given and the sweep has no program.
    """
    url, name = split_address(sweep_id)
    store = open_store(url or storage)
    sweep = store.sweeps.find(name, project)

    def say(event: Event) -> None:
        print(f"whet: {event.text}", flush=True)

    if function is None:
        ending = drive(
            store,
            sweep.id,
            Local(whet_dir() / "jobs"),
            count=count,
            exclusive=False,
            max_failures=max_failures,
            patience_s=patience_s,
            on_event=say,
        )
    else:
        ending = work(
            store, sweep.id, function, count=count, max_failures=max_failures, patience_s=patience_s, on_event=say
        )
    say(Event(EventKind.NOTICE, None, f"the agent of sweep {sweep.name} ends: {ending.reason}"))
    if ending.interrupted:
        raise KeyboardInterrupt


def work(
    store: Store,
    sweep: str,
    function: Callable[[], Any],
    *,
    count: int | None = None,
    max_failures: int | None = None,
    patience_s: float = PATIENCE_S,
    on_event: Callable[[Event], None] | None = None,
) -> Ending:
    """Run a sweep's trials by calling `function` in this process; returns why it ended and what it did.

    A trial that its stopper ends gets `TrialPruned` out of its next `log`. One that raises anything else failed, and the agent goes on;
    after three failures before any success it gives up. Ctrl-C puts the trial back into the queue. It stays while other processes of
    this machine still run trials of the sweep, and takes over those whose process is killed.

    Args:
        store: Where the sweep is kept.
        sweep: Its id.
        function: Called without arguments; its run is `whet.init()`'s.
        count: The most trials to run in this call.
        max_failures: As in `whet.tune.loop.drive`.
        patience_s: How long to wait for a store that is out of reach, with a result to tell or without.
        on_event: Told what happens.
    """
    if count is not None and count < 1:
        raise StudyError(f"count={count}", "give 1 or more, or None")
    engine = Engine(store, sweep)
    tally = Tally()
    said, asked = "", 0.0

    def say(event: Event) -> None:
        tally.add(event)
        if on_event is not None:
            on_event(event)

    def wait(why: str) -> None:
        nonlocal said
        if why != said:
            said = why
            say(Event(EventKind.NOTICE, None, why))
        watcher.pause(max(0.0, asked + _ASK_S - time.monotonic()))  # a server has waited already, and wakes at once

    def patiently(step: Callable[[], T], meanwhile: str = "") -> T:
        """Do `step`, which may be repeated, again for as long as the store is out of reach."""
        while True:
            try:
                found = step()
            except StoreUnavailable as error:
                interrupts.check()
                patience.failed(error, meanwhile)
                watcher.pause(_AGAIN_S)
            else:
                patience.succeeded()
                return found

    patience = Patience(patience_s, say)
    watcher = _Watcher(engine)
    try:
        with Interrupts() as interrupts:
            while count is None or tally.num_over < count:
                interrupts.check()
                asked = time.monotonic()
                answer = patiently(engine.ask)
                if isinstance(answer, Assignment):
                    notes = how_it_starts(answer, checkpoints_of(store, answer))
                    say(started(answer.number, answer.params, notes, resumed=answer.after is not None))
                    event = _run(engine, answer, function, watcher, interrupts, patiently)
                    say(event)
                    if event.kind is EventKind.CANCELED:
                        return tally.ending("the sweep was canceled", final=True)
                    if event.kind is EventKind.FAILED:
                        why, aside = why_end(engine, tally, max_failures)
                        if why:
                            return tally.ending(why, aside=aside)
                elif not answer.final:
                    wait(_why_idle(engine, answer))
                elif engine.state is SweepState.RUNNING and (others := patiently(partial(num_in_other_hands, engine))):
                    wait(stays_for(answer.reason, others))
                else:
                    patiently(partial(engine.leave, exhausted=True))
                    return tally.ending(answer.reason, final=True)
            patiently(engine.leave)
    except KeyboardInterrupt:
        return tally.ending("interrupted", interrupted=True)
    finally:
        watcher.close()
    return tally.ending("the trials asked for are done")


def _why_idle(engine: Engine, answer: Nothing) -> str:
    if engine.state is SweepState.PAUSED:
        return f"{answer.reason}; it goes on with: whet sweep {engine.id} --resume"
    return answer.reason


def _run(
    engine: Engine,
    assignment: Assignment,
    function: Callable[[], Any],
    watcher: _Watcher,
    interrupts: Interrupts,
    patiently: Callable[[Callable[[], Event], str], Event],
) -> Event:
    number, attempt = assignment.number, assignment.attempt
    token = current.set(claim_of(engine, assignment, stop=lambda: watcher.reason))
    folder = whet_dir().resolve() / "runs" / assignment.run_id  # the function may change the working directory
    failure = ""
    pruned: str | None = None
    try:
        watcher.watch(number, assignment.after)
        try:
            with interrupts.allowed():
                function()
        except TrialPruned as signal:
            pruned = watcher.reason or str(signal) or "it raised TrialPruned"
        except (Exception, SystemExit) as error:
            if not isinstance(error, SystemExit) or error.code not in (None, 0):
                failure = f"{type(error).__name__}: {error}"
                traceback.print_exc()
        finally:
            run = opening.current()
            if run is not None:
                run.finish(1 if failure else 0)

        def tell() -> Event:
            if folder.is_dir():  # what it logged is in the store before anything is told, however late that is
                ship_all(folder, engine.store)
            return _tell(engine, assignment, failure, pruned, watcher)

        return patiently(
            tell, f"trial {number} is over and its result is kept"
        )  # the training is done and must not be lost
    except Conflict as error:
        return Event(EventKind.NOTICE, number, f"the result of trial {number} came too late: {error.problem}")
    except KeyboardInterrupt:
        with contextlib.suppress(StoreUnavailable):  # others will see that this process is gone
            engine.give_back(number, attempt, "it was interrupted")
        raise
    finally:
        watcher.watch(None)
        current.reset(token)


def _tell(engine: Engine, assignment: Assignment, failure: str, pruned: str | None, watcher: _Watcher) -> Event:
    number, attempt = assignment.number, assignment.attempt
    run = engine.store.runs.get(assignment.run_id)
    attrs = measured(run, engine.config.measures)
    if pruned is not None and watcher.canceled:
        engine.tell(number, attempt, None, phase=Phase.CANCELED, reason=pruned)
        return Event(EventKind.CANCELED, number, f"trial {number} canceled: {pruned}")
    if pruned is not None and watcher.pauses:
        engine.tell(number, attempt, None, phase=Phase.PAUSED, reason=pruned, attrs=attrs)
        return Event(EventKind.PAUSED, number, f"trial {number} paused: {pruned}")
    if pruned is not None:
        engine.tell(number, attempt, None, stopped=True, reason=pruned, attrs=attrs)
        return Event(EventKind.STOPPED, number, f"trial {number} stopped early: {pruned}")
    values: tuple[float, ...] | None = None
    if not failure:
        values, failure = result_of(run, engine.problem.metrics)
    if values is None:
        engine.tell(number, attempt, None, phase=Phase.FAILED, reason=failure, attrs=attrs)
    elif engine.tell(number, attempt, values, attrs=attrs) is not Phase.FAILED:
        return finished(number, engine.problem.metrics, values)
    engine.sync()
    return failed(number, engine.trial(number).reason, is_result=values is not None)


@final
class _Watcher:
    """Watches, in a thread of its own, whether the running trial is to stop, and gives signs of life: training never waits for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._number: int | None = None
        self._num_judged = 0
        self._closed = threading.Event()
        self._beaten = time.monotonic()
        self.reason: str | None = None
        self.canceled = self.pauses = False
        self._after: int | None = None
        self._thread = threading.Thread(target=self._loop, name="whet-watcher", daemon=True)
        self._thread.start()

    def watch(self, number: int | None, after: int | None = None) -> None:
        if number is not None:
            self.reason, self.canceled, self.pauses, self._num_judged = None, False, False, 0
            self._after = after
        self._number = number

    def pause(self, seconds: float) -> None:
        self._closed.wait(seconds)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._closed.wait(_WATCH_S):
            number = self._number
            try:
                self._beat()
                if number is not None and self.reason is None:
                    self._look(number)
            except (Conflict, NotFound) as error:
                if self._number == number:
                    self.reason = str(error)
            except Exception:  # the store is out of reach: the trial goes on, and the next look tries again
                self._closed.wait(1.0)

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten > LEASE_S / 4:
            self._engine.store.trials.beat(self._engine.id, self._engine.owner)
            self._beaten = now

    def _look(self, number: int) -> None:
        self._engine.watch()
        if self._engine.state is SweepState.CANCELED:
            self.canceled, self.reason = True, "the sweep was canceled"
            return
        self._num_judged, decision = judge(self._engine, number, self._num_judged, self._after)
        if decision is not None and self._number == number:
            self.pauses = decision.verdict is Verdict.PAUSE
            self.reason = decision.reason
