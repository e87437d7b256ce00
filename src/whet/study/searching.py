"""A sweep's searcher: built the same way wherever one is needed, and kept up to date with a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from whet.config import SweepConfig
from whet.plugins import build, find
from whet.plugins import knobs as knobs_of
from whet.study.told import as_told
from whet.trial import Suggestion, Trial

if TYPE_CHECKING:
    from whet.search.base import Searcher
    from whet.study.history import History

__all__ = ["Searching", "searcher_of"]


def searcher_of(config: SweepConfig) -> Searcher:
    """Return the searcher of a sweep; where there are earlier sweeps to learn from, one that begins with their best configurations.

    A method that weighs by a cost learns how much of it there is: the sweep's budget of that name (``terminate: {cost: …}``).

    Raises:
        UnknownName, ConfigError: as `whet.plugins.build`.
    """
    problem, method, knobs = config.problem, config.method, dict(config.method.knobs)
    budgets = config.terminate.cost if config.terminate else {}
    if (
        isinstance(cost := knobs.get("cost"), str)
        and cost in budgets
        and "budget" in knobs_of(find("searcher", method.name))
    ):
        knobs.setdefault("budget", budgets[cost])
    made: Searcher = build("searcher", method.name, problem, knobs_given=knobs, seed=config.seed or 0)
    if not problem.earlier or not problem.space:
        return made
    from whet.search.starting import Starting

    return Starting(made)


@final
class Searching:
    """A sweep's searcher, built when it is first asked and told what is new each time."""

    def __init__(self, config: SweepConfig) -> None:
        self._config = config
        self._num_told = 0  # of the history's ended trials
        self.searcher: Searcher | None = None

    def suggest(self, history: History, *, is_first_version: bool) -> Suggestion | None:
        """Return a suggestion for the next trial, or None: nothing left, or not yet.

        Args:
            history: All trials.
            is_first_version: The configuration was never changed, so that all params fit the space as they are.
        """
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
        is_unknown = config.define_by_run and not config.problem.space
        suggestions = [Suggestion(params={})] if is_unknown else searcher.ask(1)
        self.searcher = searcher
        return suggestions[0] if suggestions else None
