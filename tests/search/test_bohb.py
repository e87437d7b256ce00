"""BOHB compares trials at a step that enough of them have reached."""

import random
from dataclasses import replace

import pytest

from whet.errors import ConfigError
from whet.search.bohb import BOHB
from whet.search.tpe import TPE
from whet.space import Float, Space
from whet.testing.searcher_laws import SearcherLaws
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial


class TestBOHB(SearcherLaws):
    def make(self, problem, seed):
        return BOHB(problem, seed=seed, num_results=3)


class TestBOHBwithRandomTrials(SearcherLaws):
    def make(self, problem, seed):
        return BOHB(problem, seed=seed, num_results=3, random_share=0.5)


LINE = Problem(space=Space({"x": Float(0, 1)}))


def trial(number, x, curve, length, *, first=1, goal=Goal.MINIMIZE):
    """A trial that was stopped after `length` reports, or ran to the end of the curve."""
    sign = 1 if goal is Goal.MINIMIZE else -1
    reports = tuple(Report(step=first + i, values=(sign * v,)) for i, v in enumerate(curve[:length]))
    return Trial(number=number, params={"x": x}, phase=Phase.FINISHED, reports=reports, values=reports[-1].values,
                 stopped=length < len(curve))  # fmt: skip


def complete(number, x, value):
    return Trial(number=number, params={"x": x}, phase=Phase.FINISHED, values=(value,))


def suggestions(searcher, told, count=30):
    found = []
    for number in range(count):  # each for another number, with the same knowledge
        searcher.tell([Trial(number=len(told) + number, params={"x": 0.5}, phase=Phase.CANCELED)], [])
        found.append(searcher.ask(1)[0].params["x"])
    return found


def test_without_stopped_trials_it_is_tpe():
    rng = random.Random(0)
    trials = [complete(i, x := rng.random(), (x - 0.3) ** 2) for i in range(40)]
    bohb, tpe = BOHB(LINE, seed=4, num_results=6), TPE(LINE, seed=4, num_startup=6)
    for one in trials:
        assert bohb.ask(1) == tpe.ask(1)
        bohb.tell([one], [])
        tpe.tell([one], [])
    assert bohb.ask(3) == tpe.ask(3)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("goal", Goal)
def test_is_told_what_trials_were_at_the_common_step(first, goal):
    # Two are complete and bad; at step 2, which ten have reached, the best are those about 0.8.
    rng = random.Random(1)
    curves = []
    for i in range(30):
        x = 0.1 if i < 2 else rng.random()
        curves.append((x, [5 + 9 * abs(x - 0.8), 2 + 9 * abs(x - 0.8), 0.1]))
    lengths = [3, 3, *[2] * 10, *[1] * 18]
    trials = [
        trial(i, x, curve, n, first=first, goal=goal)
        for i, ((x, curve), n) in enumerate(zip(curves, lengths, strict=True))
    ]
    problem = Problem(space=LINE.space, metrics=(Metric(name="value", goal=goal),))
    bohb, tpe = BOHB(problem, seed=2, num_results=10), TPE(problem, seed=2, num_startup=10)
    bohb.tell(trials, [])
    tpe.tell(trials, [])
    near = [sum(abs(x - 0.8) < 0.15 for x in suggestions(s, trials)) for s in (bohb, tpe)]
    assert near[0] > 20
    assert near[1] < 15  # TPE takes the complete ones for the best


def test_the_step_moves_on_with_the_trials():
    # At step 1 the best are about 0.2, at the end about 0.8.
    def curve(x):
        return [abs(x - 0.2), abs(x - 0.8)]

    rng = random.Random(3)
    early = [trial(i, x := rng.random(), curve(x), 1) for i in range(40)]
    late = [trial(40 + i, x := rng.random(), curve(x), 2) for i in range(20)]
    searcher = BOHB(LINE, seed=0, num_results=20)
    searcher.tell([*early, *late[:19]], [])
    assert sum(abs(x - 0.2) < 0.15 for x in suggestions(searcher, [*early, *late])) > 20
    searcher = BOHB(LINE, seed=0, num_results=20)
    searcher.tell([*early, *late], [])
    assert sum(abs(x - 0.8) < 0.15 for x in suggestions(searcher, [*early, *late])) > 20


