"""A sweep's searcher: built the same way wherever one is needed, and kept up to date with a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from whet.config import Plugin, SweepConfig
from whet.plugins import build
from whet.study.told import as_told
from whet.trial import Problem, Suggestion, Trial

if TYPE_CHECKING:
    from whet.search.base import Searcher
    from whet.study.history import History

__all__ = ["Searching", "searcher_of"]


def searcher_of(problem: Problem, method: Plugin, seed: int | None) -> Searcher:
    """Return the searcher of a sweep; where there are earlier sweeps to learn from, one that begins with their best configurations.

    Raises:
        UnknownName, ConfigError: as `whet.plugins.build`.
    """
    made: Searcher = build("searcher", method.name, problem, knobs_given=dict(method.knobs), seed=seed or 0)
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
            searcher = searcher_of(config.problem, config.method, config.seed)
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
