"""Fronts and volumes against closed forms, brute force and Optuna's."""

from __future__ import annotations

import math
import random
from importlib.util import find_spec

import numpy as np
import pytest

from whet.fronts import (
    boxes,
    contributions,
    dominates,
    hypervolume,
    nondominated,
    ranks,
    reference,
    spread,
)
from whet.search.layers import Layers


def points(seed: int, N: int, M: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = rng.random((N, M))
    return np.round(found, 1) if seed % 2 else found  # ties and twins


CASES = [(seed, N, M) for seed in range(6) for N in (1, 2, 7, 40) for M in (1, 2, 3, 4)]


@pytest.mark.parametrize(("seed", "N", "M"), CASES)
def test_the_front_is_what_the_definition_says(seed, N, M) -> None:
    losses = points(seed, N, M)
    wanted = [not any(dominates(other, own) for other in losses) for own in losses]
    assert nondominated(losses).tolist() == wanted
    rank = ranks(losses)
    for i, own in enumerate(losses):
        above = [rank[j] for j, other in enumerate(losses) if dominates(other, own)]
        assert rank[i] == (max(above) + 1 if above else 0)


def test_nan_beats_nobody_and_comes_last() -> None:
    losses = np.array([[0.0, math.nan], [1.0, 1.0], [2.0, 2.0], [math.inf, -1.0]])
    assert nondominated(losses).tolist() == [False, True, False, True]
    assert ranks(losses).tolist() == [2, 0, 1, 0]
    assert nondominated(np.empty((0, 2))).tolist() == []


@pytest.mark.parametrize(("seed", "M"), [(s, m) for s in range(30) for m in (1, 2, 3)])
def test_ranks_are_fronts_taken_off_one_by_one(seed, M) -> None:
    rng = np.random.default_rng(seed)
    losses = rng.choice(
        [-math.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, math.inf, math.nan], (80, M), p=[0.08] + [0.12] * 7 + [0.08]
    )
    losses[rng.random(80) < 0.3] = rng.random((1, M))
    rest, wanted = np.flatnonzero(~np.isnan(losses).any(axis=1)), np.zeros(80, dtype=int)
    rank = 0
    while len(rest):
        front = nondominated(losses[rest])
        wanted[rest[front]] = rank
        rest, rank = rest[~front], rank + 1
    wanted[np.isnan(losses).any(axis=1)] = rank
    assert ranks(losses).tolist() == wanted.tolist()


@pytest.mark.parametrize("M", [1, 2])
def test_many_ranks_are_found_at_once(M) -> None:
    losses = np.repeat(np.random.default_rng(1).permutation(100_000).astype(float)[:, None], M, axis=1)
    assert (ranks(losses) == losses[:, 0]).all()  # front by front this would take hours


@pytest.mark.parametrize("M", [1, 2, 3, 4, 5])
def test_one_point_covers_a_box_and_corners_of_a_cube_what_is_known(M) -> None:
    far = np.full(M, 2.0)
    assert hypervolume(np.full((1, M), 0.5), far) == pytest.approx(1.5**M)
    # Points with one coordinate 0 and all others 1 miss of the cube [0, 2]^M: by inclusion and exclusion 1 + M·1 is covered.
    corners = np.ones((M, M)) - np.eye(M)
    assert hypervolume(corners, far) == pytest.approx(2.0 if M == 1 else 1.0 + M)


def test_a_front_that_is_a_line_covers_the_sum_of_its_stairs() -> None:
    x = np.linspace(0, 1, 11)
    assert hypervolume(np.stack([x, 1 - x], axis=1), np.array([1.0, 1.0])) == pytest.approx(0.45)


@pytest.mark.parametrize(("seed", "N", "M"), [(s, n, m) for s in range(6) for n in (2, 9, 25) for m in (2, 3, 4, 5)])
def test_hypervolume_is_optunas(seed, N, M) -> None:
    if find_spec("optuna") is None:
        pytest.skip("optuna is not installed")
    from optuna._hypervolume import compute_hypervolume

    losses, far = points(seed, N, M), np.full(M, 0.9)
    inside = losses[(losses < far).all(axis=1)]
    wanted = compute_hypervolume(inside, far) if len(inside) else 0.0
    assert hypervolume(losses, far) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("seed", "M"), [(s, m) for s in range(4) for m in (2, 3, 4)])
def test_contributions_are_what_is_lost(seed, M) -> None:
    losses, far = points(seed, 15, M), np.full(M, 1.1)
    whole = hypervolume(losses, far)
    wanted = [whole - hypervolume(np.delete(losses, i, axis=0), far) for i in range(len(losses))]
    assert contributions(losses, far) == pytest.approx(np.array(wanted), abs=1e-12)


