"""The table of learning curves is one of trained networks, and searches of the fidelity and parallel benchmarks are what they say."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest
from benchmarks.search import fidelity, parallel
from benchmarks.search.curves import EPOCHS, SPACE, TABLE, curves, grid, train

from whet.space import Space


def test_every_configuration_has_its_row() -> None:
    every = grid()
    assert len(every) == SPACE.size == len(curves().loss)
    assert [curves().row(params) for params in every] == list(range(len(every)))
    assert all(SPACE.clean(params) == params for params in every[::50])


def test_the_table_is_small_and_whole() -> None:
    table = curves()
    assert TABLE.stat().st_size < 1_000_000
    assert table.loss.shape == table.error.shape == (2916, EPOCHS)
    assert np.isfinite(table.loss).all()
    assert ((table.error >= 0) & (table.error <= 1)).all()
    assert (table.seconds > 0).all()
    assert table.error[:, -1].min() < 0.03  # a good network on digits


@pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed")
@pytest.mark.parametrize("index", [420, 500, 1800])
def test_a_curve_of_the_table_is_that_of_training(index: int) -> None:
    # Small rates: where a training is chaotic machines differ, here by what half precision in the table rounds off.
    loss, error, seconds = train(grid()[index], index)
    assert loss == pytest.approx(curves().loss[index], rel=1e-3)
    assert error == pytest.approx(curves().error[index], abs=2.5 / 797)
    assert (seconds > 0).all()


def test_wide_networks_take_longer() -> None:
    table, every = curves(), grid()
    narrow, wide = (
        np.mean([table.seconds[table.row(p)] for p in every if p["log_width"] == width]) for width in (4, 8)
    )
    assert wide > 2 * narrow


def test_the_goal_is_within_reach_and_hard() -> None:
    share = (curves().loss[:, -1] <= fidelity.goal()).mean()
    assert 0 < share < 0.02


def test_a_search_counts_what_it_spends() -> None:
    full = fidelity.whet("random", "", {}, 0)
    assert full.epochs == full.trials * EPOCHS
    assert full.best <= fidelity.goal()
    early = fidelity.whet("random", "asha", {"max_steps": EPOCHS}, 0)
    assert early.epochs < early.trials * EPOCHS / 4
    assert early.best <= fidelity.goal()


def test_both_metrics_are_searched_for() -> None:
    shares = fidelity.volumes("random", "hyperband", fidelity.TWO_TOOLS["random"][0], 0, 300)
    assert len(shares) == 300
    assert shares == sorted(shares)
    assert shares[0] == 0 < shares[-1] < 1


def test_epochs_are_counted_to_the_same_volume() -> None:
    full = [[0.0, 0.2, 0.4, 0.4], [0.0, 0.2, 0.4, 0.4]]
    early = [[0.3, 0.3, 0.5, 0.5], [0.3, 0.5, 0.5, 0.5]]
    assert fidelity.fewer(full, early) == 3 / 2
    assert fidelity.fewer(early, full) == 0


@pytest.mark.skipif(find_spec("optuna") is None, reason="Optuna is not installed")
def test_optuna_searches_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "MOST", 5)
    found = fidelity.optuna(0)
    assert EPOCHS < found.epochs < found.trials * EPOCHS
    assert found.best >= fidelity.goal() or found.seconds <= fidelity.most_s()


def test_workers_end_as_many_trials_as_asked_for() -> None:
    one = parallel.workers("random", "branin", 3, 1, 20)
    eight = parallel.workers("random", "branin", 3, 8, 20)
    assert len(one) == len(eight) == 20
    assert one != eight
    assert (
        len(set(one) & set(eight)) > 8
    )  # the same suggestions, in another order: random search knows nothing of pending ones


def test_evaluations_are_counted_to_the_same_median() -> None:
    one = np.array([[5.0, 3.0, 2.0, 2.0], [5.0, 4.0, 2.0, 2.0]])
    eight = np.array([[5.0, 5.0, 4.0, 3.0, 3.0, 2.0, 1.0], [5.0, 5.0, 4.0, 3.0, 3.0, 2.0, 2.0]])
    assert parallel.needed(one, eight) == 6 / 4
    assert parallel.needed(one, eight[:, :5]) == math.inf


def test_the_space_is_without_conditions() -> None:
    assert isinstance(SPACE, Space)
    assert not SPACE.conditional
