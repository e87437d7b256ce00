import math
import random

import numpy as np
import pytest
from scipy import stats

from whet.errors import ConfigError, StudyError
from whet.search.parzen import Layout, Mixture
from whet.search.random import Random
from whet.search.tpe import TPE
from whet.space import Choice, Float, Int, Space
from whet.trial import Metric, Phase, Problem, Report, Trial


def best_of(searcher, objective, num_trials):
    found = []
    for number in range(num_trials):
        params = searcher.ask(1)[0].params
        found.append(objective(params))
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(found[-1],))], [])
    return min(found)


def branin(p):
    x, y = p["x"], p["y"]
    return (
        (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
        + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        + 10
    )


def mixed(p):
    value = (
        (math.log10(p["lr"]) + 2.7) ** 2 + abs(p["layers"] - 3) / 4 + {"sgd": 0.0, "adam": 0.5, "lion": 1.0}[p["opt"]]
    )
    return value + (4 * (p["momentum"] - 0.9) ** 2 if p["opt"] == "sgd" else 0.0)


BRANIN = Space({"x": Float(-5, 10), "y": Float(0, 15)})
MIXED = Space(
    {
        "momentum": Float(0, 0.99, when="opt == 'sgd'"),
        "lr": Float(1e-5, 1, log=True),
        "layers": Int(1, 12),
        "opt": Choice(["adam", "lion", "sgd"]),
    }
)


@pytest.mark.parametrize(
    ("space", "objective", "optimum", "bound"), [(BRANIN, branin, 0.3979, 0.1), (MIXED, mixed, 0.0, 0.05)]
)
def test_finds_what_random_search_does_not(space, objective, optimum, bound):
    tpe = [best_of(TPE(Problem(space=space), seed=s), objective, 80) - optimum for s in range(6)]
    chance = [best_of(Random(Problem(space=space), seed=s), objective, 80) - optimum for s in range(6)]
    assert np.mean(tpe) < bound
    assert np.mean(tpe) < 0.3 * np.mean(chance)


def test_the_density_of_a_mixture_is_the_textbook_one():
    space = Space(
        {"x": Float(0, 1), "c": Choice(["a", "b", "c"], weights=[1, 2, 1]), "y": Float(0, 1, when="c == 'a'")}
    )
    layout = Layout(space)
    trials = [{"x": 0.2, "c": "a", "y": 0.7}, {"x": 0.9, "c": "b"}]
    rows = np.array([[0.0] * layout.width, *map(layout.row, trials)])
    mixture = Mixture(layout, rows, [1.0, 2.0, 3.0], 0.15)
    stray = 3 / (3 + 3)  # three options, three kernels

    def normal(x, mean):
        return stats.truncnorm((0 - mean) / 0.15, (1 - mean) / 0.15, mean, 0.15).pdf(x)

    def option(c, own):
        prior = {"a": 0.25, "b": 0.5, "c": 0.25}[c]
        return prior if own is None else (stray * prior + (1 - stray) * (c == own)) / prior * prior

    def density(x, c, y):
        total = 1.0 * option(c, None)
        total += 2.0 * normal(x, 0.2) * option(c, "a") * (normal(y, 0.7) if y is not None else 1.0)
        total += 3.0 * normal(x, 0.9) * option(c, "b")  # y is inactive there, so its density is the prior's
        return total / 6.0

    points = [(0.1, "a", 0.6), (0.5, "b", None), (0.95, "c", None), (0.2, "a", 0.0)]
    found = layout.candidates(
        np.array([[x, 0.5 if y is None else y] for x, _, y in points]),
        np.array([["abc".index(c)] for _, c, _ in points]),
    )
    assert np.exp(mixture.log_density(found.features_NF)) == pytest.approx([density(*p) for p in points], rel=1e-9)


def test_what_is_drawn_has_the_density_it_claims():
    space = Space({"x": Float(0, 1), "n": Int(1, 4), "c": Choice(["a", "b"])})
    layout = Layout(space)
    rows = np.array(
        [[0.0] * layout.width, *map(layout.row, [{"x": 0.02, "n": 1, "c": "a"}, {"x": 0.6, "n": 3, "c": "b"}])]
    )
    mixture = Mixture(layout, rows, [1.0, 1.0, 2.0], 0.2)
    rng = np.random.default_rng(0)
    drawn = mixture.draw(rng.random((40_000, layout.num_draws)))
    assert set(drawn.unit_NP[:, 1]) == {0.125, 0.375, 0.625, 0.875}
    low, high = (stats.truncnorm(-m / 0.2, (1 - m) / 0.2, m, 0.2).cdf(0.25) for m in (0.02, 0.6))
    assert np.mean(drawn.unit_NP[:, 0] < 0.25) == pytest.approx((0.25 + low + 2 * high) / 4, abs=0.01)
    # Two options and three kernels: a kernel strays with probability 2/5.
    share_a = (0.5 + (0.6 + 0.4 * 0.5) + 2 * 0.4 * 0.5) / 4
    assert np.mean(drawn.unit_NP[:, 2] == 0.25) == pytest.approx(share_a, abs=0.01)


def told(trials, **knobs):
    searcher = TPE(Problem(space=Space({"x": Float(0, 1)})), seed=5, **knobs)
    searcher.tell(trials, [])
    return searcher


def finished(number, x, value, **more):
    return Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=(value,), **more)


