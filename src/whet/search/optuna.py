"""The bridge to Optuna's samplers: any of them by name, on Whet's spaces."""

from __future__ import annotations

import inspect
import warnings
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

from whet.errors import ConfigError, MissingDependency, SpaceError, UnknownName
from whet.parameters import Choice, Float, Int, Parameter
from whet.search.base import Searcher
from whet.search.limits import held_against
from whet.trial import Phase, Problem, Suggestion, Trial

__all__ = ["Optuna", "quiet"]

_EXCESSES, _FAR = "whet:excesses", 1e300  # Optuna adds them up, and infinite ones could not be told apart
_TRIES = 20  # suggestions that may break a constraint before plain sampling takes over
# These keep their state in the study rather than in the trials' results, so it has to be replayed.
_REPLAYED = {"CmaEsSampler", "NSGAIISampler", "NSGAIIISampler", "QMCSampler"}


@final
class Optuna(Searcher):
    """Asks one of Optuna's samplers.

    The sampler sees a study of its own, in memory, in which the trials stand in the order of their numbers. Whenever history says
    something else than that study does (a trial finished out of turn, another process took a number), the study is built anew, so
    the suggestion depends on the history alone. Samplers with a memory of their own (CMA-ES, NSGA, QMC) are then replayed trial by
    trial, which makes them slower with parallel workers; sequential sweeps don't pay for it.

    Constraints are kept by rejection, at last by plain sampling; the weights of a `Choice` are not known to Optuna. Parameters that
    have no counterpart there (shaped, unbounded, log with a step) are searched by their quantile.

    Of limits, samplers that take a `constraints_func` are told by how much each is exceeded; suggestions of others say that they know
    nothing of them.

    Args:
        sampler: The name of a class in `optuna.samplers`.
        sampler_knobs: Its arguments.

    Raises:
        MissingDependency: Optuna is not installed, or a package that the sampler needs.
        UnknownName: no such sampler, or an argument that it has not got.
        ConfigError: an argument that it refuses.

    Source: Akiba et al., Optuna, KDD 2019.
    """

    suits = "One of Optuna's samplers, by name: sampler."

    def __init__(self, problem: Problem, *, seed: int, sampler: str = "TPESampler", **sampler_knobs: object) -> None:
        super().__init__(problem, seed=seed)
        known = _samplers()
        if sampler not in known:
            raise UnknownName.of("Optuna sampler", sampler, known)
        self._class = known[sampler]
        accepted = [name for name in inspect.signature(self._class).parameters if name != "seed"]
        for knob in sampler_knobs:
            if knob not in accepted:
                raise UnknownName.of(f"knob of {sampler}", knob, accepted)
        self._knobs = sampler_knobs
        self._replays = sampler in _REPLAYED
        self._note = ""
        if problem.limits and "constraints_func" in accepted:
            self._knobs = {"constraints_func": _excesses, **sampler_knobs}
        elif problem.limits:
            self._note = f"{sampler} knows nothing of limits"
        self._links = {name: _Link(name, p) for name, p in problem.space.parameters.items()}
        self._finished: list[Trial] = []  # by number
        self._study: Any = None
        self._applied: list[Trial] = []  # what the study knows, by number
        self._open: dict[str, object] | None = None  # the suggestion that nobody has taken yet: the study's last trial
        self._spoilt = True  # the study holds something that history does not
        with quiet():
            self._sampler(0)  # a bad argument shows here, not at the first trial

    def _sampler(self, number: int) -> Any:
        knobs = dict(self._knobs)
        if "seed" in inspect.signature(self._class).parameters:
            knobs["seed"] = self.seed % 2**32 if self._replays else self.rng(number).getrandbits(32)
        try:
            return self._class(**knobs)
        except ImportError as error:
            raise _missing(self._class, error) from error
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{self._class.__name__} refuses {self._knobs} ({error})", "see Optuna's manual"
            ) from error

    def _learn(self, finished: Sequence[Trial]) -> None:
        for trial in finished:
            insort(self._finished, trial, key=lambda t: t.number)

    def ask(self, n: int) -> list[Suggestion]:
        number = self.next_number
        virtual: list[Trial] = []
        with quiet():
            while len(virtual) < n:
                self._sync([*self._finished, *self.pending, *virtual])
                params = self._suggest(number + len(virtual))
                virtual.append(Trial(number=number + len(virtual), params=params))
        return [Suggestion(params=trial.params, note=self._note) for trial in virtual]

    # --- the study as history's mirror

    def _sync(self, history: list[Trial]) -> None:
        """Bring the study to `history`: go on where it is a beginning of it, else build it anew."""
        history.sort(key=lambda t: t.number)
        num = len(self._applied)
        fits = not self._spoilt and num <= len(history) and all(map(self._agrees, range(num), history))
        if fits and self._open is not None and num < len(history):
            fits = (
                self._open == history[num].params
            )  # or else somebody took another configuration than the suggested one
        if not fits:
            self._rebuild()
        for trial in history[len(self._applied) :]:
            self._apply(trial)

    def _rebuild(self) -> None:
        import optuna

        directions = ["minimize"] * len(self.problem.metrics)
        self._study = optuna.create_study(sampler=self._sampler(0), directions=directions)
        self._applied, self._open, self._spoilt = [], None, False

    def _agrees(self, place: int, trial: Trial) -> bool:
        """Return whether the study's trial at `place` is `trial`; where only its end is new, it is brought up to date."""
        old = self._applied[place]
        if old is trial:
            return True
        if old.number != trial.number or old.phase.is_over or old.params != trial.params:
            return False
        if trial.phase.is_over:
            if self._replays and place + 1 < len(self._applied) + (self._open is not None):
                return False  # a replay would have ended it before it asked for the next one
            self._end(place, trial)
        self._applied[place] = trial
        return True

    def _apply(self, trial: Trial) -> None:
        import optuna

        place = len(self._applied)
        if self._open is not None or self._replays:
            if self._open is None:
                self._fill(self._study.ask())
            self._open = None
            self._overwrite(place, trial.params)
        else:
            fitting = self._fitting(trial.params)
            self._study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState.RUNNING,
                    params={name: value for name, (value, _) in fitting.items()},
                    distributions={name: distribution for name, (_, distribution) in fitting.items()},
                )
            )
        if trial.phase.is_over:
            self._end(place, trial)
        self._applied.append(trial)

    def _end(self, place: int, trial: Trial) -> None:
        from optuna.trial import Trial as Live
        from optuna.trial import TrialState as State

        one = len(self.problem.metrics) == 1
        trial_id = self._study._storage.get_trial_id_from_study_id_trial_number(self._study._study_id, place)
        if one:
            live = Live(self._study, trial_id)
            for report in trial.reports:
                live.report(self.problem.losses(report.values)[0], report.step)
        if self.problem.limits:
            excesses = [min(excess, _FAR) for excess in held_against(self.problem, trial)]
            self._study._storage.set_trial_user_attr(trial_id, _EXCESSES, excesses)
        if trial.complete and trial.values is not None:
            self._study.tell(place, list(self.problem.losses(trial.values)))
        elif trial.phase is Phase.FINISHED and trial.stopped and one:
            self._study.tell(place, state=State.PRUNED)
        else:
            self._study.tell(place, state=State.FAIL)

    def _overwrite(self, place: int, params: Mapping[str, object]) -> None:
        """Let the study's trial at `place` have `params`, to the last digit (a quantile that went out and back may lose it)."""
        storage = self._study._storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study._study_id, place)
        if not self._replays:
            storage.get_trial(
                trial_id
            ).system_attrs.clear()  # TPE's notes on what it meant to suggest, which a new study lacks
        there = storage.get_trial(trial_id).params
        for name, (value, distribution) in self._fitting(params).items():
            if name not in there or there[name] != value:
                storage.set_trial_param(trial_id, name, distribution.to_internal_repr(value), distribution)

    def _fitting(self, params: Mapping[str, object]) -> dict[str, tuple[Any, Any]]:
        """Return what Optuna is told of `params`: value and distribution of those that fit the space."""
        found = {}
        for name, link in self._links.items():
            if name in params:
                try:
                    found[name] = link.outwards(params[name]), link.distribution
                except SpaceError:
                    continue
        return found

    # --- suggestions

    def _suggest(self, number: int) -> dict[str, object]:
        import optuna

        if self._open is not None:
            return self._open
        space = self.problem.space
        if not self._replays:
            self._study.sampler = self._sampler(number)
        for _ in range(_TRIES):
            try:
                asked = self._study.ask()
                params = self._fill(asked)
            except ImportError as error:
                raise _missing(self._class, error) from error
            if not space.broken(params):
                if not self._spoilt:
                    self._open = params
                return params
            self._spoilt = True
            self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
        return space.sample(self.rng(number))

    def _fill(self, asked: Any) -> dict[str, object]:
        """Let the sampler choose each parameter that is active, parents first."""
        space = self.problem.space
        values: dict[str, object] = {}
        for name in space.active_order:
            if space.is_active(name, values):
                values[name] = self._links[name].suggest(asked)
        return {name: values[name] for name in space if name in values}


