"""`Study`: the Python handle of a sweep, with Optuna's names wherever Optuna has one."""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, final

from whet.analysis.best import best_trial
from whet.analysis.pareto import pareto_front
from whet.errors import MissingDependency, StudyError, SweepClosed, TrialPruned
from whet.space import Parameter
from whet.study.engine import Assignment, Engine, Nothing
from whet.study.live import LiveTrial, as_values
from whet.trial import Goal, Phase, Problem, Trial, TrialState

if TYPE_CHECKING:
    import pandas as pd

    from whet.store.base import Store

__all__ = ["Study"]

Objective = Callable[[LiveTrial], Any]
Callback = Callable[["Study", Trial], None]


@final
class Study:
    """A sweep in the hands of Python code: ask and tell, or `optimize`. Made by `create_study` and `load_study` (in `whet.study.create`)."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._stop = threading.Event()

    def __repr__(self) -> str:
        return f"Study({self.study_name!r}, {len(self._engine.trials)} trials, {self._store.url})"

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
    def directions(self) -> list[Goal]:
        """Which way is better, a goal a metric."""
        return [m.goal for m in self.problem.metrics]

    @property
    def direction(self) -> Goal:
        """Which way is better, for a study of one metric."""
        return self.problem.metric.goal

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
        """The best complete trial of a study of one metric.

        Raises:
            StudyError: none is complete yet, or there are several metrics (then use `best_trials`).
        """
        return best_trial(self.problem, self.trials)

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
        """The Pareto front: complete trials that no other beats in one metric without losing in another."""
        return pareto_front(self.problem, self.trials)

    def trials_dataframe(self, attrs: Sequence[str] = ("number", "value", "datetime_start", "datetime_complete", "duration",
                         "params", "user_attrs", "state"), multi_index: bool = False) -> pd.DataFrame:  # fmt: skip
        """Return a pandas DataFrame with a row a trial; `params_<name>` and `user_attrs_<name>` columns as in Optuna.

        Raises:
            MissingDependency: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingDependency.of("pandas", "pandas", "trials_dataframe") from None
        several = len(self.problem.metrics) > 1
        rows = []
        for trial in self.trials:
            row: dict[Any, Any] = {}
            for attr in attrs:
                if attr in ("params", "user_attrs"):
                    given: Mapping[str, object] = getattr(trial, attr)
                    row.update({(attr, name): value for name, value in given.items()})
                elif attr in ("value", "values") and several:
                    row.update(
                        {("values", i): v for i, v in enumerate(trial.values or [math.nan] * len(self.problem.metrics))}
                    )
                elif attr == "state":
                    row[(attr, "")] = trial.state.name
                else:
                    row[(attr, "")] = getattr(trial, attr)
            rows.append(row)
        columns = list(dict.fromkeys(key for row in rows for key in row))
        order = {attr: i for i, attr in enumerate(attrs)}
        columns.sort(key=lambda key: order.get(key[0], order.get("value", 0)))
        frame = pd.DataFrame([[row.get(key) for key in columns] for row in rows])
        frame.columns = (
            pd.MultiIndex.from_tuples(columns) if multi_index else [f"{a}_{b}" if b != "" else a for a, b in columns]
        )  # fmt: skip
        return frame

    # -- ask and tell ---------------------------------------------------------------------------------------------------

    def ask(self, fixed_distributions: Mapping[str, Parameter] | None = None) -> LiveTrial:
        """Hand out the next trial; `tell` its result. `fixed_distributions` are suggested at once, as in Optuna.

        Raises:
            SweepClosed: there is none: the cap is used up, everything was tried, or the sweep is paused.
        """
        answer = self._engine.ask()
        if isinstance(answer, Nothing):
            raise SweepClosed(
                f"study {self.study_name!r} hands out no trial: {answer.reason}", "raise its cap, or make a new one"
            )
        trial = LiveTrial(self, self._engine, answer)
        for name, parameter in (fixed_distributions or {}).items():
            trial._suggest(name, parameter)
        return trial

    def tell(self, trial: LiveTrial | int, values: float | Sequence[float] | None = None, state: TrialState | None = None,
             skip_if_finished: bool = False) -> Trial:  # fmt: skip
        """End a trial with its value(s), or with `state` PRUNED or FAIL, and return it as it is kept.

        Raises:
            Conflict: it is over already (unless `skip_if_finished`), or was handed out again because its worker seemed lost.
        """
        live = trial if isinstance(trial, LiveTrial) else None
        number = live.number if live else int(trial)  # type: ignore[arg-type]
        known = self._engine.trial(number)
        if skip_if_finished and known.phase.is_over:
            return known
        phase, stopped = Phase.FINISHED, state is TrialState.PRUNED
        if state is TrialState.FAIL:
            phase = Phase.FAILED
        elif state is None and values is None:
            raise StudyError(
                f"trial {number} is told neither a value nor a state", "give values=…, or state=TrialState.FAIL"
            )
        self._engine.tell(
            number,
            live.attempt if live else known.attempt,
            as_values(values),
            phase=phase,
            stopped=stopped,
            reason=live.stop_reason if live and stopped else "",
            asked=live.asked() if live else None,
            params=live.params if live and live.asked() is not None else None,
            attrs=live.user_attrs if live else None,
        )
        self._engine.sync()
        return self._engine.trial(number)

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
                 catch: type[Exception] | tuple[type[Exception], ...] = (), callbacks: Sequence[Callback] | None = None,
                 gc_after_trial: bool = False, show_progress_bar: bool = False) -> None:  # fmt: skip
        """Run trials until `n_trials`, `timeout` seconds, the sweep's own end, or `stop`.

        Args:
            func: Called with a `LiveTrial`; returns the value (or one a metric), or raises `TrialPruned`.
            n_trials: How many in this call; None: no limit of its own.
            timeout: No trial is started after so many seconds.
            n_jobs: Threads; -1: one a core. For processes, run the same script several times with one storage.
            catch: Exceptions that fail the trial only; others end the call as well.
            callbacks: Called with (study, trial) after each trial, in its thread.
            gc_after_trial: Collect garbage after each trial.
            show_progress_bar: A line a trial on stderr.

        An interrupt (Ctrl-C) puts the running trial back in the queue: calling again goes on with it.
        """
        if n_trials is not None and n_trials < 0:
            raise StudyError(f"n_trials={n_trials}", "give 0 or more, or None")
        if n_jobs == 0 or n_jobs < -1:
            raise StudyError(f"n_jobs={n_jobs}", "give 1 or more, or -1 for one a core")
        self._stop.clear()
        deadline = None if timeout is None else time.monotonic() + timeout
        left = _Countdown(n_trials)
        workers = (os.cpu_count() or 1) if n_jobs == -1 else n_jobs

        def work() -> None:
            while not self._stop.is_set() and (deadline is None or time.monotonic() < deadline) and left.take():
                answer = self._ask_patiently(deadline)
                if answer is None:
                    return
                trial = self._run(func, answer, catch)
                if show_progress_bar:
                    _print_progress(self, trial)
                if gc_after_trial:
                    import gc

                    gc.collect()
                for callback in callbacks or ():
                    callback(self, trial)

        if workers == 1:
            work()
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="whet-trial") as pool:
            futures = [pool.submit(work) for _ in range(workers)]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
        for future in done:
            future.result()

    def stop(self) -> None:
        """Let `optimize` end after the trials that run now; for callbacks and objectives."""
        self._stop.set()

    def _ask_patiently(self, deadline: float | None) -> Assignment | None:
        while True:
            answer = self._engine.ask()
            if isinstance(answer, Assignment):
                return answer
            if answer.final:
                self._engine.finish_if_done(exhausted=True)
                return None
            if self._stop.wait(0.02) or (deadline is not None and time.monotonic() >= deadline):
                return None

    def _run(
        self, func: Objective, assignment: Assignment, catch: type[Exception] | tuple[type[Exception], ...]
    ) -> Trial:
        trial = LiveTrial(self, self._engine, assignment)
        engine, number, attempt = self._engine, assignment.number, assignment.attempt
        common: dict[str, Any] = {}
        error: Exception | None = None

        def told() -> dict[str, Any]:
            asked = trial.asked()
            return {
                "asked": asked,
                "params": None if asked is None else trial.params,
                "attrs": trial.user_attrs or None,
            }

        try:
            values = as_values(func(trial))
            common = told()
            if values is None:
                reason = "the objective returned None"
                engine.tell(number, attempt, None, phase=Phase.FAILED, reason=reason, **common)
                warnings.warn(f"trial {number} failed: {reason}; return a number", stacklevel=4)
            elif engine.tell(number, attempt, values, **common) is Phase.FAILED:
                warnings.warn(f"trial {number} failed: its result is {values}", stacklevel=4)
        except TrialPruned as pruned:
            reason = trial.stop_reason or str(pruned) or "the objective raised TrialPruned"
            engine.tell(number, attempt, None, stopped=True, reason=reason, **told())
        except Exception as caught:
            error = caught
            engine.tell(
                number, attempt, None, phase=Phase.FAILED, reason=f"{type(caught).__name__}: {caught}", **told()
            )
        except BaseException:
            engine.requeue(number, attempt, "it was interrupted")
            raise
        engine.sync()
        if error is not None and not isinstance(error, catch):
            raise error
        return engine.trial(number)


class _Countdown:
    """Hands out `count` turns among threads; None: without end."""

    def __init__(self, count: int | None) -> None:
        self._left = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            if self._left is None:
                return True
            self._left -= 1
            return self._left >= 0


def _print_progress(study: Study, trial: Trial) -> None:
    import sys

    value = "" if trial.values is None else " ".join(f"{v:.4g}" for v in trial.values)
    print(f"trial {trial.number}: {trial.state.name.lower()} {value} {dict(trial.params)}", file=sys.stderr)
