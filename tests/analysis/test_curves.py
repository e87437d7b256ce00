"""Hypervolume over the history, empirical distribution, and what random search would have found."""

import math
import random

import pytest

from whet.analysis.history import distribution, hypervolume_so_far
from whet.analysis.regret import expected_best, random_best
from whet.analysis.surface import surface
from whet.errors import StudyError
from whet.space import Float, Space
from whet.trial import Goal, Metric, Phase, Problem, Trial

TWO = Problem(space=Space({}), metrics=(Metric(name="loss"), Metric(name="accuracy", goal=Goal.MAXIMIZE)))


def done(*rows, **more):
    return [
        Trial(number=n, params={}, phase=Phase.FINISHED, values=tuple(map(float, row)), **more)
        for n, row in enumerate(rows)
    ]


def test_hypervolume_of_rectangles():
    """Below loss 4 and above accuracy 0: 1 × 3, then 3 × 1 more of which 1 × 1 is new twice over, then nothing new."""
    trials = done((1, 1), (3, 3), (2, 2), (3.5, 0.5), (5, 9))
    found = hypervolume_so_far(TWO, trials, reference=(4, 0))
    assert found == [(0, 3.0), (1, 5.0), (2, 6.0), (3, 6.0), (4, 6.0)]


def test_hypervolume_never_falls_and_agrees_with_counting():
    rng = random.Random(3)
    three = Problem(space=Space({}), metrics=tuple(Metric(name=n) for n in "abc"))
    trials = done(*[(rng.random(), rng.random(), rng.random()) for _ in range(30)])
    found = [v for _, v in hypervolume_so_far(three, trials, reference=(1, 1, 1))]
    assert found == sorted(found)
    points = [(rng.random(), rng.random(), rng.random()) for _ in range(20_000)]
    hit = sum(any(all(v <= p for v, p in zip(t.values, q, strict=True)) for t in trials) for q in points)
    assert found[-1] == pytest.approx(hit / 20_000, abs=0.015)


def test_hypervolume_without_a_reference_and_with_bad_ones():
    assert [n for n, _ in hypervolume_so_far(TWO, done((1, 2), (2, 3)))] == [0, 1]
    assert hypervolume_so_far(TWO, []) == []
    assert hypervolume_so_far(TWO, done((math.inf, 2))) == [(0, 0.0)]
    with pytest.raises(StudyError, match="one finite value for each of 2 metrics"):
        hypervolume_so_far(TWO, done((1, 2)), reference=(1,))


def test_the_distribution_has_the_best_first():
    up = Problem(space=Space({}), metrics=(Metric(name="accuracy", goal=Goal.MAXIMIZE),))
    assert distribution(up, done((0.5,), (0.9,), (0.5,), (-math.inf,))) == [(0.9, 0.25), (0.5, 0.75)]
    assert distribution(TWO, done((1, 2), (3, 4)), metric="accuracy") == [(4.0, 0.5), (2.0, 1.0)]


@pytest.mark.parametrize("goal", Goal)
def test_the_expected_best_of_n_draws(goal):
    rng = random.Random(0)
    values = [rng.gauss(0, 1) for _ in range(50)]
    best = min if goal is Goal.MINIMIZE else max
    simulated = [sum(best(rng.choices(values, k=n)) for _ in range(20_000)) / 20_000 for n in (1, 5, 20)]
    assert expected_best(values, [1, 5, 20], goal) == pytest.approx(simulated, abs=0.03)


def test_random_search_is_foreseen():
    """Of (x - ½)², the least of n uniform draws is known: E = 2 / (4·(n+1)(n+2)), that of |x - ½|² with |x - ½| uniform on [0, ½]."""
    problem = Problem(space=Space({"x": Float(0, 1), "y": Float(0, 1)}))
    rng = random.Random(0)
    trials = []
    for n in range(400):
        p = problem.space.sample(rng)
        trials.append(Trial(number=n, params=p, phase=Phase.FINISHED, values=((p["x"] - 0.5) ** 2,)))
    found = random_best(surface(problem, trials), [1, 4, 9])
    truth = [0.5 / ((n + 1) * (n + 2)) for n in (1, 4, 9)]
    assert found == pytest.approx(truth, abs=0.005)


def test_nothing_to_compare():
    with pytest.raises(StudyError, match="no values"):
        expected_best([], [1])
    with pytest.raises(StudyError, match="below 1"):
        expected_best([1.0], [0])
