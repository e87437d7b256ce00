"""Grid search: every configuration once, in a fixed order."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import final

from whet.errors import UnknownName
from whet.parameters import Choice, Float, Int, Parameter
from whet.plugins import knob_whole
from whet.search.base import Searcher
from whet.search.history import Key, key
from whet.trial import Problem, Suggestion, Trial

__all__ = ["Grid"]


class _TooManyError(Exception):
    """Counting takes too long."""


@final
class Grid(Searcher):
    """Walks through every active configuration once, the last parameter fastest, and ends by itself.

    Discrete parameters take each of their values. A continuous one takes `resolution` values at even distances on its (log)
    scale, both bounds included; one without bounds (a normal) the middles of `resolution` shares of equal probability. A
    configuration that breaks a constraint is left out; one that was tried or is pending, by whomever, is not repeated, and a
    trial that failed counts as tried. Nothing is built before it is needed, so the product may be astronomically large.

    Args:
        resolution: How many values a continuous parameter takes, >= 1; or a mapping from names to that number, which thins
            out discrete parameters, too (what it does not name gets 5).

    Raises:
        ConfigError: a resolution that is no whole number of 1 or more.
        UnknownName: a resolution for a parameter that is not there.

    Example:
        >>> from whet.space import Choice, Float, Space
        >>> space = Space({"opt": Choice(["sgd", "adam"]), "momentum": Float(0, 0.9, when="opt == 'sgd'")})
        >>> grid = Grid(Problem(space=space), seed=0, resolution=3)
        >>> [dict(s.params) for s in grid.ask(9)]
        [{'opt': 'sgd', 'momentum': 0.0}, {'opt': 'sgd', 'momentum': 0.45}, {'opt': 'sgd', 'momentum': 0.9}, {'opt': 'adam'}]
    """

    suits = "Every combination of a few values, once; then it ends."

    learns = False

    def __init__(self, problem: Problem, *, seed: int, resolution: int | Mapping[str, int] = 5) -> None:
        super().__init__(problem, seed=seed)
        space = problem.space
        given = resolution if isinstance(resolution, Mapping) else {}
        for name in given:
            if name not in space:
                raise UnknownName.of("parameter", name, space)
        counts = {name: knob_whole("grid", f"resolution of {name}", count, 1) for name, count in given.items()}
        default = 5 if isinstance(resolution, Mapping) else knob_whole("grid", "resolution", resolution, 1)
        self._axes = {name: _axis(name, p, counts.get(name), default) for name, p in space.parameters.items()}
        self._order = space.active_order
        places = {name: i for i, name in enumerate(self._order)}
        # Each constraint is looked at as soon as its last parameter has a value, so that whole branches fall at once.
        self._due = {name: [r for r in space.constraints if max(r.names, key=places.__getitem__, default="") == name]
                     for name in self._order}  # fmt: skip
        self._visited: set[Key] = set()
        self._walk = self._configurations(0, {})
        self._ahead: deque[tuple[Key, dict[str, object]]] = deque()  # walked past, but not yet over

    def count(self, most: int | None = None) -> int | None:
        """Return how many configurations the grid has in all; None where telling takes more than `most` steps.

        Parameters that no condition or constraint names only multiply, so this is quick for huge grids, too.
        """
        rules = [*self.problem.space.constraints, *(p.when for p in self.problem.space.values() if p.when is not None)]
        bound = frozenset().union(*(rule.names for rule in rules))
        steps = repeat(0) if most is None else repeat(0, most)
        try:
            return sum(self._counts(0, {}, bound, steps))
        except _TooManyError:
            return None

    def _counts(
        self, depth: int, values: dict[str, object], bound: frozenset[str], steps: Iterator[int]
    ) -> Iterator[int]:
        factor = 1
        for place in range(depth, len(self._order)):
            name = self._order[place]
            if not self.problem.space.is_active(name, values):
                continue
            if name not in bound:
                factor *= len(self._axes[name])
                continue
            for value in self._axes[name]:
                if next(steps, None) is None:
                    raise _TooManyError
                inner = {**values, name: value}
                if self._keeps(name, inner):
                    yield factor * sum(self._counts(place + 1, inner, bound, steps))
            return
        yield factor

    def _configurations(self, depth: int, values: dict[str, object]) -> Iterator[dict[str, object]]:
        while depth < len(self._order) and not self.problem.space.is_active(self._order[depth], values):
            depth += 1
        if depth == len(self._order):
            yield {name: values[name] for name in self.problem.space if name in values}
            return
        name = self._order[depth]
        for value in self._axes[name]:
            inner = {**values, name: value}
            if self._keeps(name, inner):
                yield from self._configurations(depth + 1, inner)

    def _keeps(self, name: str, values: Mapping[str, object]) -> bool:
        return all(not rule.names <= values.keys() or rule(values) for rule in self._due[name])

    def _learn(self, finished: Sequence[Trial]) -> None:
        self._visited.update(key(self.problem.space, trial.params) for trial in finished)

    def ask(self, n: int) -> list[Suggestion]:
        pending = {key(self.problem.space, trial.params) for trial in self.pending}
        while self._ahead and self._ahead[0][0] in self._visited:
            self._visited.discard(self._ahead.popleft()[0])  # behind us now: never looked up again
        found: list[Suggestion] = []
        place = 0
        while len(found) < n:
            if place == len(self._ahead):
                params = next(self._walk, None)
                if params is None:
                    break
                self._ahead.append((key(self.problem.space, params), params))
            label, params = self._ahead[place]
            if label not in self._visited and label not in pending:
                found.append(Suggestion(params=params))
            place += 1
        return found


def _axis(name: str, parameter: Parameter, given: int | None, default: int) -> tuple[object, ...]:
    count = default if given is None else given
    size = parameter.size
    if size is not None and (given is None or size <= given):
        if isinstance(parameter, Choice):
            weights = parameter.weights or [1.0] * size
            return tuple(o for o, w in zip(parameter.options, weights, strict=True) if w > 0)
        assert isinstance(parameter, (Float, Int))
        step = parameter.step or 0.0
        return tuple(parameter.clean(name, parameter.low + i * step) for i in range(size))
    bounded = not isinstance(parameter, (Float, Int)) or math.isfinite(parameter.high - parameter.low)
    if bounded and count > 1 and not isinstance(parameter, Choice):
        units = [i / (count - 1) for i in range(count)]
    else:
        units = [(i + 0.5) / count for i in range(count)]
    return tuple(dict.fromkeys(_neat(parameter.decode(u), parameter) for u in units))


def _neat(value: object, parameter: Parameter) -> object:
    # 0.001 rather than 0.0010000000000000002, as a person would write it
    if isinstance(value, float) and isinstance(parameter, Float) and parameter.step is None:
        rounded = min(max(float(f"{value:.12g}"), parameter.low), parameter.high)
        if abs(rounded - value) <= 1e-9 * (parameter.high - parameter.low):
            return rounded
    return value