def test_one_by_one_is_all_at_once_also_where_the_step_moves():
    rng = random.Random(5)
    trials = [trial(i, rng.random(), [rng.random() for _ in range(4)], rng.randint(1, 4)) for i in range(40)]
    one, all_ = BOHB(LINE, seed=1, num_results=5), BOHB(LINE, seed=1, num_results=5)
    for told in rng.sample(trials, len(trials)):
        one.tell([told], [])
    all_.tell(trials, [])
    assert one.ask(4) == all_.ask(4)


def test_a_nan_at_the_common_step_is_no_result():
    nan = float("nan")
    bad = [trial(i, 0.9, [nan, 0.0, 0.0], 1) for i in range(10)]
    good = [trial(10 + i, 0.1 + i / 100, [1.0, 0.5, 0.2], 1) for i in range(20)]
    searcher = BOHB(LINE, seed=0, num_results=4)
    searcher.tell([*bad, *good], [])
    assert sum(x > 0.75 for x in suggestions(searcher, [*bad, *good])) < 6


@pytest.mark.parametrize("reported", [[9.0, float("nan"), 0.1, 0.1], [9.0, float("nan")]])
def test_a_nan_at_the_common_step_does_not_outweigh_what_came_later(reported):
    rng = random.Random(2)
    early = [trial(i, x := rng.random(), [9.0, 1 + x, 1.0], 2) for i in range(20)]
    good = [replace(trial(20 + i, 0.8 + i / 100, reported, len(reported)), values=(0.1,)) for i in range(6)]
    searcher = BOHB(LINE, seed=0, num_results=12)
    searcher.tell([*early, *good], [])
    assert sum(x > 0.75 for x in suggestions(searcher, [*early, *good])) > 15


def test_a_model_is_not_made_anew_for_each_farther_trial(monkeypatch):
    made = []
    anew = BOHB._anew
    monkeypatch.setattr(BOHB, "_anew", lambda self: made.append(1) or anew(self))
    searcher = BOHB(LINE, seed=0, num_results=4)
    for i in range(300):
        searcher.tell([trial(i, i / 300, [1.0] * 301, i + 1)], [])
    assert 10 < len(made) < 30  # log 300 / log 1.2 = 31, and the first budgets are farther apart


def test_a_share_is_drawn_at_random():
    trials = [complete(i, i / 100, (i / 100 - 0.3) ** 2) for i in range(100)]
    found = {}
    for share in (0.0, 0.3, 1.0):
        searcher = BOHB(LINE, seed=0, random_share=share)
        searcher.tell(trials, [])
        found[share] = suggestions(searcher, trials, 100)
    assert not set(found[0.0]) & set(found[1.0])
    assert 55 < len(set(found[0.3]) & set(found[0.0])) < 85  # the others follow the model


@pytest.mark.parametrize("knobs", [{"num_results": 0}, {"random_share": 1.5}, {"gamma": 0}, {"num_candidates": 0}])
def test_refuses_knobs_outside_their_range(knobs):
    with pytest.raises(ConfigError, match=f"bohb.*{next(iter(knobs))}"):
        BOHB(LINE, seed=0, **knobs)


@pytest.mark.parametrize("prior", [3, {"y": 1}, {"x": 7}])
def test_a_bad_prior_is_its_own(prior):
    with pytest.raises(ConfigError, match=r"^bohb has"):
        BOHB(LINE, seed=0, prior=prior)


def test_with_several_metrics_it_compares_at_the_common_step_too():
    # At step 2, which twelve have reached, the trade-off lies between 0.6 and 0.8; the complete ones lie far off.
    two = Problem(space=LINE.space, metrics=(Metric(name="loss"), Metric(name="size")))
    rng, trials = random.Random(7), []
    for i in range(40):
        x = 0.1 if i < 2 else rng.random()
        curve = [(9.0, 9.0), (abs(x - 0.6), abs(x - 0.8)), (0.0, 0.0)]
        length = 3 if i < 2 else 2 if i < 14 else 1
        reports = tuple(Report(step=s, values=v) for s, v in enumerate(curve[:length]))
        trials.append(Trial(number=i, params={"x": x}, phase=Phase.FINISHED, reports=reports, values=reports[-1].values,
                            stopped=length < 3))  # fmt: skip
    searcher = BOHB(two, seed=0, num_results=12)
    searcher.tell(trials, [])
    assert sum(0.5 < x < 0.9 for x in suggestions(searcher, trials)) > 20


class TestBOHBofTwo(TestBOHB):
    num_metrics = 2
