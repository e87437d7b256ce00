"""A search that begins where earlier sweeps ended: their best configurations, one every other trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from whet.parameters import Choice
from whet.search.base import Searcher
from whet.search.history import Key, key, unit
from whet.search.overlap import overlap
from whet.search.startup import hypercube
from whet.space import Space
from whet.trial import Earlier, Past, Suggestion, Trial

__all__ = ["Starting", "openings"]

_FEWEST, _MOST = 3, 6  # configurations, of one sweep and of many
_SHARE = 4  # only the best quarter of a sweep's trials
_APART = 0.1  # of two configurations: how far their values are from each other on the average, as a share of the range


@final
class Starting(Searcher):
    """Another method, whose suggestions for trials 0, 2, 4 … are replaced by the best configurations of earlier sweeps (`openings`).

    What a configuration leaves open is as in a Latin hypercube, for the first one the middle. One that breaks a constraint, was tried or is pending is passed over. A
    suggestion that goes on from another trial is never replaced.

    Args:
        inner: The method; its problem says which sweeps those are.
    """

    def __init__(self, inner: Searcher) -> None:
        super().__init__(inner.problem, seed=inner.seed)
        self.inner = inner
        self._openings = openings(inner.problem.space, inner.problem.earlier)
        self._tried: set[Key] = set()

    def tell(self, finished: Sequence[Trial], pending: Sequence[Trial]) -> None:
        super().tell(finished, pending)
        self.inner.tell(finished, pending)

    @property
    def foresees(self) -> bool:
        return self.inner.foresees

    def expected_gain(self) -> float | None:
        return self.inner.expected_gain()

    def count(self, most: int | None = None) -> int | None:
        return self.inner.count(most)

    def _learn(self, finished: Sequence[Trial]) -> None:
        # Openings are few, so only what is like one of them need be kept; but finding out costs as much.
        self._tried.update(key(self.problem.space, trial.params) for trial in finished)

    def ask(self, n: int) -> list[Suggestion]:
        if self.next_number >= 2 * len(self._openings):
            return self.inner.ask(n)
        found: list[Suggestion] = []
        for number in range(self.next_number, self.next_number + n):
            handed = [Trial(number=self.next_number + i, params=s.params, parent=s.parent) for i, s in enumerate(found)]
            self.inner.pending = [*self.pending, *handed]
            own = self.inner.ask(1)
            if not own:
                break
            found.append(own[0] if own[0].parent is not None else self._opened(number, own[0], handed))
        self.inner.pending = self.pending
        return found

    def _opened(self, number: int, own: Suggestion, handed: Sequence[Trial]) -> Suggestion:
        if number % 2 or number >= 2 * len(self._openings):
            return own
        space = self.problem.space
        taken = {key(space, trial.params) for trial in (*self.pending, *handed)} | self._tried
        for place, (sweep, past) in enumerate(self._openings):
            params = _completed(space, past.params, hypercube(self.seed, len(self._openings), space, place))
            if not space.broken(params) and key(space, params) not in taken:
                return replace(own, params=params, note=f"trial {past.number} of {sweep} was among its best")
        return own


def openings(space: Space, earlier: Sequence[Earlier]) -> list[tuple[str, Past]]:
    """Return configurations to begin with, and the names of the sweeps that they are from: the best of each, then the next ones.

    Of each sweep they are complete, among the best quarter, and apart from each other; their params are those that `space` knows. There are
    three of one sweep, and one of each of up to six.
    """
    columns: list[list[tuple[str, Past]]] = []
    for sweep in earlier:
        column: list[tuple[str, Past]] = []
        num_results = sum(past.loss is not None for past in sweep.trials)
        for past in sweep.trials[: max(1, num_results // _SHARE)]:
            params = overlap(space, past.params)
            if params is None or past.loss is None or len(column) >= _FEWEST:
                continue
            if all(_distance(space, params, other.params) >= _APART for _, other in column):
                column.append((sweep.name, replace(past, params=params)))
        columns.append(column)
    rows = [column[i] for i in range(_FEWEST) for column in columns if i < len(column)]
    return rows[: min(max(_FEWEST, len(earlier)), _MOST)]


def _distance(space: Space, one: Mapping[str, object], other: Mapping[str, object]) -> float:
    total = 0.0
    for name, parameter in space.items():
        if (name in one) is not (name in other):
            total += 1.0
        elif name in one and isinstance(parameter, Choice) and not parameter.ordered:
            total += float(parameter.index(one[name]) != parameter.index(other[name]))
        elif name in one:
            total += abs(unit(parameter, one[name]) - unit(parameter, other[name]))
    return total / max(1, len(space))


def _completed(space: Space, known: Mapping[str, object], rest: Sequence[float]) -> dict[str, object]:
    """Return the legal configuration that `known` and the quantiles `rest` make."""
    units = [unit(p, known[name]) if name in known else u for (name, p), u in zip(space.items(), rest, strict=True)]
    params = space.decode(units)
    for name in params.keys() & known.keys():
        value = space[name].decode(unit(space[name], known[name]))
        if isinstance(value, float) and isinstance(known[name], (int, float)) and _is_near(value, known[name]):
            params[name] = space[name].clean(name, known[name])  # 0.003 rather than 0.0030000000000000005
    return params


def _is_near(value: float, other: object) -> bool:
    assert isinstance(other, (int, float))
    return abs(value - other) <= 1e-9 * max(abs(value), abs(other))
