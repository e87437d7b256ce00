"""The bridge to Nevergrad's optimizers: any of them by name, on Whet's spaces."""

from __future__ import annotations

import pickle
import random
import threading
import warnings
from bisect import insort
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

from whet.errors import ConfigError, MissingDependency, UnknownName
from whet.plugins import knob_whole
from whet.search.axes import axes, point, values
from whet.search.base import Searcher
from whet.trial import Phase, Problem, Suggestion, Trial

__all__ = ["Nevergrad"]

_FAR = 1e20  # Nevergrad warns of what is larger, and infinities spoil its averages
_TRIES = 20  # suggestions that may break a constraint before plain sampling takes over
_EVERY, _KEPT = 8, 8  # a copy of the optimizer is kept after every so many trials; so many copies


_turns = threading.RLock()


@final
class Nevergrad(Searcher):
    """Asks one of Nevergrad's optimizers.

    The optimizer is led through the trials in the order of their numbers: asked for each, and told its result at once if there is one. So its
    suggestion depends on the history alone. Where history turns out otherwise than it was led (a trial ends out of turn, another
    process took a number), it goes back to a copy of a few trials ago, so parallel workers pay for some trials once more and sequential
    sweeps for none. A trial with another configuration than it would have suggested is told to it as one of the user's; optimizers that
    refuse those don't learn from it. Optimizers that must be told of each trial before they can be asked for the next are refused.

    Conditions are not known to Nevergrad: it chooses all parameters, and those that don't exist in a configuration are left out (what is
    missing in a trial of others is drawn). Constraints are kept by asking again, at last by plain sampling. Numbers go by their quantile,
    even grids and choices by index; the weights of a `Choice` are not known to it.

    Some optimizers draw from Python's and NumPy's global generators, which are seeded for the time of a suggestion and put back: an objective
    of another thread that draws from them meanwhile gets numbers twice. Give objectives generators of their own, or processes.

    A failed trial, or one without a number, counts as the worst so far, one stopped early by its last report, a canceled one not at all.
    One beyond its limits counts as worse than the worst so far, by how far it is off them. Several metrics are searched by hypervolume.

    Args:
        optimizer: A name in `nevergrad.optimizers.registry`.
        budget: How many trials it plans for; it may go on after them. Many optimizers, NGOpt above all, choose by it what they do.
        num_workers: How many trials run at a time, as far as it plans for that, >= 2.

    Raises:
        MissingDependency: Nevergrad is not installed.
        UnknownName: no such optimizer.
        ConfigError: a knob outside its range, or an optimizer that can't be led so.

    Source: Rapin & Teytaud, Nevergrad, 2018; Meunier et al., Black-Box Optimization Revisited, IEEE TEVC 2022, for NGOpt.
    """

    suits = "One of Nevergrad's optimizers, by name: optimizer."

    def __init__(
        self, problem: Problem, *, seed: int, optimizer: str = "NGOpt", budget: int = 100, num_workers: int = 2
    ) -> None:
        super().__init__(problem, seed=seed)
        self._class = _class_of(optimizer)
        self._name = optimizer
        self._budget = knob_whole("nevergrad", "budget", budget, 1)
        self._num_workers = knob_whole("nevergrad", "num_workers", num_workers, 2)
        self._axes = axes(problem.space)
        self._names = {name: f"p{i}" for i, name in enumerate(problem.space)}  # keyword arguments there
        self._fixed = all(axis.is_fixed for axis in self._axes.values())
        self._finished: list[Trial] = []  # by number
        self._applied: list[Trial] = []  # what the optimizer was led through
        self._copies: list[tuple[int, bytes]] = []  # the optimizer after so many of them
        self._open: tuple[int, Any, dict[str, object]] | None = None  # asked for that number, taken by nobody yet
        self._led: _Led | None = None if self._fixed else self._new()  # a bad knob shows here, not at the first trial

    def _learn(self, finished: Sequence[Trial]) -> None:
        for trial in finished:
            insort(self._finished, trial, key=lambda t: t.number)

    def ask(self, n: int) -> list[Suggestion]:
        if self._fixed:
            return [Suggestion(params=values(self.problem.space, self._axes, {}))] * n
        number = self.next_number
        found: list[Trial] = []
        for following in range(number, number + n):
            led = self._bring([*self._finished, *self.pending, *found])
            if self._open is None:
                self._open = following, *self._propose(led, following)
            found.append(Trial(number=following, params=self._open[2]))
        return [Suggestion(params=trial.params) for trial in found]

    # -- leading the optimizer through history

    def _bring(self, history: list[Trial]) -> _Led:
        """Return the optimizer as it is after `history`: go on where it is a beginning of it, else from a copy."""
        history.sort(key=lambda t: t.number)
        known = 0
        for old, trial in zip(self._applied, history, strict=False):
            if old is not trial and not _is_alike(old, trial):
                break
            known += 1
        fits = self._led is not None and known == len(self._applied)
        if fits and self._open is not None:
            fits = self._open[0] == (history[known].number if known < len(history) else len(history))
        if not fits:
            self._go_back(known)
        led = self._led
        assert led is not None
        for trial in history[len(self._applied) :]:
            self._apply(led, trial)
        return led

    def _go_back(self, known: int) -> None:
        while self._copies and self._copies[-1][0] > known:
            self._copies.pop()
        count, kept = self._copies[-1] if self._copies else (0, b"")
        with _still(self.seed):
            self._led = pickle.loads(kept) if kept else self._new()
        del self._applied[count:]
        self._open = None

    def _apply(self, led: _Led, trial: Trial) -> None:
        candidate, params = self._open[1:] if self._open else self._propose(led, trial.number)
        self._open = None
        losses = led.losses(self.problem, trial)
        if losses is not None:
            with _still(f"{self.seed}/{trial.number}/tell"):
                if candidate is None or params != trial.params:
                    rng = random.Random(f"{self.seed}/{trial.number}/place")
                    places = point(self._axes, trial.params, rng)
                    told = {self._names[name]: place for name, place in places.items()}
                    whole = led.optimizer.parametrization
                    candidate = whole.spawn_child(new_value={**whole.value, **told})
                _tell(led.optimizer, candidate, losses)
        self._applied.append(trial)
        # One trial that takes very long must not keep all later ones from being kept.
        if len(self._applied) % _EVERY == 0 and all(t.phase.is_over for t in self._applied[-_EVERY:]):
            self._keep(led)

    def _keep(self, led: _Led) -> None:
        try:
            self._copies.append((len(self._applied), pickle.dumps(led)))
        except Exception:  # it can't be copied, so it begins anew where history asks for it
            return
        del self._copies[:-_KEPT]

    def _new(self) -> _Led:
        import numpy as np

        with _still(self.seed):
            parametrization = self._parametrization()
            parametrization.random_state = np.random.RandomState(random.Random(f"{self.seed}").getrandbits(32))
            try:
                made = self._class(parametrization, budget=self._budget, num_workers=self._num_workers)
            except (AssertionError, NotImplementedError, TypeError, ValueError) as error:
                raise ConfigError(
                    f"Nevergrad's {self._name} does not take this sweep ({error})", "take another, such as NGOpt"
                ) from error
            if len(self.problem.metrics) > 1:
                made.num_objectives = len(self.problem.metrics)
        return _Led(made)

    # -- between places and configurations

    def _parametrization(self) -> Any:
        """Return the axes as Nevergrad has them."""
        import nevergrad as ng

        found: dict[str, Any] = {}
        for name, axis in self._axes.items():
            if axis.is_fixed:
                continue
            if axis.size is None:
                found[self._names[name]] = ng.p.Scalar(lower=0.0, upper=1.0)
            elif axis.is_ordered:
                found[self._names[name]] = ng.p.Scalar(lower=0, upper=axis.size - 1).set_integer_casting()
            else:
                found[self._names[name]] = ng.p.Choice(range(axis.size))
        if (
            len(found) == 1
        ):  # of one number its CMA needs another package, and from then on asks for it in all sweeps of the process
            found["idle"] = ng.p.Scalar(lower=0.0, upper=1.0)
        return ng.p.Dict(**found)

    def _propose(self, led: _Led, number: int) -> tuple[Any, dict[str, object]]:
        """Ask for trial `number`: the candidate, None where all of them break a constraint, and the configuration."""
        space, names = self.problem.space, self._names
        with _still(f"{self.seed}/{number}"):
            for _ in range(_TRIES):
                try:
                    candidate = led.optimizer.ask()
                except ImportError as error:
                    raise MissingDependency(
                        f"Nevergrad's {self._name} needs a package more ({error})",
                        "install it, or take another optimizer",
                    ) from error
                chosen = candidate.value
                places = {name: chosen[key] for name, key in names.items() if key in chosen}
                params = values(space, self._axes, places)
                if not space.broken(params):
                    return candidate, params
        return None, space.sample(self.rng(number))


