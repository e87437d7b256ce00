"""The store that keeps nothing: plain Python, for studies in one process.

The same verbs and errors as the others (`whet.store.rules`), at microseconds each. What is given is copied one level deep:
don't change values inside a mapping after handing it over, nor anything in what comes back.
"""

from __future__ import annotations

from typing import final

from whet.store.base import Store
from whet.store.memory.runs import MemoryRuns
from whet.store.memory.sweeps import MemorySweeps
from whet.store.memory.tokens import MemoryTokens
from whet.store.memory.trials import MemoryTrials
from whet.store.memory.world import World

__all__ = ["MemoryStore"]


@final
class MemoryStore(Store):
    """A new, empty store that lives as long as this object."""

    def __init__(self) -> None:
        self.url = "memory"
        world = World()
        self.sweeps = MemorySweeps(world)
        self.trials = MemoryTrials(world)
        self.runs = MemoryRuns(world)
        self.tokens = MemoryTokens()

    def close(self) -> None:
        return

    def __repr__(self) -> str:
        return "MemoryStore()"
