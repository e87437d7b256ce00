"""What every searcher is."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from whet.trial import Problem, Suggestion, Trial

__all__ = ["Searcher"]


class Searcher(ABC):
    """Proposes suggestions from finished and pending trials.

    The laws (`whet.testing.searcher_laws` checks all but the cost):

    - The suggestion for trial n depends on (problem, knobs, seed, n, finished, pending) and on nothing else: no clock, no global
      random state, no store, and not on the order or the batches in which the finished trials were told. Hence a searcher
      rebuilt from history goes on as if it had never died.
    - n is the number of trials that exist: `num_told` finished ones and the pending ones.
    - A suggestion lies in the space and keeps its conditions and constraints.
    - `tell` is incremental; the cost of a suggestion must not grow with the square of the history.

    Args:
        problem: Space and metrics.
        seed: Any integer.
    """

    learns: ClassVar[bool] = True
    """Whether results matter to it; a method that says False does without a metric."""

    continues: ClassVar[bool] = False
    """Whether its trials go on from others (`Suggestion.parent`), and are pieces of trainings rather than whole ones."""

    suits: ClassVar[str] = ""
    """When to take it, in a sentence: pages show it where a method is chosen. Without one, the first line of its docstring."""

    def __init__(self, problem: Problem, *, seed: int) -> None:
        self.problem = problem
        self.seed = seed
        self.num_told = 0
        self.pending: Sequence[Trial] = ()

    def tell(self, finished: Sequence[Trial], pending: Sequence[Trial]) -> None:
        """Take in the trials that are newly over, and all that are pending now.

        Args:
            finished: Over since the last call (finished, stopped, failed or canceled); each trial is told once.
            pending: Every trial that is handed out or waits to be: this replaces what was pending before.
        """
        self.num_told += len(finished)
        self.pending = pending
        if finished:
            self._learn(finished)

    def _learn(self, finished: Sequence[Trial]) -> None:
        """Take in newly finished trials; nothing to do for a method without memory."""
        return

    @property
    def foresees(self) -> bool:
        """Whether it has a model that says what the next trial may gain."""
        return False

    def expected_gain(self) -> float | None:
        """Return by how much the next trial is expected to improve the best result, in units of the only metric, by the finished trials alone.

        None: it has no model, or none yet. It costs at most what a suggestion does.
        """
        return None

    def count(self, most: int | None = None) -> int | None:
        """Return how many suggestions it makes in all before there is nothing left.

        None: it goes on for ever, or does not know, or telling takes more than `most` steps.
        """
        return None

    @abstractmethod
    def ask(self, n: int) -> list[Suggestion]:
        """Return up to `n` suggestions for the next trials: what `n` single questions would give, each suggestion pending for the next.

        A shorter list, or an empty one, while trials are pending means "not yet"; when none is pending, "nothing left, ever".
        """

    def at(self, number: int) -> Suggestion | None:
        """Return the suggestion for trial `number` of a method that looks at nothing else: what `ask` gives there whatever it was told; None: it looks.

        The answer is None always or never. Where it is not, nobody reads the other trials to ask: see `whet.study.engine`.
        """
        return None

    def _in_turn(
        self, n: int, suggest: Callable[[int, Sequence[Mapping[str, object]]], Mapping[str, object]]
    ) -> list[Suggestion]:
        """Return what `suggest` says for the next `n` numbers, given the configurations that are pending, each suggestion the next one's too."""
        pending = [t.params for t in sorted(self.pending, key=lambda t: t.number)]
        for number in range(self.next_number, self.next_number + n):
            pending.append(suggest(number, pending))
        return [Suggestion(params=params) for params in pending[len(pending) - n :]]

    def rng(self, number: int) -> random.Random:
        """Return the random stream of trial `number`: the same for the same seed and number, anywhere."""
        return random.Random(f"{self.seed}/{number}")  # seeding by text is fixed across Python versions and platforms

    @property
    def next_number(self) -> int:
        """The number that the next trial will have."""
        return self.num_told + len(self.pending)