def _excesses(trial: Any) -> list[float]:
    found: list[float] = trial.user_attrs[_EXCESSES]
    return found


@final
class _Link:
    """One parameter there and here."""

    def __init__(self, name: str, parameter: Parameter) -> None:
        from optuna import distributions as there

        self._name, self._parameter = name, parameter
        self._options: list[object] | None = None
        self._by_quantile = False
        self.distribution: Any
        match parameter:
            case Choice():
                weights = parameter.weights or [1.0] * len(parameter.options)
                self._options = [o for o, w in zip(parameter.options, weights, strict=True) if w > 0]
                count = len(self._options)
                self.distribution = (
                    there.IntDistribution(0, count - 1)
                    if parameter.ordered
                    else there.CategoricalDistribution(range(count))
                )
            case Int(shape=None) if not (parameter.log and parameter.step != 1):
                self.distribution = there.IntDistribution(
                    int(parameter.low), int(parameter.high), log=parameter.log, step=int(parameter.step or 1)
                )
            case Float(shape=None, step=None):
                self.distribution = there.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
            case _:
                self._by_quantile = True
                self.distribution = there.FloatDistribution(0.0, 1.0)

    def outwards(self, value: object) -> Any:
        """Return Optuna's value for Whet's.

        Raises:
            SpaceError: it is not legal.
        """
        value = self._parameter.clean(self._name, value)
        if self._options is not None:
            return next(i for i, option in enumerate(self._options) if option is value)
        return self._parameter.encode(value) if self._by_quantile else value

    def suggest(self, asked: Any) -> object:
        """Return Whet's value for what Optuna's trial suggests."""
        value = asked._suggest(self._name, self.distribution)
        if self._options is not None:
            return self._options[int(value)]
        return self._parameter.decode(value) if self._by_quantile else self._parameter.clean(self._name, value)


def _samplers() -> dict[str, type[Any]]:
    try:
        import optuna
    except ImportError as error:
        raise MissingDependency.of("optuna", "optuna", "method 'optuna'") from error
    found = {}
    for name in dir(optuna.samplers):
        value = getattr(optuna.samplers, name)
        # Grid and PartialFixed need Optuna's own objects as arguments; Whet has a grid and constants.
        if (
            isinstance(value, type)
            and name not in ("GridSampler", "PartialFixedSampler")
            and not inspect.isabstract(value)
        ):
            found[name] = value
    return found


def _missing(sampler: type[Any], error: ImportError) -> MissingDependency:
    return MissingDependency(f"{sampler.__name__} needs a package more ({error})", 'pip install "whet[optuna]"')


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log and its warnings about experimental features, for the time being."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
