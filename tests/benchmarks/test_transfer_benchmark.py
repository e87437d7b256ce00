"""The benchmark of transfer compares what it says."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.search.transfer import FAMILIES, family, study

NAMES = ("branin", "hartmann6", "mlp-vehicle", "nas-cifar100")


@pytest.mark.parametrize("name", NAMES)
def test_the_best_is_the_least_and_the_problems_of_a_family_differ(name: str) -> None:
    import random

    new, old = family(name, 3)
    assert len(old) >= 2
    rng = random.Random(0)
    params = [new.space.sample(rng) for _ in range(300)]
    losses = np.array([[task.loss(p) for p in params] for task in (new, *old)])
    assert losses[0].min() >= new.best
    assert new.scale > 0
    correlation = np.corrcoef(losses.argsort(axis=1).argsort(axis=1))
    assert (correlation[0, 1:] < 0.9999).all()
    assert correlation[0, 1:].max() > 0.3  # related, or there is nothing to learn


def test_a_study_is_as_long_as_asked_and_reversed_ones_look_for_the_worst() -> None:
    assert set(NAMES) <= set(FAMILIES)
    task = family("branin", 0)[0]
    found = study("random", task, 0, 5)
    assert [t.number for t in found] == list(range(5))
    reversed_ = study("random", task, 0, 5, sign=-1.0)
    assert [t.values for t in reversed_] == [(-t.values[0],) for t in found if t.values]
