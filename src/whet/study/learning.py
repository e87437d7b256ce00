"""What a sweep learns of its space while its trials run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from whet.config import SweepConfig
from whet.space import Parameter, Space
from whet.study.history import History
from whet.study.learn import Learned

__all__ = ["Learning"]


@final
class Learning:
    """The space of a sweep whose objective declares it, brought up to date with a history; a declared one stays as it is."""

    def __init__(self, config: SweepConfig) -> None:
        self._space = config.problem.space
        self._learned = Learned(self._space) if config.define_by_run else None
        self._num_learned = 0  # of the history's ended trials

    def check(self, name: str, parameter: Parameter) -> None:
        """Raise SpaceError where an objective may not ask for `parameter` under this name."""
        if self._learned is not None:
            self._learned.check(name, parameter)

    def explains(self, asked: Mapping[str, Parameter], params: Mapping[str, object]) -> bool:
        """Return whether the space as it is known has room for what an objective asked for, and says that it asks for just that."""
        return self._learned is None or self._learned.explains(asked, params)

    def space(self, asked: Mapping[str, Parameter], history: History) -> Space:
        """Return the space with what an objective asked for; the same object as before as long as nothing is new."""
        if self._learned is None:
            return self._space
        ended = history.ended_since(self._num_learned)
        self._num_learned += len(ended)
        return self._learned.learn(asked, ended)
