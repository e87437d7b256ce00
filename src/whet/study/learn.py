"""Learning a space, conditions included, from what define-by-run objectives ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from whet.errors import StudyError
from whet.expression import Expression, parse
from whet.space import Choice, Float, Int, Parameter, Space
from whet.trial import Phase, Trial

__all__ = ["Learned"]


@final
class Learned:
    """The space behind a define-by-run objective.

    A parameter that some trials lack has a condition. It is looked for among the choices and integers asked for before it: one whose
    values with and without the parameter don't meet (``optimizer in ['sgd']``) or are parted by a threshold (``layers >= 3``).
    Where there is none, the parameter is left out of the space and drawn on its own: a wrong condition would hide it.

    Args:
        space: What is known so far.
    """

    def __init__(self, space: Space) -> None:
        self._known: dict[str, Parameter] = dict(space)
        self._seen: set[int] = set()
        # Which parameters trials had, and for each such set, the values that every one of them took.
        self._patterns: dict[frozenset[str], dict[str, set[object]]] = {}

    def watch(self, trials: Iterable[Trial]) -> None:
        """Take in the trials that ended since the last call."""
        for trial in trials:
            if trial.number in self._seen or trial.phase is not Phase.FINISHED or trial.stopped:
                continue  # a trial that failed or was stopped may not have asked for everything
            self._seen.add(trial.number)
            values = self._patterns.setdefault(frozenset(trial.params), {})
            for name, value in trial.params.items():
                if not isinstance(value, float):
                    values.setdefault(name, set()).add(value if _hashable(value) else repr(value))

    def space(self, asked: Mapping[str, Parameter]) -> Space:
        """Return the space that fits all that was watched, after a trial `asked` for these parameters in this order.

        Raises:
            StudyError: a parameter changed its kind or its options.
        """
        for name, parameter in asked.items():
            self._known[name] = _hull(name, self._known[name], parameter) if name in self._known else parameter
        found: dict[str, Parameter] = {}
        for name, parameter in self._known.items():
            if all(name in pattern for pattern in self._patterns):
                found[name] = _conditioned(parameter, None)
            elif (condition := self._condition(name, found)) is not None:
                found[name] = _conditioned(parameter, condition)
        return Space(found)

    def _condition(self, name: str, earlier: Mapping[str, Parameter]) -> Expression | None:
        with_it = [values for pattern, values in self._patterns.items() if name in pattern]
        without = [values for pattern, values in self._patterns.items() if name not in pattern]
        for parent in reversed(list(earlier)):
            if isinstance(earlier[parent], Float) or not with_it or not all(parent in values for values in with_it):
                continue
            yes = set[object]().union(*(values[parent] for values in with_it))
            no = set[object]().union(*(values.get(parent, set()) for values in without))
            if not no or yes & no:
                continue
            quoted = parent if parent.isidentifier() else f"params[{parent!r}]"
            if isinstance(earlier[parent], Int):
                highest, lowest = max(yes, key=_number), min(yes, key=_number)
                if _number(lowest) > _number(max(no, key=_number)):
                    return parse(f"{quoted} >= {lowest!r}")
                if _number(highest) < _number(min(no, key=_number)):
                    return parse(f"{quoted} <= {highest!r}")
            return parse(f"{quoted} in {sorted(yes, key=repr)!r}")
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
    """Return the parameter that covers both: objectives may move the bounds of a number from trial to trial."""
    if isinstance(old, Choice) and isinstance(new, Choice) and old.options == new.options:
        return new
    if isinstance(old, Float) and isinstance(new, Float) and (old.log, old.step) == (new.log, new.step):
        return Float(min(old.low, new.low), max(old.high, new.high), log=new.log, step=new.step)
    if isinstance(old, Int) and isinstance(new, Int) and (old.log, old.step) == (new.log, new.step):
        low, high = min(old.low, new.low), max(old.high, new.high)
        return Int(int(low), int(high), log=new.log, step=int(new.step or 1))
    raise StudyError(
        f"{name} was {_conditioned(old, None)} in earlier trials and is {new} now",
        "give a changed parameter a new name",
    )


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return value
