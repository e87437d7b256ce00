"""A hypergradient algorithm as the method of a sweep: another method proposes where it starts, the gradient goes on from there."""

from __future__ import annotations

import importlib
import inspect
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar

from whet.errors import ConfigError, MissingDependency, UnknownName
from whet.plugins import build, find, knob_number
from whet.search.base import Searcher
from whet.space import Float, Parameter, Space
from whet.trial import Problem, Suggestion, Trial

__all__ = ["Gradient", "Reach", "Settings", "is_continuous"]

_GIVEN = frozenset({"train_loss", "val_loss", "hyper", "outer", "penalty", "tune", "eval_mode"})
"""Arguments of an algorithm that the training gives, so that they are no knobs."""


class Reach(Enum):
    """Where an algorithm's derivatives reach, and so what it can tune."""

    LOSS = "the training loss"
    UPDATE = "the training loss or the update"
    KNOBS = "the update"
    """By default learning rates alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a trial needs to know of a hypergradient method.

    Args:
        name: The method's.
        tune: The parameters that the gradient moves; None: all that it can.
        outer_lr: The step size of the outer optimizer; None: the algorithm's own default.
        own: The algorithm's knobs.
    """

    name: str
    tune: tuple[str, ...] | None = None
    outer_lr: float | None = None
    own: Mapping[str, Any] = field(default_factory=dict)


def is_continuous(parameter: Parameter) -> bool:
    """Return whether a gradient can move it: a `Float` without a step that has a range."""
    return isinstance(parameter, Float) and parameter.step is None and parameter.low < parameter.high


class Gradient(Searcher, ABC):
    """Proposes where hypergradients start; inside each trial they tune the continuous parameters from there (see `whet.Training`).

    What has no gradient (widths, choices) and the starting values are another method's to propose. In a script that makes no
    `whet.Training`, nothing is tuned within a trial, and this is that other method.

    Args:
        problem: Space and metrics.
        seed: Any integer.
        search: The method that proposes: a name, or a mapping of it and its knobs (``{"name": "tpe", "num_startup": 5}``).
        tune: The names of the parameters that the gradient moves: continuous ones, `Float`s without a step. Default: all that reach the training
            loss or the update in a way that the algorithm can differentiate.
        outer_lr: The step size of Adam on the transformed values (of lr its decimal logarithm, say), > 0. Default: the algorithm's own.
        **knobs: The algorithm's own.

    Raises:
        UnknownName: an unknown method or knob.
        ConfigError: a name in `tune` that no gradient can move; a knob outside its range.
    """

    name: ClassVar[str]
    """The method's name."""

    algorithm: ClassVar[str]
    """``module:class`` of the `HyperOptimizer`; imported when it is needed, since it needs torch."""

    reach: ClassVar[Reach] = Reach.UPDATE
    """What it can tune."""

    spares_rates: ClassVar[bool] = False
    """Whether learning rates are left alone unless `tune` names them, although it can tune them."""

    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Knobs whose default in a study is not the algorithm's own."""

    without: ClassVar[frozenset[str]] = frozenset()
    """Knobs that all have and this one has not: it sets them itself."""

    solves: ClassVar[bool] = False
    """Whether each of its steps solves the inner problem, by many weight steps."""

    def __init__(self, problem: Problem, *, seed: int, search: str | Mapping[str, Any] = "random",
                 tune: str | Sequence[str] | None = None, outer_lr: float | None = None, **knobs: Any) -> None:  # fmt: skip
        super().__init__(problem, seed=seed)
        self.settings = self.read({"tune": tune, "outer_lr": outer_lr, **knobs}, problem.space)
        if knobs:
            self._check(knobs)
        self._search = self._inner(search)
        self._movable = [name for name, parameter in problem.space.items() if is_continuous(parameter)]

    @classmethod
    def read(cls, knobs: Mapping[str, Any], space: Space) -> Settings:
        """Return what the knobs of a sweep's method come to, inside a trial.

        Raises:
            ConfigError: a name in `tune` that no gradient can move; an outer_lr that is no step size.
        """
        own = {name: value for name, value in knobs.items() if name not in ("search", "tune", "outer_lr")}
        tune, outer_lr = knobs.get("tune"), knobs.get("outer_lr")
        if outer_lr is not None:
            if "outer_lr" in cls.without:
                raise ConfigError(f"{cls.name} has outer_lr={outer_lr!r}, and a step size of its own", "leave it out")
            outer_lr = knob_number(cls.name, "outer_lr", outer_lr, 1e-12)
        if tune is not None:
            tune = (tune,) if isinstance(tune, str) else tuple(tune)
            movable = [name for name, parameter in space.items() if is_continuous(parameter)]
            for name in tune:
                if name not in movable:
                    why = f"{space[name]} is not continuous" if name in space else "there is no such parameter"
                    known = ", ".join(movable) or "none: add a Float without a step"
                    raise ConfigError(f"{cls.name} is to tune {name!r}, and {why}", f"continuous ones: {known}")
        return Settings(name=cls.name, tune=tune, outer_lr=outer_lr, own=own)

    @classmethod
    def load(cls) -> type[Any]:
        """Return the algorithm.

        Raises:
            MissingDependency: torch is not installed.
        """
        module, _, name = cls.algorithm.partition(":")
        try:
            loaded: type[Any] = getattr(importlib.import_module(module), name)
        except ImportError as error:
            if error.name is None or error.name.partition(".")[0] != "torch":
                raise
            raise MissingDependency.of("torch", "torch", f"method {cls.name}") from error
        return loaded

    def tell(self, finished: Sequence[Trial], pending: Sequence[Trial]) -> None:
        super().tell(finished, pending)
        self._search.tell(finished, pending)

    def ask(self, n: int) -> list[Suggestion]:
        return [replace(s, note=self._note(s)) for s in self._search.ask(n)]

    def _note(self, suggestion: Suggestion) -> str:
        tune = self.settings.tune
        names = [name for name in tune or self._movable if name in suggestion.params]
        what = ", ".join(names) if tune else f"what it can move of {', '.join(names)}"
        return "; ".join(
            text for text in (suggestion.note, names and f"{self.name} goes on from here with {what}") if text
        )

    def _check(self, knobs: Mapping[str, Any]) -> None:
        known: dict[str, None] = {}
        for cls in self.load().__mro__:  # a subclass may pass on what it does not name
            if "__init__" in vars(cls):
                parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
                known |= dict.fromkeys(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _GIVEN)
                if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                    break
        names = [name for name in (*known, "search", "tune", "outer_lr") if name not in self.without]
        for knob in knobs:
            if knob not in names:
                raise UnknownName.of(f"knob of {self.name}", knob, names)
        from whet.joint.algorithm import rehearse  # torch is there by now

        rehearse(type(self), knobs)

    def _inner(self, search: str | Mapping[str, Any]) -> Searcher:
        given = {"name": search} if isinstance(search, str) else dict(search) if isinstance(search, Mapping) else {}
        name = given.pop("name", None)
        if not isinstance(name, str):
            fix = "give a method's name, or {name: tpe, num_startup: 5}"
            raise ConfigError(f"{self.name} has search={search!r}, which names no method", fix)
        if issubclass(find("searcher", name), Gradient):
            fix = "give one that proposes, such as random, sobol or tpe"
            raise ConfigError(f"{self.name} has search={name!r}, which is a hypergradient method itself", fix)
        made: Searcher = build("searcher", name, self.problem, knobs_given=given, seed=self.seed)
        return made
