"""The problems of the pareto benchmark are the published ones, and all tools see the same."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from benchmarks.search.pareto import PROBLEMS, run

from whet.fronts import hypervolume


def fronts():
    x = np.linspace(0, 1, 2001)
    flat = [np.concatenate([[v], np.zeros(29)]) for v in x]
    yield "zdt1", flat, 1.0
    yield "zdt2", flat, 1.0
    yield "zdt1 in 10", [v[:10] for v in flat], 1.0
    yield "zdt2 in 10", [v[:10] for v in flat], 1.0
    grid = np.linspace(0, 1, 41)
    yield "dtlz2", [np.concatenate([[a, b], np.full(10, 0.37)]) for a in grid for b in grid], 1.0


@pytest.mark.parametrize(("name", "points", "share"), list(fronts()), ids=lambda v: v if isinstance(v, str) else "")
def test_the_true_front_covers_the_whole(name, points, share) -> None:
    problem = PROBLEMS[name]
    losses = np.array([problem.losses(point) for point in points])
    for far in (problem.reference, [1.1] * losses.shape[1]):
        covered = hypervolume(losses, np.array(far)) / problem.whole(far)
        assert covered == pytest.approx(share, abs=0.04 if name == "dtlz2" else 1e-3)
        assert covered < 1  # from below: a finite number of points


def test_off_the_front_losses_are_what_is_published() -> None:
    middle = np.full(30, 0.5)
    assert PROBLEMS["zdt1"].losses(middle) == pytest.approx((0.5, 5.5 * (1 - np.sqrt(0.5 / 5.5))))
    assert PROBLEMS["zdt2"].losses(middle) == pytest.approx((0.5, 5.5 * (1 - (0.5 / 5.5) ** 2)))
    corner = np.concatenate([[0.0, 0.0], np.zeros(10)])
    assert PROBLEMS["dtlz2"].losses(corner) == pytest.approx((1 + 10 * 0.37**2, 0.0, 0.0))


def test_nobody_begins_on_the_front() -> None:
    middle = np.array(PROBLEMS["dtlz2"].losses(np.full(12, 0.5)))
    assert (middle**2).sum() > 1.2


@pytest.mark.parametrize("tool", ["random", "motpe", "optuna NSGAII"])
def test_a_run_reports_shares(tool) -> None:
    if tool.startswith("optuna") and find_spec("optuna") is None:
        pytest.skip("optuna is not installed")
    _, _, seed, far, near, spent = run((tool, "zdt1 in 10", 3, 12))
    assert seed == 3
    assert 0.2 < far < 0.9
    assert near == 0
    assert spent > 0