@final
class _Led:
    """An optimizer with the range of the losses that it was led through."""

    __slots__ = ("best", "optimizer", "worst")

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.worst: list[float] | None = None
        self.best: list[float] | None = None

    def losses(self, problem: Problem, trial: Trial) -> list[float] | None:
        """Return what the optimizer is told of `trial`, and remember it; None: nothing."""
        if not trial.phase.is_over or trial.phase is Phase.CANCELED:
            return None
        found = trial.values if trial.phase is Phase.FINISHED else None
        if found is None or any(value != value for value in found):
            return self.worst and list(self.worst)
        losses = [min(max(loss, -_FAR), _FAR) for loss in problem.losses(found)]
        self.worst = losses if self.worst is None else list(map(max, self.worst, losses))
        self.best = losses if self.best is None else list(map(min, self.best, losses))
        off = min(problem.off(trial, problem.scales(())), 1e6) if problem.limits else 0.0
        if not off:
            return losses
        spreads = [worst - best or 1.0 for worst, best in zip(self.worst, self.best, strict=True)]
        return [min(worst + off * spread, _FAR) for worst, spread in zip(self.worst, spreads, strict=True)]


def _is_alike(old: Trial, new: Trial) -> bool:
    """Return whether an optimizer that was led through `old` was led through `new`: reports of a trial that is under way are nothing to it."""
    if old.phase.is_over or new.phase.is_over:
        return old == new
    return old.number == new.number and old.params == new.params


