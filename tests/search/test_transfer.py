"""Earlier sweeps in the model and in the first trials, checked against what can be worked out by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from whet.search.gaussian import Features, Process, log_expected_improvement
from whet.search.gp import GP
from whet.search.overlap import overlap
from whet.search.parzen import Layout
from whet.search.pbt import PBT
from whet.search.random import Random
from whet.search.starting import Starting, openings
from whet.search.tpe import TPE
from whet.search.transfer import Expectation, Experience, ranking_weights
from whet.space import Choice, Float, Int, Space
from whet.testing.searcher_laws import SearcherLaws
from whet.trial import Earlier, Past, Phase, Problem, Trial

SPACE = Space(
    {
        "lr": Float(1e-5, 1.0, log=True),
        "optimizer": Choice(["sgd", "adam"]),
        "momentum": Float(0, 0.99, when="optimizer == 'sgd'"),
        "layers": Int(1, 8),
    }
)


def swept(loss, *, name="old", count=30, seed=0, space=SPACE):
    """Return a sweep that tried `count` points at random."""
    rng = random.Random(seed)
    params = [space.sample(rng) for _ in range(count)]
    found = sorted((loss(p), n, p) for n, p in enumerate(params))
    return Earlier(name=name, trials=tuple(Past(number=n, params=p, loss=value) for value, n, p in found))


def bowl(params):
    return (math.log10(params["lr"]) + 3) ** 2 + (params["layers"] - 5) ** 2 / 10 + params.get("momentum", 0.3)


def best_of(searcher, loss, count):
    losses = []
    for number in range(count):
        params = searcher.ask(1)[0].params
        losses.append(loss(params))
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(losses[-1],))], [])
    return losses


class TestStarting(SearcherLaws):
    def make(self, problem, seed):
        rng = random.Random(seed)
        params = [problem.space.sample(rng) for _ in range(12)]
        trials = tuple(Past(number=n, params=p, loss=None if n == 11 else float(n)) for n, p in enumerate(params))
        earlier = (Earlier(name="old", trials=trials), Earlier(name="other", trials=trials[::-1]))
        return Starting(TPE(Problem(space=problem.space, metrics=problem.metrics, earlier=earlier), seed=seed))


@pytest.mark.slow
class TestStartingGP(TestStarting):
    num_trials = 14

    def make(self, problem, seed):
        return Starting(GP(super().make(problem, seed).problem, seed=seed, num_startup=3))


# -- what a configuration says in another space -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "here"),
    [
        ({"lr": 0.1, "optimizer": "adam", "layers": 3}, {"lr": 0.1, "optimizer": "adam", "layers": 3}),
        (
            {"layers": 3, "lr": 0.1, "width": 9},
            {"lr": 0.1, "layers": 3},
        ),  # gone: dropped; the order is that of the space
        ({"lr": 2.0, "layers": 3}, None),  # outside the range
        ({"optimizer": "lion", "layers": 3}, None),  # no longer a choice
        ({"optimizer": "adam", "momentum": 0.9}, {"optimizer": "adam"}),  # is not there any more
        ({"momentum": 0.9}, {"momentum": 0.9}),  # what decides it is unknown
        ({"momentum": 0.9, "optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0.9}),
        ({"layers": 3.0}, {"layers": 3.0}),
        ({"lr": 1}, {"lr": 1}),
        ({"lr": True}, None),
        ({"lr": "0.1"}, None),
        ({"lr": math.nan}, None),
        ({"width": 9}, None),
    ],
)
def test_overlap(params, here):
    found = overlap(SPACE, params)
    assert found == here
    assert found is None or list(found) == list(here)


# -- first trials -----------------------------------------------------------------------------------------------------------


def test_openings_are_the_best_of_each_then_others_apart_from_them():
    close = [
        Past(number=1, params={"lr": 0.01, "optimizer": "adam", "layers": 5}, loss=0.1),
        Past(number=2, params={"lr": 0.0101, "optimizer": "adam", "layers": 5}, loss=0.2),
        Past(number=3, params={"lr": 0.01, "optimizer": "sgd", "momentum": 0.5, "layers": 1}, loss=0.3),
        *(Past(number=n, params={"lr": 1e-5, "optimizer": "adam", "layers": 8}, loss=n) for n in range(4, 13)),
    ]
    other = Earlier(name="b", trials=(Past(number=7, params={"lr": 0.5, "layers": 2}, loss=1.0),))
    found = openings(SPACE, [Earlier(name="a", trials=tuple(close)), other])
    assert [(name, past.number) for name, past in found] == [("a", 1), ("b", 7), ("a", 3)]


def test_every_other_of_the_first_trials_is_one_of_them_and_says_whose():
    problem = Problem(space=SPACE, earlier=(swept(bowl),))
    inner, searcher = Random(problem, seed=1), Starting(Random(problem, seed=1))
    usual, found = inner.ask(8), searcher.ask(8)
    wanted = [past for _, past in openings(SPACE, problem.earlier)]
    for i, past in enumerate(wanted):
        assert found[2 * i].params == past.params
        assert found[2 * i].note == f"trial {past.number} of old was among its best"
    assert [found[i] for i in (1, 3, 5, 6, 7)] == [usual[i] for i in (1, 3, 5, 6, 7)]


def test_what_an_opening_leaves_open_is_filled_in_legally():
    old = Earlier(name="old", trials=(Past(number=0, params={"momentum": 0.9, "lr": 0.003}, loss=1.0),))
    for seed in range(20):
        params = Starting(Random(Problem(space=SPACE, earlier=(old,)), seed=seed)).ask(1)[0].params
        assert SPACE.contains(params)
        assert params["lr"] == 0.003
        assert params.get("momentum", 0.9) == 0.9


def test_an_opening_that_is_pending_or_breaks_a_constraint_is_passed_over():
    space = Space(dict(SPACE), constraints=["layers != 5"])
    trials = [({"lr": 0.01, "layers": 5}, 0.1), ({"lr": 0.5, "layers": 1}, 0.2), ({"lr": 1e-4, "layers": 8}, 0.3)]
    trials += [({"lr": 0.1, "layers": 3}, 9.0)] * 9
    old = Earlier(name="old", trials=tuple(Past(number=n, params=p, loss=v) for n, (p, v) in enumerate(trials)))
    problem = Problem(space=space, earlier=(old,))
    searcher = Starting(Random(problem, seed=0))
    first = searcher.ask(1)[0]
    assert first.params["layers"] == 1
    pending = [Trial(number=n, params=first.params) for n in range(2)]
    searcher.tell([], pending)
    assert searcher.ask(1)[0].params["layers"] == 8


def test_a_population_begins_with_them_and_goes_on_as_it_does():
    problem = Problem(space=SPACE, earlier=(swept(bowl),))
    searcher = Starting(PBT(problem, seed=0, population=2))
    best = openings(SPACE, problem.earlier)[0][1]
    for number in range(8):
        found = searcher.ask(1)[0]
        assert (found.parent is None) is (number < 2)
        assert (found.note == f"trial {best.number} of old was among its best") is (number == 0)
        assert number or found.params == best.params
        trial = Trial(number=number, params=found.params, parent=found.parent, phase=Phase.FINISHED, values=(1.0,))
        searcher.tell([trial], [])


# -- the model --------------------------------------------------------------------------------------------------------------


def _tools(space=SPACE):
    layout = Layout(space)
    return layout, Features(layout)


def test_gradients_agree_with_differences():
    layout, features = _tools()
    experience = Experience([swept(bowl), swept(lambda p: -bowl(p), name="b", seed=1)], layout, features)
    expectation = Expectation(experience.processes, np.array([0.7, 0.4]))
    rng = np.random.default_rng(0)
    z_MF, y_M = rng.random((9, len(features.group_F))), rng.standard_normal(9)
    process = Process(z_MF, y_M, np.full(len(features.group_F), 1.5), 1e-3)
    for z_F in rng.random((5, len(features.group_F))):
        step = 1e-6 * np.eye(len(z_F))
        value, gradient_F = expectation.slope(z_F)
        assert value == pytest.approx(expectation(z_F[None])[0])
        assert gradient_F == pytest.approx((expectation(z_F + step) - expectation(z_F - step)) / 2e-6, abs=1e-6)
        assert process.mean_slope(z_F)[0] == pytest.approx(process.mean(z_F[None])[0])

        def score(z_NF):
            mean_N, deviation_N = process(z_NF)
            return log_expected_improvement(mean_N + expectation(z_NF), deviation_N, -1.0)

        value, gradient_F = process.log_improvement(z_F, -1.0, expectation.slope(z_F))
        assert value == pytest.approx(score(z_F[None])[0])
        assert gradient_F == pytest.approx((score(z_F + step) - score(z_F - step)) / 2e-6, rel=1e-4, abs=1e-5)


def test_what_is_expected_of_a_point_without_it_is_that_of_a_process_without_it():
    rng = np.random.default_rng(0)
    z_MF, y_M, scale_F = rng.random((8, 2)), rng.standard_normal(8), np.array([2.0, 1.0])
    y_M -= y_M.mean()
    found = Process(z_MF, y_M, scale_F, 0.01).left_out()
    for m in range(8):
        rest = np.arange(8) != m
        cross = _matern(z_MF, z_MF, scale_F)
        gram = cross[np.ix_(rest, rest)] + 0.01 * np.eye(7)
        assert found[m] == pytest.approx(cross[m, rest] @ np.linalg.solve(gram, y_M[rest]), abs=1e-6)


def _matern(a, b, scale_F):
    r = np.sqrt((((a[:, None] - b[None]) * scale_F) ** 2).sum(-1) * 5)
    return (1 + r + r * r / 3) * np.exp(-r)


def test_weights_go_to_those_that_rank_well():
    y = np.arange(12.0)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(12)
    weight_K, share = ranking_weights(y, np.stack([y * 3 + 1, -y, noise, y + 6 * noise]), noise)
    assert weight_K.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert share == 1.0
    weight_K, share = ranking_weights(y, np.stack([-y, y + 20 * noise]), y + 0.1)
    assert weight_K.tolist() == [0.0, 0.0]  # the own process is better than any
    assert share == 0.0
    weight_K, share = ranking_weights(y, np.stack([y, y + 1e-3]), y + 0.1)  # all of them right
    assert weight_K.tolist() == [0.5, 0.5]
    assert share == 1.0
    weight_K, _ = ranking_weights(np.zeros(5), np.stack([noise[:5], noise[5:10]]), noise[:5])
    assert weight_K.tolist() == [0.5, 0.5]  # nothing is known yet


def test_a_parameter_that_the_earlier_sweep_had_not_got_makes_no_difference_to_it():
    layout, features = _tools()
    old = swept(lambda p: p["layers"], space=Space({"layers": Int(1, 8)}))
    process = Experience([old], layout, features).processes[0]
    rows = [
        {"lr": 1e-4, "optimizer": "adam", "layers": 3},
        {"lr": 0.9, "optimizer": "sgd", "momentum": 0.5, "layers": 3},
    ]
    mean_N, _ = process(features.of_rows(np.array([layout.row(p) for p in rows])))
    assert mean_N[0] == mean_N[1]


def test_trials_outside_the_ranges_are_left_out_of_the_model():
    layout, features = _tools(Space({"lr": Float(1e-3, 1.0, log=True)}))
    wide = swept(lambda p: p["lr"], space=Space({"lr": Float(1e-9, 1.0, log=True)}))
    process = Experience([wide], layout, features).processes[0]
    inside = sum(past.params["lr"] >= 1e-3 for past in wide.trials)
    assert 0 < inside == len(process.left_out()) < len(wide.trials)


def test_a_model_is_what_it_was_where_earlier_sweeps_say_nothing_of_the_space():
    elsewhere = Earlier(name="old", trials=tuple(Past(number=n, params={"lr": 7.0 + n}, loss=n) for n in range(9)))
    plain, none = (GP(Problem(space=SPACE, earlier=e), seed=3) for e in ((), (elsewhere,)))
    assert best_of(plain, bowl, 12) == best_of(none, bowl, 12)


def _shifted(params):
    return (math.log10(params["lr"]) + 3.3) ** 2 + (params["layers"] - 5) ** 2 / 10 + params.get("momentum", 0.3)


@pytest.mark.parametrize("method", [GP, TPE])
def test_a_sweep_like_it_helps(method):
    gains = []
    for seed in range(5):
        old = swept(_shifted, seed=seed, count=60)
        scratch = best_of(method(Problem(space=SPACE), seed=seed), bowl, 10)
        helped = best_of(Starting(method(Problem(space=SPACE, earlier=(old,)), seed=seed)), bowl, 10)
        gains.append(min(scratch) - min(helped))
    assert sorted(gains)[2] > 0.02


def test_a_sweep_of_the_opposite_is_forgotten():
    old = swept(lambda p: -bowl(p), count=60)
    losses = best_of(Starting(GP(Problem(space=SPACE, earlier=(old,)), seed=0)), bowl, 30)
    gp = GP(Problem(space=SPACE, earlier=(old,)), seed=0)
    best_of(gp, bowl, 15)
    gp.ask(1)
    assert not gp._fit()[2]
    assert min(losses) < 0.2


def test_rows_and_points_have_the_same_features():
    layout = Layout(SPACE)
    rng = random.Random(0)
    rows = np.array([layout.row(SPACE.sample(rng)) for _ in range(20)])
    assert layout.features(rows) == pytest.approx(layout.candidates(*layout.places(rows)).features_NF)


def test_tpe_trusts_a_sweep_like_it_and_no_opposite_one():
    found = {}
    for sign in (1, -1):
        tpe = TPE(Problem(space=SPACE, earlier=(swept(lambda p, s=sign: s * bowl(p), count=60),)), seed=0)
        best_of(tpe, bowl, 20)
        layout, table = tpe._ready(0)
        found[sign] = sum(tpe._past(layout, table)[1])
    assert found[1] > 0.5  # of 3 · (10/20)²
    assert found[-1] < 0.1


@pytest.mark.parametrize("count", [2, 3, 8])
def test_tpe_neither_trusts_nor_mistrusts_a_sweep_for_ties(count):
    """With one choice most results have equals, and so have their densities; a weight of 0.75 is full trust, half of it none either way."""
    space = Space({"kind": Choice(list(range(count)))})

    def weight(seed, sign):
        rng = random.Random(seed + 100)
        worth = (lambda p: rng.random()) if sign == 0 else lambda p: p["kind"]
        tpe = TPE(Problem(space=space, earlier=(swept(worth, space=space, seed=seed, count=60),)), seed=seed)
        drawn = [space.sample(rng) for _ in range(20)]
        values = [rng.random() if sign == 0 else float(sign * p["kind"]) for p in drawn]
        told = [Trial(number=i, params=p, phase=Phase.FINISHED, values=(v,)) for i, (p, v) in enumerate(zip(drawn, values, strict=True))]  # fmt: skip
        tpe.tell(told, [])
        return sum(tpe._past(*tpe._ready(0))[1])

    assert weight(0, 1) == pytest.approx(0.75)
    assert weight(0, -1) == 0
    assert 0.25 < np.mean([weight(seed, 0) for seed in range(20)]) < 0.5


def test_results_that_are_all_alike_say_nothing_of_a_sweep():
    tpe = TPE(Problem(space=SPACE, earlier=(swept(bowl),)), seed=0)
    best_of(tpe, lambda p: 1.0, 20)
    assert sum(tpe._past(*tpe._ready(0))[1]) == pytest.approx(0.375)
