"""How sweeps are called and put together beside each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from whet.store.base import Store, Sweep
from whet.store.describe import teams_of, titled
from whet.store.memory import MemoryStore
from whet.trial import Goal


@pytest.fixture
def store() -> Iterator[Store]:
    store = MemoryStore()
    yield store
    store.close()


def test_sweeps_of_one_name_are_told_apart(store: Store) -> None:
    made = [store.sweeps.create(project, {}, goals=[Goal.MINIMIZE], name=name) for project, name in ("pa", "pb", "qa")]
    assert list(titled(made)) == [f"a ({made[0].id})", "b", f"a ({made[2].id})"]


def test_a_team_differs_in_nothing_that_matters(store: Store) -> None:
    def sweep(title: str, **config: object) -> None:
        sweeps[title] = store.sweeps.create("p", {"method": "random", **config}, goals=[Goal.MINIMIZE], name=title)

    sweeps: dict[str, Sweep] = {}
    space = {"lr": {"min": 0.0, "max": 1.0}}
    sweep("a", parameters=space, seed=0)
    sweep("b", parameters=space, seed=1, name="b", run_cap=3, description="again")
    sweep("c", parameters={"lr": {"min": 0.0, "max": 2.0}}, seed=0)
    sweep("d", parameters=space, early_terminate={"type": "asha"})
    assert teams_of(sweeps) == {"a": "random", "b": "random", "c": "random (setup 2)", "d": "random + asha"}
