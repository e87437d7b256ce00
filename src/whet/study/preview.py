"""What a sweep would do, before there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from whet.config import SweepConfig
from whet.study.searching import searcher_of
from whet.trial import Phase, Trial

__all__ = ["guesses", "size_of"]


def size_of(config: SweepConfig, most: int | None = None) -> int | None:
    """Return how many trials the method makes by itself; None where it never ends, or where it takes more than `most` steps to tell.

    Raises:
        UnknownName, ConfigError: there is no such method, or it can't be built.
    """
    return searcher_of(config).count(most)


def guesses(config: SweepConfig, count: int, first: Sequence[Mapping[str, object]] = ()) -> list[Mapping[str, object]]:
    """Return the first `count` configurations that a sweep would try without having seen a result; fewer where there are no more.

    Args:
        config: The sweep.
        count: At most so many.
        first: What is enqueued, and so comes before them.

    Raises:
        UnknownName, ConfigError: there is no such method, or it can't be built.
    """
    searcher = searcher_of(config)
    pending = [Trial(number=n, params=params, phase=Phase.RUNNING) for n, params in enumerate(islice(first, count))]
    while len(pending) < count:
        searcher.tell([], pending)
        found = searcher.ask(1)
        if not found:
            break
        pending.append(Trial(number=len(pending), params=found[0].params, phase=Phase.RUNNING))
    return [trial.params for trial in pending]
