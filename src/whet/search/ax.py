"""The bridge to Ax: its Bayesian optimisation on Whet's spaces."""

from __future__ import annotations

import logging
import math
import random
import threading
import warnings
from bisect import insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

from whet.errors import ConfigError, MissingDependency
from whet.plugins import knob_whole
from whet.search.axes import axes, point, values
from whet.search.base import Searcher
from whet.search.sobol import Sobol
from whet.trial import Phase, Problem, Suggestion, Trial

__all__ = ["Ax"]

_STRATEGIES = ("fast", "quality")
_TRIES = 4  # suggestions that may break a constraint before plain sampling takes over: each is dear
_turns = threading.RLock()
_FAR = 1e50  # squares of what is larger are near the largest float


@final
class Ax(Searcher):
    """Asks Ax: first the middle of the space and points of a Sobol sequence, then its default Bayesian optimisation (BoTorch).

    For each suggestion of the model Ax gets an experiment of its own that holds the trials in the order of their numbers, and a seed of the
    trial's number, so it depends on the history alone; on one machine it is repeated exactly, on another up to the rounding of torch. A suggestion takes
    a second or so.

    Pending trials are Ax's running ones. Failed trials, and those without a number, are its abandoned ones; one stopped early counts by its last
    report, a canceled one not at all. Limits are its outcome constraints, of what was reported at least twice. With several metrics
    it seeks hypervolume.

    Conditions are not told to Ax, which knows them only as trees with one root: it chooses all parameters, and those that don't exist in
    a configuration are left out (what is missing in a trial is drawn). Constraints are kept by asking again, at last by plain sampling.
    Numbers go by their quantile, even grids and choices by index. Where Ax fails, as where every configuration of a small space is tried, the Sobol
    sequence goes on, and the suggestion's note says so.

    Args:
        num_startup: Trials before the model, >= 2; half of them must have ended well.
        strategy: "fast", Ax's default, or "quality": a fully Bayesian model, many times slower.

    Raises:
        MissingDependency: Ax is not installed.
        ConfigError: a knob outside its range.

    Source: Olson et al., Ax: A Platform for Adaptive Experimentation, AutoML 2025; Balandat et al., BoTorch, NeurIPS 2020.
    """

    suits = "Ax's Bayesian optimisation: few, dear trials; seconds a suggestion."

    def __init__(self, problem: Problem, *, seed: int, num_startup: int = 5, strategy: str = "fast") -> None:
        super().__init__(problem, seed=seed)
        self._num_startup = knob_whole("ax", "num_startup", num_startup, 2)
        if strategy not in _STRATEGIES:
            raise ConfigError(f"ax has strategy={strategy!r}", f"give one of {', '.join(_STRATEGIES)}")
        self._strategy = strategy
        _load()  # to fail here rather than at the first suggestion of the model
        self._axes = axes(problem.space)
        self._names = {name: f"p{i}" for i, name in enumerate(problem.space) if not self._axes[name].is_fixed}
        self._sobol = Sobol(problem, seed=seed)
        self._finished: list[Trial] = []  # by number

    def _learn(self, finished: Sequence[Trial]) -> None:
        for trial in finished:
            insort(self._finished, trial, key=lambda t: t.number)

    def ask(self, n: int) -> list[Suggestion]:
        number = self.next_number
        found: list[Suggestion] = []
        pending = list(self.pending)
        for following in range(number, number + n):
            found.append(self._suggest(following, pending))
            pending.append(Trial(number=following, params=found[-1].params))
        return found

    def _suggest(self, number: int, pending: Sequence[Trial]) -> Suggestion:
        losses = self._losses()
        known = len(pending) + sum(map(self._counts, self._finished))
        if not self._names or known < self._num_startup or len(losses) < max(1, self._num_startup // 2):
            return self._first(number)
        try:
            with _quiet():
                return Suggestion(params=self._modelled(number, pending, losses))
        except _load().exceptions as error:
            return Suggestion(
                params=self._first(number).params,
                note=f"Ax had no suggestion ({type(error).__name__}): a point of a Sobol sequence",
            )

    def _first(self, number: int) -> Suggestion:
        space = self.problem.space
        middle = space.decode([0.5] * len(space))
        if number == 0 and not space.broken(middle):
            return Suggestion(params=middle)
        return self._sobol.at(number)

    @staticmethod
    def _counts(trial: Trial) -> bool:
        """Return whether a trial that is over is one of those that the model waits for."""
        return trial.phase is Phase.FINISHED

    def _losses(self) -> dict[int, list[float]]:
        """Return the losses of the trials that have them, by number; an infinite one is the worst or the best of the finite ones."""
        found = {
            t.number: self.problem.losses(t.values)
            for t in self._finished
            if t.phase is Phase.FINISHED and t.values is not None and not any(v != v for v in t.values)
        }
        for m in range(len(self.problem.metrics)):
            finite = [losses[m] for losses in found.values() if abs(losses[m]) <= _FAR]
            if not finite:
                return {}
            low, high = min(finite), max(finite)
            found = {
                number: tuple(min(max(loss, low), high) if i == m else loss for i, loss in enumerate(losses))
                for number, losses in found.items()
            }
        return {number: list(losses) for number, losses in found.items()}

    # -- the experiment

    def _modelled(self, number: int, pending: Sequence[Trial], losses: dict[int, list[float]]) -> dict[str, object]:
        space = self.problem.space
        client = self._experiment(number, pending, losses)
        for _ in range(_TRIES):
            ((index, chosen),) = client.get_next_trials(max_trials=1).items()
            params = values(space, self._axes, {name: float(chosen[short]) for name, short in self._names.items()})
            if not space.broken(params):
                return params
            client.mark_trial_abandoned(index)
        return space.sample(self.rng(number))

    def _experiment(self, number: int, pending: Sequence[Trial], losses: dict[int, list[float]]) -> Any:
        """Return a client that knows the history, about to suggest trial `number`."""
        client = _load().client(random_seed=self.rng(number).getrandbits(31))
        client.configure_experiment(parameters=self._parameters())
        metrics = [f"m{i}" for i in range(len(self.problem.metrics))]
        measured = self._measured()
        limits = []
        for i, limit in enumerate(self.problem.limits):
            if sum(f"l{i}" in found for found in measured.values()) >= 2:
                limits += [f"l{i} >= {limit.min!r}"] if limit.min is not None else []
                limits += [f"l{i} <= {limit.max!r}"] if limit.max is not None else []
        client.configure_optimization(", ".join(f"-{name}" for name in metrics), outcome_constraints=limits)
        client.configure_generation_strategy(
            method=self._strategy, initialization_budget=0, initialize_with_center=False
        )
        rows = []
        for trial in sorted([*self._finished, *pending], key=lambda t: t.number):
            if trial.phase is Phase.CANCELED:
                continue
            places = point(self._axes, trial.params, random.Random(f"{self.seed}/{trial.number}/place"))
            index = client.attach_trial({self._names[name]: self._typed(name, at) for name, at in places.items()})
            if trial.number in losses:
                told = dict(zip(metrics, losses[trial.number], strict=True)) | measured[trial.number]
                rows += [(index, name, value) for name, value in told.items()]
            elif trial.phase.is_over:
                client.mark_trial_abandoned(index)
        _tell(client, rows)
        return client

    def _measured(self) -> dict[int, dict[str, float]]:
        """Return what the trials say about what is limited."""
        found: dict[int, dict[str, float]] = {}
        for trial in self._finished:
            said = [self.problem.measured(limit.name, trial) for limit in self.problem.limits]
            found[trial.number] = {f"l{i}": v for i, v in enumerate(said) if v is not None and abs(v) <= _FAR}
        return found

    def _typed(self, name: str, place: float) -> Any:
        axis = self._axes[name]
        if axis.size is None:
            return float(place)
        return int(place) if axis.is_ordered else str(int(place))

    def _parameters(self) -> list[Any]:
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

        found: list[Any] = []
        for name, short in self._names.items():
            axis = self._axes[name]
            if axis.size is None:
                found.append(RangeParameterConfig(name=short, bounds=(0.0, 1.0), parameter_type="float"))
            elif axis.is_ordered:
                found.append(RangeParameterConfig(name=short, bounds=(0, axis.size - 1), parameter_type="int"))
            else:
                options = [str(i) for i in range(axis.size)]
                found.append(ChoiceParameterConfig(name=short, values=options, parameter_type="str", is_ordered=False))
        return found


def _tell(client: Any, rows: Sequence[tuple[int, str, float]]) -> None:
    """Give all results at once: one by one each looks through those before."""
    import pandas as pd
    from ax.core.data import Data

    experiment = client._experiment
    arms = {index: experiment.trials[index].arm.name for index, _, _ in rows}
    table = [
        {"trial_index": index, "arm_name": arms[index], "metric_name": name, "metric_signature": name, "mean": value, "sem": math.nan}
        for index, name, value in rows
    ]  # fmt: skip
    experiment.attach_data(Data(df=pd.DataFrame(table)))
    for index in arms:
        experiment.trials[index].mark_completed()


@final
class _Loaded:
    """What the bridge takes of Ax."""

    __slots__ = ("client", "exceptions")

    def __init__(self) -> None:
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)  # it greets
        try:
            from ax.api.client import Client
            from ax.exceptions.core import AxError
        finally:
            logging.disable(before)
        self.client = Client
        self.exceptions = (AxError, RuntimeError, ValueError)  # those of gpytorch and torch are RuntimeErrors


_loaded: list[_Loaded] = []


def _load() -> _Loaded:
    if not _loaded:
        try:
            _loaded.append(_Loaded())
        except ImportError as error:
            raise MissingDependency.of("ax-platform", "ax", "method 'ax'") from error
    return _loaded[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Ax's log and warnings for the time being; one thread at a time, for both are the process's."""
    from ax.utils.common.logger import ROOT_STREAM_HANDLER

    with _turns, warnings.catch_warnings():
        level = ROOT_STREAM_HANDLER.level
        ROOT_STREAM_HANDLER.setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            ROOT_STREAM_HANDLER.setLevel(level)
