"""A sweep's searcher: built the same way wherever one is needed, and kept up to date with a history."""

from __future__ import annotations

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

__all__ = ["Searching", "basis", "check_method", "searcher_of"]


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
class Searching:
    """A sweep's searcher, built when it is first asked and told what is new each time."""

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._num_told = 0  # of the history's ended trials
        self._gain: tuple[int, float | None] | None = None  # after how many ends, and what
        self.searcher: Searcher | None = None

    def suggest(self, history: History, *, is_first_version: bool) -> Suggestion | None:
        """Return a suggestion for the next trial, or None: nothing left, or not yet.

        Args:
            history: All trials.
            is_first_version: The configuration was never changed, so that all params fit the space as they are.
        """
        config, searcher = self._config, self._told(history, is_first_version=is_first_version)
        is_unknown = config.define_by_run and not config.problem.space
        suggestions = [Suggestion(params={})] if is_unknown else searcher.ask(1)
        self.searcher = searcher
        return suggestions[0] if suggestions else None

    def expected_gain(self, history: History, *, is_first_version: bool) -> float | None:
        """Return by how much the next trial is expected to improve the best result; None where the method does not know. Computed once a history.

        Args:
            history, is_first_version: As in `suggest`.
        """
        known = history.num_ended
        if self._gain is None or self._gain[0] != known:
            searcher = self._told(history, is_first_version=is_first_version)
            self._gain = known, searcher.expected_gain()
            self.searcher = searcher
        return self._gain[1]

    def _told(self, history: History, *, is_first_version: bool) -> Searcher:
        """Return the searcher, told what is new; the caller keeps it again once it is done with it."""
        config, searcher = self._config, self.searcher
        self.searcher = None  # for good if this is interrupted: it may know but half
        if searcher is None:
            searcher = searcher_of(config)
            self._num_told = 0
        is_fixed = is_first_version and not config.define_by_run

        def told(trial: Trial) -> Trial:
            return trial if is_fixed else as_told(trial, config.problem.space)

        fresh = [told(trial) for trial in history.ended_since(self._num_told)]
        self._num_told += len(fresh)
        searcher.tell(fresh, [told(trial) for trial in history.pending()])
        return searcher
