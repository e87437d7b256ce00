"""A sweep's searcher, built the same way wherever one is needed: by an engine, by a replay, and to see that it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whet.config import Plugin
from whet.plugins import build
from whet.trial import Problem

if TYPE_CHECKING:
    from whet.search.base import Searcher

__all__ = ["searcher_of"]


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
