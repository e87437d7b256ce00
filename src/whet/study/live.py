"""The trial in an objective's hands: it suggests, reports, asks whether to stop. Optuna's names throughout."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, final

from whet.checkpoints import Checkpointed, Checkpoints
from whet.errors import SpaceError, StudyError
from whet.space import Choice, Float, Int, Parameter
from whet.stop.base import Verdict
from whet.store.base import Batch, Row
from whet.store.codec import dump
from whet.study.assignment import Assignment
from whet.study.engine import Engine
from whet.study.results import as_report
from whet.study.saved import checkpoints_of
from whet.trial import Report

if TYPE_CHECKING:
    from whet.study.study import Study

__all__ = ["LiveTrial"]

_SOURCE = "trial"  # of the curves, as the store counts what it was sent


@final
class LiveTrial(Checkpointed):
    """A running trial, given to the objective by `Study.optimize` or returned by `Study.ask`.

    With a declared space its configuration is complete: read `params`, or let the `suggest_` methods give the values. Without one, the
    `suggest_` methods declare the space as they are called, and the study learns it, conditions included.
    """

    def __init__(self, study: Study, engine: Engine, assignment: Assignment) -> None:
        self.study = study
        self._engine = engine
        self._assignment = assignment
        self._asked: dict[str, Parameter] = {}
        self._params: dict[str, Any] = {}
        queued = engine.trials.get(assignment.number)
        self._attrs: dict[str, object] = {} if queued is None else dict(queued.attrs)
        self._steps: set[int] = set()
        self._rows: list[Row] = []  # logged, and not yet in the store
        self._num_sent = 0
        self._logged: dict[str, float] = {}  # last values
        self._stop_reason = ""
        self._is_paused = False
        self._saved = checkpoints_of(engine.store, assignment)
        if not engine.config.define_by_run:
            self._params.update(assignment.params)
        self.datetime_start = datetime.now()

    @property
    def number(self) -> int:
        """0, 1, 2 …"""
        return self._assignment.number

    @property
    def run_id(self) -> str:
        """The id of the trial's run in the store."""
        return self._assignment.run_id

    @property
    def attempt(self) -> int:
        """How often the trial was handed out again before this."""
        return self._assignment.attempt

    @property
    def params(self) -> dict[str, Any]:
        """The configuration: all of a declared space, or what was suggested so far."""
        return dict(self._params)

    @property
    def user_attrs(self) -> dict[str, object]:
        """What `set_user_attr` has set."""
        return dict(self._attrs)

    @property
    def distributions(self) -> dict[str, Parameter]:
        """The parameters behind `params`."""
        space = self._engine.problem.space
        return {name: self._asked.get(name) or space[name] for name in self._params}

    @property
    def stop_reason(self) -> str:
        """Why `should_prune` said yes, in words; empty if it did not."""
        return self._stop_reason

    @property
    def is_paused(self) -> bool:
        """Whether `should_prune` said yes for a pause: the trial may go on later."""
        return self._is_paused

    @property
    def is_resumed(self) -> bool:
        """Whether the trial goes on after a pause."""
        return self._assignment.after is not None

    def _checkpoints(self) -> Checkpoints:
        return self._saved

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a float in [low, high] (see `whet.Float`)."""
        return float(self.suggest(name, Float(low, high, step=step, log=log)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return an integer in [low, high] (see `whet.Int`)."""
        return int(self.suggest(name, Int(low, high, step=step, log=log)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of `choices` (see `whet.Choice`)."""
        return self.suggest(name, Choice(tuple(choices)))

    def suggest(self, name: str, parameter: Parameter) -> Any:
        """Return a value of `parameter`; what the other `suggest_` methods do."""
        if name in self._params:
            if name in self._asked and self._asked[name] != parameter:
                raise SpaceError(
                    f"{name} was {self._asked[name]} before in this trial and is {parameter} now", "use another name"
                )
            return parameter.clean(name, self._params[name])
        if not self._engine.config.define_by_run:
            space = self._engine.problem.space
            if name in space:
                raise SpaceError(
                    f"{name} is asked for where it does not exist: its condition is {space[name].when}", "ask under it"
                )
            raise SpaceError(
                f"{name} is not in the declared space",
                f"declare it (there are {', '.join(space)}), or create the study without space=",
            )
        self._engine.check_asked(name, parameter)
        self._asked[name] = parameter
        given = self._assignment.params
        try:
            value = parameter.clean(name, given[name])
        except (KeyError, SpaceError) as error:  # new, or asked for with narrower bounds than the search knows
            known = self._engine.problem.space.get(name)
            if isinstance(error, SpaceError) and (known is None or not _is_legal(known, name, given[name])):
                warnings.warn(f"trial {self.number} was queued with a value that is not used: {error}", stacklevel=3)
            rng = random.Random(f"{self._engine.seed}/{self.number}/{name}")
            value = parameter.decode(rng.random())
        self._params[name] = value
        return value

    def report(self, value: float | Sequence[float] | Mapping[str, float], step: int) -> None:
        """Report the value of the study's metric at `step`, an integer >= 0. The first report of a step counts, as in Optuna.

        Args:
            value: Of a study with several metrics: a value for each, in their order or by their names.
            step: Counted as the objective likes, the same in all trials.

        Raises:
            StudyError: the value is no number, or there is not one a metric.
        """
        values = as_report(value, self._engine.problem)
        try:
            whole = int(step)
        except (TypeError, ValueError):
            whole = -1
        if whole < 0:
            raise StudyError(f"reported at step {step!r}", "steps are integers and count from 0")
        if whole in self._steps:
            warnings.warn(f"trial {self.number} has reported step {whole} already: ignored", stacklevel=2)
            return
        self._steps.add(whole)
        self._engine.report(self.number, self.attempt, Report(step=whole, values=values))
        self.flush()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Keep numbers that are not the result, such as a training loss, as curves of the trial's run (``whet show``, exports).

        They reach the store with the next report, or when the trial ends. In a study with several metrics, `metrics` that hold all of them
        are such a report, too.
        """
        names = [metric.name for metric in self._engine.problem.metrics]
        if len(names) > 1 and all(name in metrics for name in names):
            self.report({name: metrics[name] for name in names}, step)
        values = {str(k): float(v) for k, v in metrics.items()}
        self._logged.update(values)
        self._rows.append(Row(step=int(step), time=time.time(), values=values))

    def flush(self) -> None:
        """Bring what was logged into the store now.

        Raises:
            Conflict: the trial was handed out again because its worker seemed lost.
        """
        if self._rows:
            end = self._num_sent + len(self._rows)
            self._engine.store.runs.ship(
                self.run_id, self.attempt, _SOURCE, self._num_sent, end, Batch(rows=self._rows)
            )
            self._num_sent, self._rows = end, []

    def should_prune(self) -> bool:
        """Return whether the stopper ends the trial here, or has it pause; then `raise whet.TrialPruned()`."""
        decision = self._engine.decide(self.number, self._assignment.after)
        if decision is None or decision.verdict is Verdict.CONTINUE:
            return False
        self._stop_reason, self._is_paused = decision.reason, decision.verdict is Verdict.PAUSE
        return True

    def set_user_attr(self, key: str, value: object) -> None:
        """Keep `value`, anything that JSON can hold, with the trial.

        Raises:
            StoreError: JSON can't hold it.
        """
        dump({key: value})
        self._attrs[key] = value

    def asked(self) -> Mapping[str, Parameter] | None:
        """Return what the objective asked for, in its order; None with a declared space."""
        return self._asked if self._engine.config.define_by_run else None

    def gained(self) -> dict[str, Any]:
        """Bring the curves to the store, and return what else the trial learns besides the result, as `Engine.tell` takes it."""
        self.flush()
        asked = self.asked()
        names = self._engine.config.measures
        attrs = {**{name: self._logged[name] for name in names if name in self._logged}, **self.user_attrs}
        return {"asked": asked, "params": None if asked is None else self.params, "attrs": attrs or None}

    def __repr__(self) -> str:
        return f"LiveTrial(number={self.number}, params={self._params})"


def _is_legal(parameter: Parameter, name: str, value: object) -> bool:
    try:
        parameter.clean(name, value)
    except SpaceError:
        return False
    return True
