"""The laws catch those who break them."""

import random
import time
from typing import final

import pytest

from whet.errors import SpaceError
from whet.search.base import Searcher
from whet.testing.searcher_laws import SearcherLaws
from whet.trial import Suggestion


class Culprit(Searcher):
    def draw(self, number):
        return self.problem.space.sample(self.rng(number))

    def ask(self, n):
        return [Suggestion(params=self.draw(self.next_number + i)) for i in range(n)]


@final
class Forgetful(Culprit):  # its state is its own, not history's
    def __init__(self, problem, *, seed):
        super().__init__(problem, seed=seed)
        self.stream = random.Random(seed)

    def draw(self, number):
        return self.problem.space.sample(self.stream)


@final
class Ordered(Culprit):  # the last to come decides
    last = 0

    def _learn(self, finished):
        self.last = finished[-1].number

    def draw(self, number):
        return self.problem.space.sample(random.Random(self.last))


@final
class Lawless(Culprit):
    def draw(self, number):
        return {name: p.decode(self.rng(number).random()) for name, p in self.problem.space.items()}


@final
class Global(Culprit):
    def draw(self, number):
        return self.problem.space.sample(random)


@final
class Clocked(Culprit):
    def draw(self, number):
        return self.problem.space.sample(random.Random(str(time.time() > 1.0)))


@final
class OneSided(Culprit):
    best = 0.0

    def _learn(self, finished):
        self.best = min([self.best, *(t.values[0] for t in finished if t.complete)])

    def draw(self, number):
        return self.problem.space.sample(random.Random(self.best))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("culprit", "law"),
    [
        (Lawless, "test_suggestions_are_legal"),
        (Forgetful, "test_goes_on_from_history_as_if_it_had_never_died"),
        (Forgetful, "test_asking_twice_gives_the_same"),
        (Ordered, "test_order_and_batches_of_telling_do_not_matter"),
        (Forgetful, "test_a_batch_is_what_single_questions_give"),
        (Global, "test_reads_no_clock_and_leaves_global_randomness_alone"),
        (Clocked, "test_reads_no_clock_and_leaves_global_randomness_alone"),
        (OneSided, "test_maximizing_mirrors_minimizing"),
    ],
)
def test_a_law_catches_its_culprit(culprit, law):
    class Laws(SearcherLaws):
        def make(self, problem, seed):
            return culprit(problem, seed=seed)

    with pytest.raises((AssertionError, SpaceError, ExceptionGroup)):  # hypothesis groups what it found
        getattr(Laws(), law)()
