"""Stopping by several metrics: fronts first, then the spread over a front."""

import math
import random
from itertools import product

import pytest

from whet.errors import StudyError
from whet.space import Space
from whet.stop._places import best_standing, standing
from whet.stop.asha import ASHA
from whet.stop.base import Verdict
from whet.stop.hyperband import Hyperband
from whet.stop.median import Median
from whet.stop.pasha import PASHA
from whet.stop.wilcoxon import Wilcoxon
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial


def a_problem(*goals):
    names = ["loss", "size", "cost"]
    return Problem(space=Space(), metrics=tuple(Metric(name=n, goal=g) for n, g in zip(names, goals, strict=False)))


TWO = a_problem(Goal.MINIMIZE, Goal.MINIMIZE)


def a_trial(number, *values, first=1, complete=False):
    reports = tuple(Report(step=s, values=tuple(map(float, v))) for s, v in enumerate(values, first))
    return Trial(
        number=number, params={}, reports=reports, phase=Phase.FINISHED if complete else Phase.RUNNING,
        values=reports[-1].values if complete else None,
    )  # fmt: skip


def fronts_by_definition(points):
    """The front of each point, from 1: peel off, again and again, what nothing that is left dominates."""
    front, left, k = {}, list(range(len(points))), 0
    while left:
        k += 1
        layer = [
            i for i in left
            if not any(points[j] != points[i] and all(a <= b for a, b in zip(points[j], points[i], strict=True)) for j in left)
        ]  # fmt: skip
        front |= dict.fromkeys(layer, k)
        left = [i for i in left if i not in layer]
    return front


def test_with_one_metric_the_order_is_the_plain_one():
    rng = random.Random(0)
    for _ in range(200):
        others = [(rng.choice([math.nan, math.inf, rng.randrange(4)]),) for _ in range(rng.randrange(9))]
        loss = float(rng.randrange(4))
        place = standing((loss,), others)
        assert (place.ahead, place.size, place.front) == (sum(o < loss for (o,) in others), len(others) + 1, None)


@pytest.mark.parametrize("num_metrics", [2, 3])
def test_fronts_are_those_of_the_definition(num_metrics):
    rng = random.Random(num_metrics)
    for _ in range(300):
        points = [tuple(float(rng.randrange(5)) for _ in range(num_metrics)) for _ in range(rng.randrange(1, 16))]
        front = fronts_by_definition(points)
        for i, own in enumerate(points):
            place = standing(own, [p for j, p in enumerate(points) if j != i])
            assert place.front == front[i]
            before, upto = (sum(front[j] < front[i] + k for j in front) for k in (0, 1))
            assert before <= place.ahead < upto


def test_places_form_one_order():
    """Whoever is asked, the places of distinct points are 0, 1, 2 …, and equal points share one."""
    rng = random.Random(5)
    for _ in range(100):
        points = list({(rng.random(), rng.random()) for _ in range(12)})
        places = [standing(own, [p for p in points if p != own]).ahead for own in points]
        assert sorted(places) == list(range(len(points)))
        twin = rng.choice(points)
        ahead = standing(twin, [p for p in points if p != twin]).ahead
        assert standing(twin, points).ahead == ahead  # a twin is not ahead
        scaled = [(1000 * a + 7, b / 3 - 2) for a, b in points]
        again = [standing(own, [p for p in scaled if p != own]).ahead for own in scaled]
        assert again == places  # the unit of a metric plays no part


def test_the_spread_takes_the_middle_then_the_ends_and_twins_last():
    front = [(0.0, 1.0), (0.02, 0.98), (0.4, 0.4), (0.95, 0.05), (1.0, 0.0)]
    order = sorted(front, key=lambda own: standing(own, [p for p in front if p != own]).ahead)
    assert order[0] == (0.4, 0.4)
    assert set(order[1:3]) == {(0.0, 1.0), (1.0, 0.0)}
    assert set(order[3:]) == {(0.02, 0.98), (0.95, 0.05)}


def test_the_best_of_a_trials_own_values_is_chosen():
    others = [(0.2, 0.2), (0.5, 0.1)]
    index, place = best_standing([(0.9, 0.9), (0.1, 0.6), (0.3, 0.3)], others)
    assert (index, place.front) == (1, 1)


def test_infinite_losses_are_worst_of_their_metric_and_nan_is_worst_of_all():
    others = [(math.inf, 0.0), (0.0, math.inf), (math.nan, 0.0), (-math.inf, 5.0)]
    assert standing((1.0, 1.0), others).front == 1
    assert standing((2.0, 6.0), others).front == 2  # behind (-inf, 5) alone
    assert standing((9.0, 9.0), [(math.nan, 0.0)] * 3).ahead == 0
    assert standing((math.inf, math.inf), [(1.0, 1.0)]).front == 2


def test_asha_keeps_the_best_by_front_and_says_which():
    grid = [(a, b) for a, b in product((1, 2, 3), (1, 2, 3)) if (a, b) != (3, 3)]
    peers = [a_trial(n, grid[n - 1]) for n in range(1, 9)]  # with (3, 3): fronts 1, 2, 2, 3, 3, 3, 4, 4, 5
    decide = ASHA(TWO, min_steps=1).decide
    stopped = decide(a_trial(0, (3, 3)), peers)
    assert stopped.verdict is Verdict.STOP
    assert stopped.reason == (
        "loss 3, size 3 at step 1 stands on front 5, and is not among the best 3 of 9 that reached it"
    )
    kept = decide(a_trial(0, (0.5, 2.5)), peers)
    assert kept.verdict is Verdict.CONTINUE
    assert kept.reason == (
        "loss 0.5, size 2.5 at step 1 stands on front 1, and is among the best 3 of 9 that reached it"
    )
    good_in_one = decide(a_trial(0, (9, 0.5)), peers)  # the best in one metric, whatever the other says
    assert good_in_one.verdict is Verdict.CONTINUE
    improved = decide(a_trial(0, (3, 3), (0.5, 0.5)), peers)
    assert improved.verdict is Verdict.CONTINUE
    assert "size 0.5 at step 2, its best since step 1, stands on front 1" in improved.reason


