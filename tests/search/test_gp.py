"""Gaussian-process search keeps the laws, and its model is right."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.stats import norm

from whet.errors import ConfigError, StudyError
from whet.search.gaussian import Features, Process, fitted, log_expected_improvement, log_posterior
from whet.search.gp import GP
from whet.search.parzen import Layout
from whet.space import Choice, Float, Int, Space
from whet.testing.searcher_laws import SearcherLaws
from whet.trial import Goal, Metric, Phase, Problem, Trial

MIXED = Space(
    {
        "kind": Choice(["a", "b", "c"]),
        "lr": Float(1e-5, 1.0, log=True),
        "n": Int(1, 20, when="kind == 'a'"),
        "z": Float(0, 1, when="kind == 'b'"),
    }
)


class TestGP(SearcherLaws):
    num_trials = 9

    def make(self, problem, seed):
        return GP(problem, seed=seed, num_startup=4)  # so that most suggestions are the model's


def minimise(space, loss, num_trials, *, seed=0, goal=Goal.MINIMIZE, **knobs):
    gp = GP(Problem(space=space, metrics=(Metric(name="loss", goal=goal),)), seed=seed, **knobs)
    found = []
    for number in range(num_trials):
        params = gp.ask(1)[0].params
        found.append((loss(params), params))
        value = goal.loss(found[-1][0])
        gp.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(value,))], [])
    return min(found, key=lambda pair: pair[0])


def points(count, *, seed=0):
    layout = Layout(MIXED)
    rng = random.Random(seed)
    rows = np.array([layout.row(MIXED.sample(rng)) for _ in range(count)])
    features = Features(layout)
    return features, features.of_rows(rows)


def kernel(a, b, scale):
    r = np.sqrt((((a[:, None] - b[None]) * scale) ** 2).sum(-1))
    return (1 + math.sqrt(5) * r + 5 / 3 * r**2) * np.exp(-math.sqrt(5) * r)


def test_the_posterior_is_that_of_the_textbook() -> None:
    features, z = points(30)
    rng = np.random.default_rng(0)
    y, scale = rng.normal(size=20), rng.uniform(0.3, 3.0, features.H)[features.group_F]
    mean, deviation = Process(z[:20], y, scale, 0.1)(z[20:])
    gram, cross = kernel(z[:20], z[:20], scale) + (0.1 + 1e-8) * np.eye(20), kernel(z[20:], z[:20], scale)
    solved = np.linalg.solve(gram, y - y.mean())
    variance = ((y - y.mean()) @ solved + 4) / 24
    np.testing.assert_allclose(mean, y.mean() + cross @ solved, rtol=1e-7)
    np.testing.assert_allclose(
        deviation**2, variance * (1 - np.einsum("nm,mn->n", cross, np.linalg.solve(gram, cross.T))), rtol=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_the_log_posterior_is_that_of_differences(seed: int) -> None:
    features, z = points(25, seed=seed)
    rng = np.random.default_rng(seed)
    objective = log_posterior(z, rng.normal(size=25), features.group_F, features.H)
    theta = rng.normal(size=features.H + 1) - 1.0
    differences = approx_fprime(theta, lambda t: objective(t)[0], 1e-6)
    np.testing.assert_allclose(objective(theta)[1], differences, rtol=1e-4, atol=1e-4)


def test_a_fit_finds_which_parameter_matters() -> None:
    space = Space({"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)})
    layout = Layout(space)
    rng = np.random.default_rng(1)
    x = rng.random((40, 3))
    features = Features(layout)
    z = features.of_points(x, np.ones_like(x), np.zeros((40, 0)))
    scale, noise = fitted(z, np.sin(6 * x[:, 1]), features.group_F, features.H)
    assert scale[1] > 3 * max(scale[0], scale[2])
    assert noise < 0.01


def test_log_expected_improvement_is_the_log_of_the_integral() -> None:
    for mean, deviation, best in ((0.0, 1.0, 0.5), (1.0, 0.3, 0.9), (2.0, 0.5, 0.0), (-1.0, 0.1, 0.0)):
        wanted = quad(lambda f, m=mean, d=deviation, b=best: (b - f) * norm.pdf(f, m, d), mean - 12 * deviation, best)[
            0
        ]
        found = log_expected_improvement(np.array([mean]), np.array([deviation]), best)[0]
        assert found == pytest.approx(math.log(wanted), rel=1e-6)
    far = log_expected_improvement(np.array([10.0, 1e3, 1e6, 1e8]), np.ones(4), 0.0)
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all()


@pytest.mark.parametrize("better", [0.0, 0.5, 3.0, 40.0])
def test_log_expected_improvement_at_a_point_and_its_gradient(better: float) -> None:
    features, z = points(24)
    rng = np.random.default_rng(1)
    y, scale = rng.normal(size=20), rng.uniform(0.3, 3.0, features.H)[features.group_F]
    process = Process(z[:20], y, scale, 0.05)
    best = y.min() - better
    for point in z[20:]:
        value, gradient = process.log_improvement(point, best)
        assert value == pytest.approx(log_expected_improvement(*process(point[None]), best)[0], rel=1e-8)
        numeric = approx_fprime(point, lambda p: process.log_improvement(p, best)[0], 1e-7)
        assert gradient == pytest.approx(numeric, rel=1e-3, abs=1e-4 * max(1.0, np.abs(numeric).max()))


def test_a_climb_ends_where_the_slope_does() -> None:
    from whet.search.climb import climbed

    layout = Layout(Space({"x": Float(0, 1), "y": Float(0, 1), "k": Int(0, 5), "c": Choice(["a", "b"])}))
    top = np.array([0.31, 0.77])

    def score(x, m, h):
        return -((x[:, :2] - top) ** 2).sum(1) - np.abs(x[:, 2] - 0.4) + h[:, 1]

    def slope(x, m, h):
        value = float(score(x[None], m[None], h[None])[0])
        return value, np.array([*(-2 * (x[:2] - top)), 0.0])

    nothing = (np.zeros((0, 3)), np.zeros((0, 1), dtype=np.intp))
    for seed in range(3):
        rough = climbed(layout, score, np.random.default_rng(seed), nothing, 50, 1)[0]
        fine = climbed(layout, score, np.random.default_rng(seed), nothing, 50, 1, slope)[0]
        assert fine[:2] == pytest.approx(top, abs=1e-6)
        assert rough[:2] != pytest.approx(top, abs=1e-6)
        assert layout.space.decode(fine)["k"] == 2
        assert layout.space.decode(fine)["c"] == "b"


def test_it_begins_in_the_middle() -> None:
    found = GP(Problem(space=Space({"x": Float(1e-4, 1.0, log=True), "n": Int(0, 10)})), seed=5).ask(1)[0].params
    assert found == {"x": pytest.approx(0.01), "n": 5}


def test_what_is_inactive_makes_no_difference() -> None:
    layout = Layout(MIXED)
    features = Features(layout)
    a = {"kind": "a", "lr": 0.1, "n": 3}
    rows = np.array(
        [layout.row(a), layout.row({"kind": "c", "lr": 0.1}), layout.row({"kind": "b", "lr": 0.1, "z": 0.9})]
    )
    z = features.of_rows(rows)
    assert features.H == 2 + 1 + 2 + 1  # lr, n, z, whether n and z are active, kind
    assert z[1, 1] == z[2, 1] == 0.5
    half = [place for place in range(z.shape[1]) if features.group_F[place] == features.H - 1]
    assert ((z[0] - z[1])[half] ** 2).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("goal", Goal)
def test_it_finds_the_minimum_of_branin_in_thirty(goal: Goal) -> None:
    space = Space({"x": Float(-5, 10), "y": Float(0, 15)})

    def branin(p):
        x, y = p["x"], p["y"]
        bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
        return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10

    assert minimise(space, branin, 30, goal=goal)[0] < 0.397887 + 0.01


def test_it_finds_the_best_branch_of_a_conditional_space() -> None:
    def loss(p):
        near = (math.log10(p["lr"]) + 3) ** 2
        return near + {"a": lambda: 1.0, "b": lambda: 4 * (p["z"] - 0.3) ** 2, "c": lambda: 0.5}[p["kind"]]()

    value, params = minimise(MIXED, loss, 30)
    assert params["kind"] == "b"
    assert value < 0.01


def test_a_small_space_is_seen_through_before_it_repeats() -> None:
    space = Space({"a": Int(1, 4), "b": Choice(["x", "y", "z"])})
    gp = GP(Problem(space=space), seed=3)
    seen = set()
    for number in range(12):
        params = gp.ask(1)[0].params
        seen.add(tuple(params.values()))
        gp.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(float(number % 3),))], [])
    assert len(seen) == 12
    assert gp.ask(1)


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -math.inf])
def test_results_that_say_nothing(value: float) -> None:
    gp = GP(Problem(space=MIXED), seed=0)
    for number in range(14):
        params = gp.ask(1)[0].params
        gp.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(value,))], [])
    assert MIXED.clean(gp.ask(1)[0].params)


def test_many_trials_cost_no_more_than_the_model_holds() -> None:
    space = Space({"x": Float(0, 1), "y": Float(0, 1)})
    gp = GP(Problem(space=space), seed=0, max_points=50)
    rng = random.Random(0)
    trials = [
        Trial(number=i, params=(p := space.sample(rng)), phase=Phase.FINISHED, values=(p["x"],)) for i in range(500)
    ]
    gp.tell(trials, [])
    assert len(gp._evidence.model()) == 50
    assert gp.ask(1)[0].params["x"] < 0.1


def test_pending_trials_keep_their_distance() -> None:
    space = Space({"x": Float(0, 1)})
    gp = GP(Problem(space=space), seed=0)
    for number in range(8):
        x = number / 7
        gp.tell([Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=((x - 0.4) ** 2,))], [])
    batch = sorted(s.params["x"] for s in gp.ask(4))
    assert min(b - a for a, b in itertools.pairwise(batch)) > 1e-5


def test_bad_knobs_and_several_metrics() -> None:
    for knobs in ({"num_startup": 1}, {"max_points": 3}, {"num_candidates": 0}, {"num_candidates": 1.5}):
        with pytest.raises(ConfigError):
            GP(Problem(space=MIXED), seed=0, **knobs)
    with pytest.raises(StudyError):
        GP(Problem(space=MIXED, metrics=(Metric(name="a"), Metric(name="b"))), seed=0)
