"""Learning a space, conditions included, from what define-by-run objectives ask for."""

from __future__ import annotations

import contextlib
import json
import keyword
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import final

from whet.config import SweepConfig
from whet.errors import ExpressionError, SpaceError
from whet.expression import Expression, parse
from whet.space import Choice, Float, Int, Parameter, Space
from whet.trial import Phase, Trial

__all__ = ["Learned", "with_space"]

Values = dict[str, object]
"""Values by their `repr`: options need not be hashable, and 1 is not True."""


@final
class Learned:
    """The space behind a define-by-run objective.

    A parameter that some trials lack has a condition. It is looked for among the choices and integers asked for before it: one whose
    values with and without the parameter don't meet (``optimizer in ['sgd']``) or are parted by a threshold (``layers >= 3``).
    Where there is none, the parameter is left out of the space and drawn on its own: a wrong condition would hide it. A guess from
    few trials that turns out wrong is corrected by the first trial that contradicts it.

    Args:
        space: What is known so far.
    """

    def __init__(self, space: Space) -> None:
        self._known: dict[str, Parameter] = dict(space)
        # Which parameters trials had, and for each such set, the values that every one of them took.
        self._patterns: dict[frozenset[str], dict[str, Values]] = {}
        self._space = space
        self._stale = True

    def check(self, name: str, parameter: Parameter) -> None:
        """Raise SpaceError where `parameter` can't be the one of that name in earlier trials, or can't be kept at all."""
        known = self._known.get(name)
        if known is not None:
            _hull(name, known, parameter)
            return
        if not name or name.startswith(".") or name.endswith(".") or ".." in name:
            raise SpaceError(f"{name!r} is no name for a parameter", "give one without dots at its ends")
        if isinstance(parameter, Choice):
            for option in parameter.options:
                try:
                    json.dumps(option, default=_scalar)
                except (TypeError, ValueError):
                    raise SpaceError(
                        f"{name} has the option {option!r}, which can't be kept",
                        "give numbers or text, and look up what they stand for",
                    ) from None

    def explains(self, asked: Mapping[str, Parameter], params: Mapping[str, object]) -> bool:
        """Return whether a trial that asked for these parameters, and got these values, is one of the space: then nothing is to be learned from it.

        Raises:
            SpaceError: a parameter changed its kind or its options.
        """
        for name, parameter in asked.items():
            if name not in self._space or _hull(name, self._known[name], parameter) is not self._known[name]:
                return False
        return asked.keys() == set(self._space.active(params))

    def learn(self, asked: Mapping[str, Parameter], ended: Iterable[Trial]) -> Space:
        """Return the space that fits all trials, after one `asked` for these parameters in this order.

        As long as nothing changes it is the same object, and costs next to nothing.

        Args:
            asked: What an objective asked for.
            ended: The trials that are over since the last call.

        Raises:
            SpaceError: a parameter changed its kind or its options.
        """
        for name, parameter in asked.items():
            old = self._known.get(name)
            new = parameter if old is None else _hull(name, old, parameter)
            if new is not old:
                self._known[name] = new
                self._stale = True
        for trial in ended:
            if trial.phase is Phase.FINISHED and not trial.stopped:  # others may not have asked for everything
                self._watch(trial)
        if self._stale:
            self._stale = False
            found: dict[str, Parameter] = {}
            for name, parameter in self._known.items():
                if all(name in pattern for pattern in self._patterns):
                    found[name] = _conditioned(parameter, None)
                elif (condition := self._condition(name, found)) is not None:
                    found[name] = _conditioned(parameter, condition)
            space = Space(found)
            if space != self._space:
                self._space = space
        return self._space

    def _watch(self, trial: Trial) -> None:
        names = frozenset(trial.params)
        values = self._patterns.get(names)
        if values is None:
            values = self._patterns[names] = {}
            self._stale = True
        for name, value in trial.params.items():
            if isinstance(value, float) and not isinstance(self._known.get(name), Choice):
                continue  # never a parent
            seen, label = values.setdefault(name, {}), repr(value)
            if label not in seen:
                seen[label] = value
                self._stale = self._stale or len(self._patterns) > 1

    def _condition(self, name: str, earlier: Mapping[str, Parameter]) -> Expression | None:
        with_it = [values for pattern, values in self._patterns.items() if name in pattern]
        without = [values for pattern, values in self._patterns.items() if name not in pattern]
        for parent in reversed(list(earlier)):
            if isinstance(earlier[parent], Float) or not with_it or not all(parent in values for values in with_it):
                continue
            yes: Values = {label: value for values in with_it for label, value in values[parent].items()}
            no: Values = {label: value for values in without for label, value in values.get(parent, {}).items()}
            if not no or yes.keys() & no.keys() or not all(map(_is_literal, yes.values())):
                continue
            quoted = parent if parent.isidentifier() and not keyword.iskeyword(parent) else f"params[{parent!r}]"
            condition = f"{quoted} in [{', '.join(sorted(yes))}]"
            if isinstance(earlier[parent], Int):
                ours, theirs = sorted(map(_number, yes.values())), sorted(map(_number, no.values()))
                if ours[0] > theirs[-1]:
                    condition = f"{quoted} >= {ours[0]!r}"
                elif ours[-1] < theirs[0]:
                    condition = f"{quoted} <= {ours[-1]!r}"
            with contextlib.suppress(ExpressionError):  # it may be too long
                return parse(condition)
        return None