def test_goals_are_followed_one_by_one():
    problem = a_problem(Goal.MINIMIZE, Goal.MAXIMIZE)
    peers = [a_trial(n, (n, 10 - n)) for n in range(1, 9)]  # 1 is best in both
    assert ASHA(problem).decide(a_trial(0, (0.5, 11)), peers).verdict is Verdict.CONTINUE
    assert ASHA(problem).decide(a_trial(0, (8.5, 0)), peers).verdict is Verdict.STOP


@pytest.mark.parametrize(
    "stopper", [ASHA(TWO), Hyperband(TWO, min_iter=1), Median(TWO, startup_trials=1)], ids=lambda s: type(s).__name__
)
def test_nan_in_any_metric_never_goes_on(stopper):
    peers = [a_trial(n, (n, n), complete=True) for n in range(1, 4)]
    decision = stopper.decide(a_trial(0, (0, math.nan)), peers)
    assert decision.verdict is Verdict.STOP
    assert decision.reason.startswith("size is NaN or not reported ")
    assert stopper.decide(a_trial(0, (0, 0)), peers).verdict is Verdict.CONTINUE
    missing = [a_trial(n, (0, math.nan), complete=True) for n in range(1, 9)]
    assert stopper.decide(a_trial(0, (9, 9)), missing).verdict is Verdict.CONTINUE


def test_hyperband_and_its_brackets():
    peers = [a_trial(n, (n, n), (n, n)) for n in range(1, 9)]
    stopped = Hyperband(TWO, min_iter=2).decide(a_trial(0, (9, 9), (7, 9)), peers)
    assert stopped.reason == (
        "loss 7, size 9 (best of 2 reports) stands on front 8, and is not among the best 4 of 9 at report 2"
    )
    bracketed = Hyperband(TWO, max_iter=9, s=2, brackets=3)
    mine, *others = [n for n in range(40) if bracketed.bracket(n) == 1]
    decision = bracketed.decide(a_trial(mine, *[(5, 5)] * 3), [a_trial(n, *[(0, 0)] * 3) for n in others[:3]])
    assert decision.reason.endswith("stands on front 2, and is not among the best 2 of 4 at report 3 in bracket 1")


def test_median_asks_for_the_better_half():
    peers = [a_trial(n, (n, n), complete=True) for n in range(1, 6)]  # five fronts
    decide = Median(TWO).decide
    assert decide(a_trial(0, (3, 3)), peers).verdict is Verdict.CONTINUE  # equal to the median
    stopped = decide(a_trial(0, (3, 3.5)), peers)
    assert stopped.verdict is Verdict.STOP
    assert stopped.reason == (
        "loss 3, size 3.5, its best so far, stands on front 4, and is behind 3 of 5 complete trials at step 1, "
        "worse than the median"
    )
    assert decide(a_trial(0, (0.5, 99)), peers).verdict is Verdict.CONTINUE
    assert Median(TWO, percentile=0).decide(a_trial(0, (1.5, 1.5)), peers).verdict is Verdict.STOP


def test_median_with_equal_metrics_is_the_median_of_one():
    one = Problem(space=Space(), metrics=(Metric(name="loss"),))
    rng, stops = random.Random(3), 0
    for _ in range(500):
        values = rng.sample(range(100), rng.randrange(3, 9))
        percentile = rng.choice([0, 25, 50, 75, 100])
        mine, *theirs = values
        verdicts = [
            Median(problem, startup_trials=1, percentile=percentile)
            .decide(
                a_trial(0, (mine,) * m), [a_trial(n, (v,) * m, complete=True) for n, v in enumerate(theirs, 1)]
            ).verdict
            for m, problem in ((1, one), (2, TWO))
        ]  # fmt: skip
        place = (len(theirs) - 1) * percentile / 100
        if place == int(place):  # in between the one interpolates, and the other gives the benefit of the doubt
            assert verdicts[0] is verdicts[1]
            stops += verdicts[0] is Verdict.STOP
        else:
            assert verdicts[1] is Verdict.CONTINUE or verdicts[0] is Verdict.STOP
    assert stops > 50


@pytest.mark.parametrize("make", [Wilcoxon, PASHA])
def test_others_need_one_metric(make):
    with pytest.raises(StudyError, match="one metric, not 2"):
        make(TWO)


def test_a_problem_without_a_metric_is_refused():
    for make in (ASHA, Median):
        with pytest.raises(StudyError, match="one metric, not 0"):
            make(Problem(space=Space(), metrics=()))


def test_a_rung_of_a_thousand_is_quick_to_judge():
    """Counted, not timed: the order of the fronts looks at each point a bounded number of times."""
    rng = random.Random(1)
    others = [(rng.random(), rng.random()) for _ in range(1000)]
    import whet.fronts as fronts

    calls, whole = [], fronts.nondominated
    try:
        fronts.nondominated = lambda points: calls.append(len(points)) or whole(points)
        standing((0.5, 0.5), others)
    finally:
        fronts.nondominated = whole
    assert len(calls) < 100  # one a front, some 2·√1000 of them
    assert sum(calls) < 100 * 1000