def test_stopped_trials_rank_below_complete_ones_and_by_how_far_they_came():
    def stopped(number, step, value):
        return finished(number, 0.5, value, stopped=True, reports=(Report(step=step, values=(value,)),))

    trials = [
        stopped(0, 1, 0.0), stopped(1, 9, 5.0), stopped(2, 9, 4.0), finished(3, 0.5, 100.0), finished(4, 0.5, math.inf),
        finished(5, 0.5, math.nan), Trial(number=6, params={}, phase=Phase.FAILED), finished(7, 0.5, -math.inf),
        stopped(8, 3, math.nan), Trial(number=9, params={"x": 0.1}, phase=Phase.CANCELED),
    ]  # fmt: skip
    assert [rank[-1] for rank in told(trials)._ranks] == [7, 3, 4, 2, 1, 0, 5, 6, 8]


def test_pending_trials_keep_others_away():
    rng = random.Random(0)
    trials = [finished(i, x, (x - 0.3) ** 2) for i, x in enumerate(rng.random() for _ in range(40))]
    crowd = [Trial(number=40 + i, params={"x": 0.3 + 0.001 * i}) for i in range(-15, 15)]
    alone, crowded = told(trials), told(trials)
    crowded.tell([], crowd)
    near = [abs(s.params["x"] - 0.3) for s in alone.ask(1)]
    assert abs(crowded.ask(1)[0].params["x"] - 0.3) > max(near[0], 0.05)


def test_small_spaces_are_not_searched_twice_over():
    space = Space({"a": Int(1, 6), "b": Choice([1, 2, 3])})
    searcher = TPE(Problem(space=space), seed=1, num_startup=3)
    seen = []
    for number in range(18):
        params = searcher.ask(1)[0].params
        seen.append(tuple(params.values()))
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(float(params["a"]),))], [])
    assert len(set(seen)) == 18
    assert searcher.ask(1)


def test_constraints_that_leave_little_are_kept():
    space = Space({"x": Float(0, 1), "y": Float(0, 1)}, constraints=["x + y <= 0.1"])
    searcher = TPE(Problem(space=space), seed=0)
    assert best_of(searcher, lambda p: -p["x"] - p["y"], 40) < -0.09


def test_the_model_stays_bounded():
    rng = random.Random(1)
    searcher = told([finished(i, rng.random(), rng.random()) for i in range(3000)])
    rows, weights = searcher._rest(25)
    assert len(rows) == len(weights) == len(set(rows)) == 200
    assert sum(weights) == pytest.approx(3000 - 25)
    assert rows[:100] == searcher._rows[25:125]


def test_bad_knobs_and_several_metrics_are_refused():
    problem = Problem(space=BRANIN)
    with pytest.raises(ConfigError, match=r"tpe has gamma=0, not a number from 1e-06 to 1: give gamma a number from"):
        TPE(problem, seed=0, gamma=0)
    with pytest.raises(ConfigError, match=r"tpe has num_candidates=0, not a whole number of at least 1"):
        TPE(problem, seed=0, num_candidates=0)
    with pytest.raises(StudyError, match="needs one metric, not 2"):
        TPE(Problem(space=BRANIN, metrics=(Metric(name="a"), Metric(name="b"))), seed=0)


def test_a_knob_that_is_no_whole_number_is_refused_before_the_first_trial():
    with pytest.raises(ConfigError, match=r"^tpe has num_startup=2\.5, not a whole number of at least 1"):
        TPE(Problem(space=Space({"x": Float(0, 1)})), seed=0, num_startup=2.5)
