"""A sweep's searcher: built the same way wherever one is needed, and kept up to date with a history."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from whet.config import Plugin, SweepConfig
from whet.errors import ConfigError
from whet.plugins import build, find
from whet.plugins import knobs as knobs_of
from whet.study.told import as_told
from whet.trial import Problem, Suggestion, Trial

if TYPE_CHECKING:
    from whet.search.base import Searcher
    from whet.study.history import History

__all__ = ["News", "Searching", "basis", "check_method", "searcher_of"]


_MOMENT_S = 0.001


def basis(config: SweepConfig) -> tuple[Problem, Plugin, int, float | None]:
    """Return all that a sweep's searcher is made of, lastly the budget of the cost that it weighs by: where it is equal, so are searchers."""
    cost = config.method.knobs.get("cost")
    budgets = config.terminate.cost if config.terminate else {}
    return config.problem, config.method, config.seed or 0, budgets.get(cost) if isinstance(cost, str) else None


def searcher_of(config: SweepConfig) -> Searcher:
    """Return the searcher of a sweep; where there are earlier sweeps to learn from, one that begins with their best configurations.

    A method that weighs by a cost learns how much of it there is: the sweep's budget of that name (``terminate: {cost: …}``).

    Raises:
        UnknownName, ConfigError: as `whet.plugins.build`.
    """
    problem, method, seed, budget = basis(config)
    knobs = dict(method.knobs)
    if budget is not None and "budget" in knobs_of(find("searcher", method.name)):
        knobs.setdefault("budget", budget)
    made: Searcher = build("searcher", method.name, problem, knobs_given=knobs, seed=seed)
    if not problem.earlier or not problem.space:
        return made
    from whet.search.starting import Starting

    return Starting(made)


def check_method(config: SweepConfig) -> None:
    """Build a sweep's searcher to see that it can be, and that it knows what the sweep asks of it.

    Raises:
        UnknownName, ConfigError: it can't, or it has no model by which the sweep could end (``terminate: {expected_improvement: …}``).
    """
    made = searcher_of(config)
    if config.terminate is not None and config.terminate.expected_improvement is not None and not made.foresees:
        metrics, count = len(config.problem.metrics), len(config.problem.space)
        raise ConfigError(
            f"terminate has expected_improvement, and method {config.method.name} has no model that tells it of {metrics} metric(s) and {count} parameter(s)",
            "take gp, or bayes with one metric and at most 40 parameters; or end the sweep by no_improvement",
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a searcher is told before it is asked: values, so that the history may go on while it searches.

    Args:
        ended: The trials that ended since it was last told, in the order of their ends.
        pending: Those that are not over, by number.
        num_ended: How many are over in all.
        as_they_are: The configuration was never changed, so that all params fit the space.
    """

    ended: tuple[Trial, ...]
    pending: tuple[Trial, ...]
    num_ended: int
    as_they_are: bool


@final
class Searching:
    """A sweep's searcher, built when it is first asked and told what is new each time. One thread at a time may use it."""

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._num_told = 0  # of the history's ended trials
        self._gain: tuple[int, float | None] | None = None  # after how many ends, and what
        self.searcher: Searcher | None = None
        self.looks = False
        """Whether its searcher is known to look at other trials."""
        self.is_quick = False
        """Whether what it said last of a number alone took it moments: then others may be made to wait for the next."""

    def news(self, history: History, *, is_first_version: bool) -> News:
        """Return what the searcher does not know yet.

        Args:
            history: All trials.
            is_first_version: The configuration was never changed.
        """
        known = 0 if self.searcher is None else self._num_told
        return News(
            ended=tuple(history.ended_since(known)),
            pending=tuple(history.pending()),
            num_ended=history.num_ended,
            as_they_are=is_first_version and not self._config.define_by_run,
        )

    def suggest(self, news: News) -> Suggestion | None:
        """Return a suggestion for the next trial, or None: nothing left, or not yet."""
        searcher = self._told(news)
        suggestions = [Suggestion(params={})] if self._is_unknown else searcher.ask(1)
        self.searcher = searcher
        return suggestions[0] if suggestions else None

    def at(self, number: int) -> Suggestion | None:
        """Return the suggestion for trial `number` where that is all that it depends on; None where it `looks` at others."""
        if self._is_unknown:
            return Suggestion(params={})
        if self.searcher is None:
            self.searcher, self._num_told = searcher_of(self._config), 0
        began = time.perf_counter()
        suggestion = self.searcher.at(number)
        self.looks = suggestion is None
        self.is_quick = not self.looks and time.perf_counter() - began < _MOMENT_S
        return suggestion

    @property
    def _is_unknown(self) -> bool:
        """Whether nobody knows the space yet."""
        return self._config.define_by_run and not self._config.problem.space

    def known_gain(self, num_ended: int) -> float | None:
        """Return what `expected_gain` was after so many ends, if it was computed; from any thread."""
        gain = self._gain
        return gain[1] if gain is not None and gain[0] == num_ended else None

    def expected_gain(self, news: News) -> float | None:
        """Return by how much the next trial is expected to improve the best result; None where the method does not know. Computed once a history."""
        if self._gain is None or self._gain[0] != news.num_ended:
            searcher = self._told(news)
            self._gain = news.num_ended, searcher.expected_gain()
            self.searcher = searcher
        return self._gain[1]

    def _told(self, news: News) -> Searcher:
        """Return the searcher, told what is new; the caller keeps it again once it is done with it."""
        config, searcher = self._config, self.searcher
        self.searcher = None  # for good if this is interrupted: it may know but half
        if searcher is None:
            searcher = searcher_of(config)

        def told(trial: Trial) -> Trial:
            return trial if news.as_they_are else as_told(trial, config.problem.space)

        searcher.tell([told(trial) for trial in news.ended], [told(trial) for trial in news.pending])
        self._num_told = news.num_ended
        return searcher
