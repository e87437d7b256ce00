"""What all tests of stores start from: an empty store, a sweep in it, and one more trial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from whet.store.base import Store, Sweep
from whet.trial import Goal, Suggestion

__all__ = ["ME", "OTHER", "PARAMS", "StoreCase"]

ME, OTHER = "a machine|1|0.00", "a machine|2|0.00"
PARAMS = {"lr": 0.1, "layers": 3, "opt": "adam", "bias": True, "sizes": [1, 2], "none": None}


class StoreCase(ABC):
    """Makes an empty store for each test."""

    @abstractmethod
    def make(self) -> Store:
        """Return a new, empty store."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """Return the store, and close it in the end (twice, which is harmless)."""
        store = self.make()
        yield store
        store.close()
        store.close()

    @pytest.fixture
    def sweep(self, store: Store) -> Sweep:
        """Return a sweep called "s" in the project "p"."""
        return store.sweeps.create("p", {"method": "random"}, goals=[Goal.MINIMIZE], name="s")

    def add(
        self, store: Store, sweep: Sweep, number: int, owner: str = ME, *, note: str = "", parent: int | None = None
    ) -> str:
        """Hand out a trial and return its run's id."""
        suggestion = Suggestion(params=PARAMS, note=note, parent=parent)
        return store.trials.add(sweep.id, number, suggestion, owner=owner, seen=0)