@pytest.mark.parametrize(("seed", "M"), [(s, m) for s in range(6) for m in (1, 2, 3, 4)])
def test_boxes_are_disjoint_and_say_what_a_point_adds(seed, M) -> None:
    losses, far = points(seed, 12, M), np.full(M, 1.05)
    lower, upper = boxes(losses, far)
    rng = np.random.default_rng(seed)
    for y in rng.random((40, M)) * 1.3 - 0.2:
        adds = np.prod(np.maximum(upper - np.maximum(lower, y), 0.0), axis=1).sum()
        wanted = hypervolume(np.vstack([losses, y]), far) - hypervolume(losses, far)
        assert adds == pytest.approx(wanted, abs=1e-12)
        inside = ((lower < y) & (y < upper)).all(axis=1).sum()
        free = (y < far).all() and not (losses <= y).all(axis=1).any()
        assert inside == int(free)


def test_boxes_of_no_points_are_one() -> None:
    for M in (1, 2, 3, 4):
        lower, upper = boxes(np.empty((0, M)), np.ones(M))
        assert (lower == -np.inf).all()
        assert upper.tolist() == [[1.0] * M]


@pytest.mark.parametrize("M", [2, 3])
def test_greedy_choice_is_greedy(M) -> None:
    losses, far = points(2, 30, M), np.full(M, 1.1)
    front = losses[nondominated(losses)]
    count = min(5, len(front) - 1)
    taken: list[int] = []
    for _ in range(count):
        rest = [i for i in range(len(front)) if i not in taken]
        taken.append(max(rest, key=lambda i: hypervolume(front[[*taken, i]], far)))
    assert spread(front, count, far) == sorted(taken)
    assert spread(front, 99, far) == list(range(len(front)))


def test_greedy_choice_of_many_is_bounded_and_of_twins_whole() -> None:
    x = np.linspace(0, 1, 3000)
    losses = np.stack([x, 1 - np.sqrt(x)], axis=1)
    found = spread(losses, 25, np.array([1.1, 1.1]))
    assert len(set(found)) == 25
    assert hypervolume(losses[found], np.array([1.1, 1.1])) > 0.95 * hypervolume(losses, np.array([1.1, 1.1]))
    assert len(set(spread(np.zeros((8, 2)), 5, np.ones(2)))) == 5


@pytest.mark.parametrize(("seed", "M"), [(s, m) for s in range(6) for m in (2, 3)])
def test_layers_are_the_first_ranks_in_whatever_order_points_come(seed, M) -> None:
    losses = points(seed, 60, M)
    rank = ranks(losses)
    order = list(range(60))
    random.Random(seed).shuffle(order)
    layers = Layers()
    for i in order:
        layers.add(losses[i], i)
    found = layers.first(20)
    assert found == [np.flatnonzero(rank == r).tolist() for r in range(len(found))]
    assert sum(map(len, found)) >= 20 > sum(map(len, found[:-1]))
    assert len(layers.first(99)) == rank.max() + 1


@pytest.mark.parametrize(("seed", "M"), [(s, m) for s in range(12) for m in (1, 2, 3)])
def test_layers_stay_exact_while_points_come(seed, M) -> None:
    rng = np.random.default_rng(seed)
    losses = np.round(rng.random((250, M)), 1 + seed % 2)
    if seed % 3:  # better and better, or worse and worse
        losses += np.linspace(0, (-1.0, 1.0)[seed % 3 - 1] * 4, 250)[:, None]
    layers = Layers()
    for i in range(250):
        layers.add(losses[i], i)
        if rng.random() < 0.4:
            rank = ranks(losses[: i + 1])
            for count in (0, 3, int(rng.integers(1, 20 + seed * 3))):
                found = layers.first(count)
                assert found == [np.flatnonzero(rank == r).tolist() for r in range(len(found))]
                assert sum(map(len, found)) >= min(count, i + 1)
                assert not found or sum(map(len, found[:-1])) < count


@pytest.mark.parametrize("M", [1, 2])
def test_layers_of_metrics_that_agree_do_not_cost_their_number(M, monkeypatch) -> None:
    looked_at = []
    monkeypatch.setattr("whet.search.layers.ranks", lambda loss_NM: looked_at.append(len(loss_NM)) or ranks(loss_NM))
    losses = np.random.default_rng(2).random(3000)
    layers = Layers()
    for i, loss in enumerate(losses):
        layers.add([loss] * M, i)
        layers.first(25)
    assert layers.first(25) == [[i] for i in losses.argsort()[:25].tolist()]
    assert sum(looked_at) < 60 * len(losses)


def test_the_reference_lies_beyond_every_point() -> None:
    losses = np.array([[0.0, 5.0], [1.0, 5.0]])
    far = reference(losses)
    assert (far > losses).all()
    assert far[0] == pytest.approx(1.1)
