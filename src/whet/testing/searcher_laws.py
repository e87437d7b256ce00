"""The laws of every searcher, as a pytest class that a plug-in's test inherits.

Example::

    class TestMine(SearcherLaws):
        def make(self, problem, seed):
            return Mine(problem, seed=seed)

Each law plays a sweep in a space that hypothesis draws: conditions, constraints, all kinds of parameters; some trials are enqueued
by hand, some fail, are canceled or stopped early, give NaN or infinity, and some are still pending at the end.
"""

from __future__ import annotations

import random
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from unittest import mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whet.search.base import Searcher
from whet.space import Space
from whet.testing.spaces import spaces
from whet.trial import Goal, Limit, Metric, Phase, Problem, Report, Suggestion, Trial

__all__ = ["LIMITS", "History", "SearcherLaws", "outcome", "play"]

LIMITS = (Limit(name="latency", max=0.3), Limit(name="size", min=2, max=3))
"""Limits that about a third of the trials of a play keep."""

_SEEDS = st.integers(-(2**40), 2**40)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a searcher is told."""

    finished: tuple[Trial, ...]
    pending: tuple[Trial, ...]


def outcome(trial: Trial, rng: random.Random, num_metrics: int = 1) -> Trial:
    """Return `trial` as it may end: mostly with a value, now and then in one of the ways that are harder to digest."""
    value = rng.gauss(0.0, 1.0)
    steps = range(1, rng.randint(1, 4))
    more = tuple(rng.choice([rng.gauss(0.0, 1.0), round(rng.gauss(0.0, 1.0))]) for _ in range(num_metrics - 1))
    reports = tuple(Report(step=step, values=(value + 1 / step, *more)) for step in steps)
    trial = replace(trial, attrs=_measured(trial.number, rng.getstate()[1][0]))
    match rng.randint(0, 19):
        case 0:
            return replace(trial, phase=Phase.FAILED, reason="crashed")
        case 1:
            return replace(trial, phase=Phase.CANCELED, reason="canceled by hand")
        case 2:
            return replace(trial, phase=Phase.FINISHED, values=(*more, float("nan")), reports=reports)
        case 3:
            return replace(trial, phase=Phase.FINISHED, values=(rng.choice([float("inf"), float("-inf")]), *more))
        case 4:
            return replace(trial, phase=Phase.FINISHED, values=(0.0,) * num_metrics)  # ties
        case 5 | 6 | 7:
            values = reports[-1].values if reports else None
            return replace(trial, phase=Phase.FINISHED, values=values, reports=reports, stopped=True, reason="hopeless")
    return replace(trial, phase=Phase.FINISHED, values=(value, *more), reports=reports)


def _measured(number: int, seed: int) -> dict[str, object]:
    """Return what a trial may say of values that are limited; it draws from a stream of its own."""
    rng = random.Random(f"{seed}/{number}")
    said: dict[str, object] = {"latency": rng.gauss(0.0, 1.0), "size": rng.choice([1, 2, 3, 4, float("inf")])}
    if rng.random() < 0.15:
        del said[rng.choice(["latency", "size"])]
    if rng.random() < 0.05:
        said["latency"] = rng.choice([float("nan"), "fast"])
    return said


def play(searcher: Searcher, *, num_trials: int, seed: int, workers: int = 3, enqueue: float = 0.2) -> History:
    """Drive `searcher` through `num_trials` trials with up to `workers` pending ones; a share is enqueued, not suggested."""
    rng = random.Random(seed)
    finished: list[Trial] = []
    pending: list[Trial] = []
    for number in range(num_trials):
        if rng.random() < enqueue:
            params, parent = searcher.problem.space.sample(rng), None
        else:
            found = searcher.ask(1)
            if not found:
                break
            params, parent = dict(found[0].params), found[0].parent
        pending.append(Trial(number=number, params=params, parent=parent))
        over = []
        while pending and rng.random() < len(pending) / workers:
            over.append(outcome(pending.pop(rng.randrange(len(pending))), rng, len(searcher.problem.metrics)))
        finished += over
        searcher.tell(over, tuple(pending))
    return History(finished=tuple(finished), pending=tuple(pending))


def _law(test: Any) -> Any:
    """Draw a space and a seed for `test`."""
    kinds = [HealthCheck.differing_executors, HealthCheck.too_slow, HealthCheck.data_too_large]
    quiet = settings(max_examples=12, deadline=None, suppress_health_check=kinds, derandomize=True, database=None)
    return quiet(given(space=spaces(), seed=_SEEDS)(test))


class SearcherLaws:
    """Inherit, name the class ``Test…`` and say how your searcher is made. Set `num_trials` lower for a slow one.

    A searcher that takes several metrics has a class more with `num_metrics` 2, and one with 3; one that heeds limits a class more with
    `limits`, such as ``LIMITS``: trials report the values ``latency`` and ``size``, now and then without a number, or not at all.
    """

    num_trials: ClassVar[int] = 24
    num_metrics: ClassVar[int] = 1
    limits: ClassVar[tuple[Limit, ...]] = ()

    @abstractmethod
    def make(self, problem: Problem, seed: int) -> Searcher:
        """Return a new searcher."""

    def _problem(self, space: Space, goal: Goal = Goal.MINIMIZE) -> Problem:
        names = ["value", *(f"value {m}" for m in range(2, self.num_metrics + 1))]
        return Problem(space=space, metrics=tuple(Metric(name=name, goal=goal) for name in names), limits=self.limits)

    def _played(self, space: Space, seed: int) -> tuple[Problem, Searcher, History]:
        problem = self._problem(space)
        searcher = self.make(problem, seed)
        return problem, searcher, play(searcher, num_trials=self.num_trials, seed=seed)

    def _rebuilt(self, problem: Problem, seed: int, history: History) -> Searcher:
        searcher = self.make(problem, seed)
        searcher.tell(history.finished, history.pending)
        return searcher

    @_law
    def test_suggestions_are_legal(self, space: Space, seed: int) -> None:
        """Each suggestion is a full configuration of the space, its conditions and constraints kept."""
        _, searcher, history = self._played(space, seed)
        for found in [[Suggestion(params=t.params) for t in history.finished], searcher.ask(3)]:
            assert len(found) <= max(3, len(history.finished))
            for suggestion in found:
                assert space.clean(suggestion.params) == dict(suggestion.params)
                assert list(suggestion.params) == [name for name in space if name in suggestion.params]

    @_law
    def test_goes_on_from_history_as_if_it_had_never_died(self, space: Space, seed: int) -> None:
        """A new searcher that is told the whole history suggests what the old one would have."""
        problem, searcher, history = self._played(space, seed)
        assert self._rebuilt(problem, seed, history).ask(2) == searcher.ask(2)

    @_law
    def test_order_and_batches_of_telling_do_not_matter(self, space: Space, seed: int) -> None:
        """Only the set of finished trials counts, not how it was told, nor what was asked in between."""
        problem, searcher, history = self._played(space, seed)
        shuffled = list(history.finished)
        random.Random(seed).shuffle(shuffled)
        other = self.make(problem, seed)
        for start in range(0, len(shuffled), 5):
            other.tell(shuffled[start : start + 5], ())
            if start == 10:
                other.ask(1)  # what it would have said then must leave no trace
        assert other.expected_gain() == searcher.expected_gain()  # nor does it know of what is pending
        other.tell((), history.pending)
        assert other.ask(1) == searcher.ask(1)

    @_law
    def test_asking_twice_gives_the_same(self, space: Space, seed: int) -> None:
        """A question changes nothing, nor does that for the expected gain, which is known to a method that says so only."""
        _, searcher, _ = self._played(space, seed)
        found, gain = searcher.ask(1), searcher.expected_gain()
        assert gain is None or (searcher.foresees and gain >= 0)
        assert searcher.ask(1) == found
        assert searcher.expected_gain() == gain

    @_law
    def test_a_batch_is_what_single_questions_give(self, space: Space, seed: int) -> None:
        """`ask(3)` is three times `ask(1)`, each suggestion pending for the next."""
        problem, searcher, history = self._played(space, seed)
        batch = searcher.ask(3)
        single = self._rebuilt(problem, seed, history)
        pending: Sequence[Trial] = history.pending
        for i in range(3):
            found = single.ask(1)
            assert found == batch[i : i + 1]
            if not found:
                break
            number = len(history.finished) + len(pending)
            pending = (*pending, Trial(number=number, params=found[0].params, parent=found[0].parent))
            single.tell((), pending)

    @_law
    def test_what_looks_at_the_number_alone_needs_no_telling(self, space: Space, seed: int) -> None:
        """Where `at` answers, it says what `ask` says, whatever was told; and it answers always or never."""
        problem, searcher, _ = self._played(space, seed)
        untold = self.make(problem, seed)
        found = untold.at(searcher.next_number)
        assert found is None or [found] == searcher.ask(1)
        assert (untold.at(0) is None) == (found is None)

    @_law
    def test_reads_no_clock_and_leaves_global_randomness_alone(self, space: Space, seed: int) -> None:
        """Neither the time nor the global generators of Python and numpy play a part, and those keep their state."""
        import numpy as np

        problem, searcher, history = self._played(space, seed)
        random.seed(seed + 1)
        np.random.seed(7)
        before, before_numpy = random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]
        with mock.patch.multiple(time, time=lambda: 0.0, monotonic=lambda: 0.0, perf_counter=lambda: 0.0):
            found = self._rebuilt(problem, seed, history).ask(1)
        assert random.getstate() == before
        assert np.random.get_state()[1].tobytes() == before_numpy  # type: ignore[index]
        assert found == searcher.ask(1)

    @_law
    def test_maximizing_mirrors_minimizing(self, space: Space, seed: int) -> None:
        """Maximizing the negative of the values leads to the same suggestion."""
        _, searcher, history = self._played(space, seed)
        mirror = self._problem(space, Goal.MAXIMIZE)
        finished = tuple(
            replace(
                t,
                values=None if t.values is None else tuple(-v for v in t.values),
                reports=tuple(replace(r, values=tuple(-v for v in r.values)) for r in t.reports),
            )
            for t in history.finished
        )
        assert self._rebuilt(mirror, seed, replace(history, finished=finished)).ask(1) == searcher.ask(1)

    def test_an_empty_space_has_one_configuration(self) -> None:
        """In a space without parameters the empty configuration is suggested."""
        assert self.make(self._problem(Space({})), 0).ask(1) == [Suggestion(params={})]

    def test_survives_trials_that_do_not_fit_the_space(self) -> None:
        """Trials with unknown, missing or illegal parameters are digested somehow."""
        from whet.parameters import Choice, Float

        space = Space({"x": Float(0, 1), "c": Choice(["a", "b", "c", "d"]), "y": Float(0, 1, when="c == 'a'")})
        strange: list[dict[str, object]] = [
            {},
            {"x": 7.5, "z": 1},
            {"x": "text", "c": "e"},
            {"c": "a"},
            {"y": None, "c": "b"},
        ]
        values = [(float(i), *(float((i * 7 + m) % 20) for m in range(1, self.num_metrics))) for i in range(20)]
        told = [
            Trial(number=i, params=strange[i % len(strange)], phase=Phase.FINISHED, values=values[i]) for i in range(20)
        ]
        searcher = self.make(self._problem(space), 3)
        searcher.tell(told, [Trial(number=20, params={"c": "nowhere"})])
        for suggestion in searcher.ask(2):
            assert space.contains(suggestion.params)
