"""The benchmark of limits knows the best within them, and counts what keeps them only."""

from __future__ import annotations

import math
import random

import pytest
from benchmarks.search import limits


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("disc", 0.397887),  # of Branin's three equal optima the one at (π, 2.275)
        ("gardner1", -2.0),  # x = 3π/2, y = 0: cos 3π − 1, and the limited value is 0
        ("gardner2", 0.253236),  # as published
        ("gramacy", 0.599788),  # as published
        ("hartmann6", -3.322368),  # its optimum's norm is 0.95
    ],
)
def test_the_best_within_the_limits_is_the_known_one(name: str, best: float) -> None:
    found, usual, worst = limits.scale(name)
    assert found == pytest.approx(best, abs=2e-5)
    assert found < usual < worst


def test_no_network_within_the_limits_beats_the_best() -> None:
    problem = limits.PROBLEMS["mixed"]
    best = limits.scale("mixed")[0]
    rng = random.Random(5)
    drawn = [problem.space.sample(rng) for _ in range(20_000)]
    kept = [params for params in drawn if problem.keeps(params)]
    assert 0.1 < len(kept) / len(drawn) < 0.9
    assert best <= min(map(problem.loss, kept)) < best + 0.01
    assert min(map(problem.loss, drawn)) < best - 0.01  # so that the limits matter


@pytest.mark.parametrize("method", ["random", "tpe", "optuna"])
def test_what_breaks_the_limits_counts_for_nothing(method: str) -> None:
    pytest.importorskip("optuna")
    found = limits.study(method, "gardner2", seed=3, count=60)
    assert len(found) == 60
    assert found == sorted(found, reverse=True)
    assert found[0] == math.inf  # a random point in 25 keeps it
    assert found[-1] >= 0.2532
