import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.analysis.best import best_trial
from whet.analysis.history import Milestone, best_so_far
from whet.analysis.pareto import pareto_front
from whet.errors import StudyError
from whet.space import Space
from whet.trial import Goal, Metric, Phase, Problem, Trial

DOWN = Problem(space=Space())
UP = Problem(space=Space(), metrics=(Metric(name="accuracy", goal=Goal.MAXIMIZE),))


def done(number, *values, **fields):
    return Trial(number=number, params={}, phase=Phase.FINISHED, values=tuple(map(float, values)), **fields)


UNFINISHED = [
    done(90, -9, stopped=True),
    done(91, math.nan),
    Trial(number=92, params={}, phase=Phase.FINISHED),
    Trial(number=93, params={}, phase=Phase.FAILED, values=(-9.0,)),
    Trial(number=94, params={}),
]


def test_the_best_is_complete_and_the_first_of_equals():
    trials = [done(3, 1), done(1, 1), done(2, 5), *UNFINISHED]
    assert best_trial(DOWN, trials).number == 1
    assert best_trial(UP, trials).number == 2
    assert best_trial(DOWN, [done(0, math.inf)]).number == 0
    with pytest.raises(StudyError) as caught:
        best_trial(DOWN, UNFINISHED)
    assert str(caught.value) == "no trial is complete, so there is no best one: run a trial to its end first"
    with pytest.raises(StudyError, match="one metric, not 2"):
        best_trial(Problem(space=Space(), metrics=(Metric(name="a"), Metric(name="b"))), trials)


def test_the_history_follows_the_numbers():
    history = best_so_far(UP, [done(4, 3), done(0, 1), done(2, 3), *UNFINISHED, done(1, 0)])
    assert history == [
        Milestone(number=0, value=1, best=1, improved=True),
        Milestone(number=1, value=0, best=1, improved=False),
        Milestone(number=2, value=3, best=3, improved=True),
        Milestone(number=4, value=3, best=3, improved=False),
    ]
    assert [m.best for m in best_so_far(DOWN, [done(0, math.inf), done(1, 2), done(2, 1)])] == [math.inf, 2, 1]
    assert best_so_far(DOWN, UNFINISHED) == []


@given(st.data(), st.integers(1, 4))
def test_the_front_is_what_nobody_dominates(data, count):
    goals = data.draw(st.lists(st.sampled_from(Goal), min_size=count, max_size=count))
    points = data.draw(st.lists(st.tuples(*[st.integers(0, 4)] * count), max_size=25))
    problem = Problem(space=Space(), metrics=tuple(Metric(name=str(i), goal=g) for i, g in enumerate(goals)))
    trials = [done(n, *point) for n, point in enumerate(points)]

    def dominates(a, b):
        one, other = problem.losses(a.values), problem.losses(b.values)
        return one != other and all(x <= y for x, y in zip(one, other, strict=True))

    front = pareto_front(problem, [*trials, *(t for t in UNFINISHED if t.values is None)])
    assert {t.number for t in front} == {t.number for t in trials if not any(dominates(o, t) for o in trials)}
    assert pareto_front(problem, trials[::-1]) == front
    assert [problem.losses(t.values)[0] for t in front] == sorted(problem.losses(t.values)[0] for t in front)


def test_the_front_heeds_complete_trials_only():
    assert [t.number for t in pareto_front(DOWN, [done(2, 3), done(1, 3), done(0, 4), *UNFINISHED])] == [1, 2]