def _tell(optimizer: Any, candidate: Any, losses: list[float]) -> None:
    from nevergrad.common.errors import TellNotAskedNotSupportedError

    try:
        optimizer.tell(candidate, losses[0] if len(losses) == 1 else losses)
    except TellNotAskedNotSupportedError:
        return


def _class_of(name: object) -> Any:
    try:
        import nevergrad
    except ImportError as error:
        raise MissingDependency.of("nevergrad", "nevergrad", "method 'nevergrad'") from error
    from nevergrad.optimization import metamodel

    # Up to 1.0.12 it calls float on arrays of one number there, which numpy refuses from 2.4 on: then NGOpt, too, would fail.
    metamodel.float = _number
    known = nevergrad.optimizers.registry
    if not isinstance(name, str) or name not in known:
        raise UnknownName.of("Nevergrad optimizer", str(name), known)
    found = known[name]
    if found.no_parallelization or found.recast:
        raise ConfigError(
            f"Nevergrad's {name} must be told of each trial before it is asked for the next",
            "take one that can wait, such as NGOpt, CMA, DE or TwoPointsDE",
        )
    return found


@contextmanager
def _still(seed: object) -> Iterator[None]:
    """Let Nevergrad draw from global generators that have `seed` for the time being, without its warnings; one thread at a time."""
    import numpy as np

    with _turns:
        before, before_numpy = random.getstate(), np.random.get_state()
        bits = random.Random(f"{seed}/global").getrandbits(32)
        random.seed(bits)
        np.random.seed(bits)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            random.setstate(before)
            np.random.set_state(before_numpy)


def _number(value: Any) -> float:
    return float(value.item() if hasattr(value, "item") else value)