def _conditioned(parameter: Parameter, when: Expression | None) -> Parameter:
    match parameter:
        case Float():
            return Float(
                parameter.low, parameter.high, log=parameter.log, step=parameter.step, shape=parameter.shape, when=when
            )
        case Int():
            low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
            return Int(low, high, log=parameter.log, step=step, shape=parameter.shape, when=when)
        case Choice():
            return Choice(parameter.options, weights=parameter.weights, ordered=parameter.ordered, when=when)
    raise AssertionError(parameter)


def _hull(name: str, old: Parameter, new: Parameter) -> Parameter:
    """Return the parameter that covers both (`old` itself where it does): objectives may move the bounds of a number."""
    # By `type`, not `isinstance`, which asks their abstract base: this is done for every parameter of every trial.
    if type(old) is Choice and type(new) is Choice:
        # By `index`, because what came back from the store has lists for tuples.
        if len(old.options) == len(new.options) and all(old.index(o) == i for i, o in enumerate(new.options)):
            return old
    elif type(old) is Float and type(new) is Float and old.log == new.log:
        step = old.step if _same_grid(old, new) else None
        if step == old.step and old.low <= new.low and new.high <= old.high:
            return old
        return Float(min(old.low, new.low), max(old.high, new.high), log=old.log, step=step)
    elif type(old) is Int and type(new) is Int and old.log == new.log:
        step = old.step if _same_grid(old, new) else 1
        if step == old.step and old.low <= new.low and new.high <= old.high:
            return old
        low, high = min(old.low, new.low), max(old.high, new.high)
        return Int(int(low), int(high), log=old.log, step=int(step or 1))
    raise SpaceError(
        f"{name} was {_conditioned(old, None)} in earlier trials and is {new} now",
        "give a changed parameter a new name",
    )


def _same_grid(old: Float | Int, new: Float | Int) -> bool:
    if old.step is None or new.step is None or old.step != new.step:
        return old.step == new.step
    places = (new.low - old.low) / old.step
    return abs(places - round(places)) < 1e-9


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return value


def _is_literal(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _scalar(value: object) -> object:
    if not hasattr(value, "item"):
        raise TypeError
    return value.item()


def with_space(config: SweepConfig, space: Space) -> SweepConfig:
    """Return `config` with another space."""
    return replace(config, problem=replace(config.problem, space=space))
