"""`Study`: the Python handle of a sweep, with Optuna's names wherever Optuna has one."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

from whet.analysis.best import best_trial
from whet.analysis.pareto import pareto_front
from whet.errors import Conflict, StudyError, SweepClosed, TrialPruned
from whet.space import Parameter
from whet.study.assignment import Assignment, Nothing
from whet.study.countdown import Countdown
from whet.study.engine import Engine
from whet.study.frame import FRAME_ATTRS, trials_dataframe
from whet.study.heart import Heart
from whet.study.interrupt import Interrupts
from whet.study.live import LiveTrial
from whet.study.logs import LOGGER, log_trial
from whet.study.look import Look
from whet.study.progress import progress
from whet.study.renaming import renamed
from whet.study.results import as_values, check_count
from whet.trial import Goal, Phase, Problem, Trial, TrialState

if TYPE_CHECKING:
    import pandas as pd

    from whet.config import Plugin
    from whet.store.base import Store

__all__ = ["Study"]

_PATIENCE_S = 0.02

Objective = Callable[[LiveTrial], Any]
Callback = Callable[["Study", Trial], None]


@final
class Study(Look):
    """A sweep in the hands of Python code: ask and tell, or `optimize`. Made by `create_study` and `load_study` (in `whet.study.create`)."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._heart = Heart(store, engine.id)
        self._stop = threading.Event()
        self._asked: dict[int, LiveTrial] = {}  # by `ask`, for `tell` by number

    def __repr__(self) -> str:
        return f"Study({self.study_name!r}, {self._store!r})"

    # -- what it is -----------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The sweep's id."""
        return self._engine.id

    @property
    def study_name(self) -> str:
        """The sweep's name."""
        return self._engine.name

    name = study_name

    @property
    def problem(self) -> Problem:
        """The space, as declared or as learned so far, and the metrics."""
        return self._engine.problem

    @property
    def method(self) -> Plugin:
        """How it searches: a method's name and knobs."""
        return self._engine.config.method

    @property
    def seed(self) -> int:
        """The seed of its method."""
        return self._engine.seed

    @property
    def directions(self) -> list[Goal]:
        """Which way is better, a goal a metric."""
        return [m.goal for m in self.problem.metrics]

    @property
    def direction(self) -> Goal:
        """Which way is better, for a study of one metric."""
        return self.problem.metric.goal

    @property
    def metric_names(self) -> list[str]:
        """What the values are called."""
        return [m.name for m in self.problem.metrics]

    @property
    def end_reason(self) -> str:
        """Why the study has ended, in words; empty while it goes on, and where a person or its method ended it."""
        self._engine.sync()
        return self._engine.why_over(may_search=True)

    def set_metric_names(self, metric_names: Sequence[str]) -> None:
        """Call the values so, one name a metric; limits, budgets and a cost of such a name go with it.

        Raises:
            StudyError: not one name a metric, or one that is there twice.
        """
        self._engine.edit(lambda config: renamed(config, metric_names))

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What `set_user_attr` has set, by whatever process."""
        self._engine.sync()
        return dict(self._engine.config.attrs)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep `value`, anything that JSON can hold, with the study."""
        self._engine.edit(lambda config: replace(config, attrs={**config.attrs, key: value}))

    # -- trials ---------------------------------------------------------------------------------------------------------

    @property
    def trials(self) -> list[Trial]:
        """All trials, by number."""
        return self.get_trials()

    def get_trials(self, deepcopy: bool = True, states: Iterable[TrialState] | None = None) -> list[Trial]:
        """Return the trials by number, those in `states` only; they are frozen, so `deepcopy` changes nothing."""
        self._engine.sync()
        wanted = None if states is None else set(states)
        return [t for t in self._engine.in_order() if wanted is None or t.state in wanted]

    @property
    def best_trial(self) -> Trial:
        """The best complete trial, of those that keep the limits, of a study of one metric.

        Raises:
            StudyError: none is complete yet, none keeps the limits, or there are several metrics (then use `best_trials`).
        """
        self._engine.sync()
        return self._engine.best or best_trial(self.problem, self._engine.in_order())

    @property
    def best_params(self) -> dict[str, Any]:
        """The best trial's configuration."""
        return dict(self.best_trial.params)

    @property
    def best_value(self) -> float:
        """The best trial's value."""
        value = self.best_trial.value
        assert value is not None
        return value

    @property
    def best_trials(self) -> list[Trial]:
        """The Pareto front: complete trials within the limits that no other beats in one metric without losing in another."""
        return pareto_front(self.problem, self.trials)

    def trials_dataframe(self, attrs: Sequence[str] = FRAME_ATTRS, multi_index: bool = False) -> pd.DataFrame:
        """Return a pandas DataFrame with a row a trial; `params_<name>` and `user_attrs_<name>` columns as in Optuna.

        Raises:
            MissingDependency: pandas is not installed.
        """
        return trials_dataframe(self.problem, self.trials, attrs, multi_index)

    # -- ask and tell ---------------------------------------------------------------------------------------------------

    def ask(self, fixed_distributions: Mapping[str, Parameter] | None = None) -> LiveTrial:
        """Hand out the next trial; `tell` its result. `fixed_distributions` are suggested at once, as in Optuna.

        Raises:
            SweepClosed: there is none: the cap is used up, everything was tried, or the sweep is paused.
        """
        self._heart.start()
        answer = self._engine.ask()
        if isinstance(answer, Nothing):
            raise SweepClosed(
                f"study {self.study_name!r} hands out no trial: {answer.reason}", "raise its cap, or make a new one"
            )
        trial = self._asked[answer.number] = LiveTrial(self, self._engine, answer)
        if fixed_distributions:
            for name, parameter in fixed_distributions.items():
                trial.suggest(name, parameter)
            if trial.asked() is not None:  # another process may tell the result
                self._store.trials.annotate(self.id, trial.number, params=trial.params)
        return trial

    def tell(self, trial: LiveTrial | int, values: float | Sequence[float] | None = None, state: TrialState | None = None,
             skip_if_finished: bool = False) -> Trial:  # fmt: skip
        """End a trial with its value(s), or with `state` PRUNED or FAIL, and return it as it is kept.

        Raises:
            Conflict: it is over already (unless `skip_if_finished`), or was handed out again because its worker seemed lost.
        """
        number = trial.number if isinstance(trial, LiveTrial) else int(trial)
        live = trial if isinstance(trial, LiveTrial) else self._asked.get(number)
        if live is None or skip_if_finished:
            self._engine.sync()
        if skip_if_finished and self._engine.trial(number).phase.is_over:
            return self._engine.trial(number)
        if values is None and state in (None, TrialState.COMPLETE):
            raise StudyError(
                f"trial {number} is told neither a value nor a state", "give values=…, or state=TrialState.FAIL"
            )
        if state is not None and not state.is_finished():
            raise StudyError(f"state={state.name} is not over", "give COMPLETE, PRUNED or FAIL")
        if values is not None and state in (TrialState.PRUNED, TrialState.FAIL):
            raise StudyError(
                f"trial {number} is told a value and state={state.name}", "give one of them; report() keeps values"
            )
        pauses = state is TrialState.PRUNED and live is not None and live.is_paused
        self._engine.tell(
            number,
            live.attempt if live is not None else self._engine.trial(number).attempt,
            as_values(values),
            phase=Phase.FAILED if state is TrialState.FAIL else Phase.PAUSED if pauses else Phase.FINISHED,
            stopped=state is TrialState.PRUNED and not pauses,
            reason=live.stop_reason if live and state is TrialState.PRUNED else "",
            **(live.gained() if live is not None else {}),
        )
        self._asked.pop(number, None)
        return self._engine.now(number)

    def enqueue_trial(
        self, params: Mapping[str, Any], user_attrs: Mapping[str, Any] | None = None, skip_if_exists: bool = False
    ) -> None:
        """Have `params` tried next; what they leave open is filled in.

        Raises:
            SpaceError: a value is not legal in a declared space.
        """
        if skip_if_exists and any(all(t.params.get(k, t) == v for k, v in params.items()) for t in self.trials):
            return
        self._engine.enqueue(params, user_attrs)

    def add_trial(self, trial: Trial) -> None:
        """Add a trial that ran elsewhere (see `create_trial`)."""
        self.add_trials([trial])

    def add_trials(self, trials: Iterable[Trial]) -> None:
        """Add trials that ran elsewhere, another study's for instance; they are numbered anew."""
        self._engine.extend(trials)
        self._engine.sync()

    # -- optimize -------------------------------------------------------------------------------------------------------

    def optimize(self, func: Objective, n_trials: int | None = None, timeout: float | None = None, n_jobs: int = 1,
                 catch: type[Exception] | Iterable[type[Exception]] = (), callbacks: Iterable[Callback] | None = None,
                 gc_after_trial: bool = False, show_progress_bar: bool = False) -> None:  # fmt: skip
        """Run trials until `n_trials`, `timeout` seconds, the sweep's own end, or `stop`.

        A trial fails, with a warning, and the next one follows, where the objective returns None, NaN or no number, or not one value a
        metric. Each trial is logged in a line (see `whet.logging`).

        Args:
            func: Called with a `LiveTrial`; returns the value (or one a metric), or raises `TrialPruned`. Or a `whet.Training`.
            n_trials: How many in this call, those that go on after a pause not counted; None: no limit of its own. Once they are used up
                and none of them runs, the best of the paused ones go on, even where so few have reached a rung.
            timeout: No trial is started after so many seconds.
            n_jobs: Threads; -1: one a core. For processes, run the same script several times with one storage.
            catch: Exceptions that fail the trial only; others end the call as well.
            callbacks: Called with (study, trial) after each trial, in its thread.
            gc_after_trial: Collect garbage after each trial.
            show_progress_bar: On stderr, with the best value so far.

        An interrupt (Ctrl-C) puts the running trial back in the queue: calling again goes on with it.
        """
        if n_trials is not None and n_trials < 0:
            raise StudyError(f"n_trials={n_trials}", "give 0 or more, or None")
        if n_jobs == 0 or n_jobs < -1:
            raise StudyError(f"n_jobs={n_jobs}", "give 1 or more, or -1 for one a core")
        if not callable(func):
            raise StudyError(f"{func!r:.200} can't be called", "give a function of the trial, or a whet.Training")
        self._stop.clear()
        self._heart.start()
        deadline = None if timeout is None else time.monotonic() + timeout
        left = Countdown(n_trials)
        workers = (os.cpu_count() or 1) if n_jobs == -1 else n_jobs
        caught = catch if isinstance(catch, type) else tuple(catch)
        after = tuple(callbacks or ())
        mine: set[int] = set()  # the trials that this call has run
        exhausted = threading.Event()

        def work(advance: Callable[[tuple[int, float] | None], None] | None, interrupts: Interrupts) -> None:
            while not self._stop.is_set() and (deadline is None or time.monotonic() < deadline):
                if not (new := left.take()) and not self._engine.pauses:
                    return
                answer = self._ask_patiently(deadline, interrupts, None if new else mine)
                if not isinstance(answer, Assignment):
                    if answer is not None and new:
                        exhausted.set()
                    return
                if new and answer.after is not None:
                    left.give_back()  # it goes on with a trial that was counted
                mine.add(answer.number)
                told, error = self._run(func, answer, interrupts)
                is_logged = LOGGER.isEnabledFor(logging.INFO)
                if told is Phase.FAILED or after or advance or is_logged:
                    ended = self._engine.now(answer.number)
                    best = self._engine.lead() if advance or is_logged else None
                    log_trial(ended, best)
                    if told not in (None, Phase.PAUSED) and (error is None or isinstance(error, caught)):
                        with interrupts.allowed():
                            for callback in after:
                                callback(self, ended)
                    if advance and told is not Phase.PAUSED:
                        advance(best)
                if error is not None and not isinstance(error, caught):
                    raise error
                if gc_after_trial:
                    gc.collect()
                interrupts.check()

        with progress(n_trials) if show_progress_bar else nullcontext() as advance:
            if workers == 1:
                with Interrupts() as interrupts:
                    work(advance, interrupts)
                interrupts.check()  # lest one at the very end be lost
            else:
                with ThreadPoolExecutor(workers, thread_name_prefix="whet-trial") as pool:
                    futures = [pool.submit(work, advance, Interrupts()) for _ in range(workers)]
                    try:
                        wait(futures, return_when=FIRST_EXCEPTION)
                    except BaseException:
                        self._stop.set()
                        raise
                    if any(f.done() and f.exception() is not None for f in futures):
                        self._stop.set()
                for future in futures:
                    future.result()
        self._engine.leave(exhausted=exhausted.is_set())

    def stop(self) -> None:
        """Let `optimize` end after the trials that run now; for callbacks and objectives."""
        self._stop.set()

    def _ask_patiently(
        self, deadline: float | None, interrupts: Interrupts, mine: set[int] | None
    ) -> Assignment | Nothing | None:
        while True:
            interrupts.check()
            answer = self._engine.ask(mine=mine)
            if isinstance(answer, Assignment):
                return answer
            if answer.final:
                LOGGER.info("Study %s hands out no more trials: %s", self.study_name, answer.reason)
                return answer
            if self._stop.wait(_PATIENCE_S) or (deadline is not None and time.monotonic() >= deadline):
                return None

    def _run(
        self, func: Objective, assignment: Assignment, interrupts: Interrupts
    ) -> tuple[Phase | None, Exception | None]:
        """Run a trial, tell how it ended, and return its phase (None: it was not told) and what the objective raised."""
        trial = LiveTrial(self, self._engine, assignment)
        number, attempt = assignment.number, assignment.attempt
        values: tuple[float, ...] | None = None
        error: Exception | None = None
        phase, stopped, reason = Phase.FINISHED, False, ""
        try:
            with interrupts.allowed():
                result = func(trial)
                interrupts.came = False  # it came within, and the objective has dealt with it
        except TrialPruned as pruned:
            reason = trial.stop_reason or str(pruned) or "the objective raised TrialPruned"
            phase, stopped = (Phase.PAUSED, False) if trial.is_paused else (phase, True)
        except Exception as raised:
            error, phase, reason = raised, Phase.FAILED, f"{type(raised).__name__}: {raised}"
        except BaseException:
            self._engine.give_back(number, attempt, "it was interrupted")
            raise
        else:
            try:
                values = as_values(result)
                if values is None:
                    phase, reason = Phase.FAILED, "the objective returned None: return a number"
                else:
                    check_count(number, values, self.problem)
            except StudyError as wrong:
                phase, values, reason = Phase.FAILED, None, str(wrong)
        try:
            told = self._engine.tell(
                number, attempt, values, phase=phase, stopped=stopped, reason=reason, **trial.gained()
            )
        except Conflict as late:
            LOGGER.warning("The result of trial %d came too late: %s", number, late)
            return None, None if isinstance(error, Conflict) else error  # its reports came too late as well
        return told, error
