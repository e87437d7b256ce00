import random

import pytest
from scipy.stats import qmc

from whet.errors import SpaceError
from whet.search.random import Random
from whet.search.sobol import Sobol
from whet.space import Choice, Float, Int, Space
from whet.trial import Phase, Problem, Trial

SPACE = Space({f"x{i}": Float(0, 1) for i in range(4)})


def points(searcher, n):
    return [list(s.params.values()) for s in searcher.ask(n)]


def test_fills_the_cube_far_more_evenly_than_chance():
    sobol = qmc.discrepancy(points(Sobol(Problem(space=SPACE), seed=3), 256))
    chance = qmc.discrepancy(points(Random(Problem(space=SPACE), seed=3), 256))
    assert sobol < chance / 20


def test_trial_n_takes_point_n_wherever_one_begins():
    problem = Problem(space=SPACE)
    all_at_once = points(Sobol(problem, seed=1), 1000)
    for number in random.Random(0).sample(range(1000), 5):
        late = Sobol(problem, seed=1)
        late.tell([Trial(number=i, params={}, phase=Phase.FAILED) for i in range(number)], [])
        assert points(late, 1) == [all_at_once[number]]
    assert points(Sobol(problem, seed=2), 1) != all_at_once[:1]


def test_points_that_break_a_constraint_are_skipped():
    space = Space({"x": Float(0, 1), "y": Float(0, 1)}, constraints=["x < y"])
    free = points(Sobol(Problem(space=Space(space.parameters)), seed=0), 600)
    assert points(Sobol(Problem(space=space), seed=0), 200) == [p for p in free if p[0] < p[1]][:200]
    tight = Space({"x": Float(0, 1), "y": Float(0, 1)}, constraints=["abs(x - y) < 1e-6"])
    sobol = Sobol(Problem(space=tight), seed=0)
    drawn = sobol.ask(4)
    assert all(tight.contains(s.params) for s in drawn)
    assert [s.params for s in drawn] == [s.params for s in Sobol(Problem(space=tight), seed=0).ask(4)]
    with pytest.raises(SpaceError, match="no configuration fulfils 'x > 2'"):
        Sobol(Problem(space=Space({"x": Float(0, 1)}, constraints=["x > 2"])), seed=0).ask(1)


def test_random_covers_a_small_space_before_it_repeats():
    space = Space({"a": Int(1, 4), "c": Choice([*"abc".upper().split(), "d", "e"])})
    drawn = [tuple(s.params.values()) for s in Random(Problem(space=space), seed=0).ask(11)]
    assert len(set(drawn)) >= 10
    assert len(Random(Problem(space=space), seed=0).ask(40)) == 40
