import math
import random
from collections import Counter

import pytest

from whet.errors import ConfigError
from whet.space import Float, Space
from whet.stop.base import Verdict
from whet.stop.hyperband import Hyperband
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial


def a_problem(goal=Goal.MINIMIZE):
    return Problem(space=Space({"x": Float(0, 1)}), metrics=(Metric(name="loss", goal=goal),))


def a_trial(number, *values, phase=Phase.RUNNING):
    reports = tuple(Report(step=10 * i, values=(float(v),)) for i, v in enumerate(values))  # the steps play no part
    return Trial(number=number, params={}, reports=reports, phase=phase)


def as_wandb_does(histories, mine, *, rungs, eta, strict):
    """Whether W&B stops the run `mine`: the published rule, on losses, written down anew."""
    reached = [rung for rung in rungs if rung <= len(mine)]
    if not reached:
        return False
    there = sorted(history[reached[-1] - 1] for history in histories if len(history) >= reached[-1])
    return (mine[reached[-1] - 1] if strict else min(mine)) > there[int(len(there) / eta)]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize(
    ("knobs", "rungs"),
    [
        ({"min_iter": 3}, [3, 9, 27, 81]),  # the examples of W&B's documentation
        ({"max_iter": 27, "s": 2}, [3, 9]),
        ({"max_iter": 5, "s": 2, "eta": 2}, [1, 2]),
        ({"min_iter": 7, "max_iter": 27, "s": 2}, [3, 9]),
        ({"min_iter": 2, "s": 1, "eta": 2}, [2, 4, 8, 16]),
    ],
)
def test_decides_as_wandb_does(knobs, rungs, goal, strict):
    rng, verdicts = random.Random(f"{knobs}{goal}{strict}"), Counter()
    stopper, eta = Hyperband(a_problem(goal), strict=strict, **knobs), knobs.get("eta", 3)
    for _ in range(150):
        histories = [
            [rng.choice([rng.randrange(4), 4 * rng.random()]) for _ in range(rng.randrange(14))] for _ in range(12)
        ]
        level = rng.random() * 3
        mine = [level + rng.random() for _ in range(rng.randrange(1, 14))]
        peers = [a_trial(n, *(goal.loss(v) for v in history)) for n, history in enumerate(histories, 1)]
        decision = stopper.decide(a_trial(0, *(goal.loss(v) for v in mine)), peers)
        stops = as_wandb_does([*histories, mine], mine, rungs=rungs, eta=eta, strict=strict)
        assert (decision.verdict is Verdict.STOP) == stops, decision
        verdicts[stops] += 1
    assert min(verdicts.values()) > 10


def test_the_example_of_wandbs_source():
    runs = {"a": [10, 9], "b": [10, 10], "c": [10, 8, 8], "d": [10, 7, 7], "e": [10, 6, 6]}
    trials = {name: a_trial(n, *values) for n, (name, values) in enumerate(runs.items())}
    stopper = Hyperband(a_problem(), max_iter=5, s=2, eta=2)
    decisions = {name: stopper.decide(trials[name], [t for n, t in trials.items() if n != name]) for name in "bcd"}
    assert [n for n, decision in decisions.items() if decision.verdict is Verdict.STOP] == ["b"]
    assert decisions["b"].reason == "loss 10 (best of 2 reports) is not among the best 3 of 5 at report 2"


def test_nan_is_worse_than_any_number():
    lenient, strict = Hyperband(a_problem(), min_iter=1), Hyperband(a_problem(), min_iter=2, strict=True)
    assert lenient.decide(a_trial(0, math.nan), []).verdict is Verdict.STOP
    assert lenient.decide(a_trial(0, 1, math.nan), [a_trial(1, 5)]).verdict is Verdict.CONTINUE  # its best is good
    assert strict.decide(a_trial(0, 1, math.nan), []).reason == (
        "loss is NaN at report 2, and a trial without a number never goes on"
    )
    diverged = [a_trial(n, 1, math.nan) for n in range(1, 9)]
    assert strict.decide(a_trial(0, 1, math.inf), diverged).verdict is Verdict.CONTINUE


def test_brackets_share_the_trials_as_the_paper_says():
    stopper = Hyperband(a_problem(), max_iter=81, s=4, brackets=5)
    table = {0: 81, 1: 34, 2: 15, 3: 8, 4: 5}  # table 1 of the paper for R = 81, eta = 3
    for start in (0, 5_000):
        counts = Counter(stopper.bracket(number) for number in range(start, start + 1430))
        assert all(abs(counts[b] - 10 * share) <= 8 for b, share in table.items()), counts
    assert {Hyperband(a_problem(), min_iter=3).bracket(n) for n in range(50)} == {0}


def test_a_bracket_leaves_out_the_first_rungs_and_sees_only_its_own_trials():
    stopper = Hyperband(a_problem(), max_iter=9, s=2, brackets=3)
    of = {b: [n for n in range(200) if stopper.bracket(n) == b] for b in range(3)}
    best = [a_trial(n, 0, 0, 0) for b in (0, 2) for n in of[b][1:6]]
    assert stopper.decide(a_trial(of[0][0], 5, 5), best).verdict is Verdict.STOP  # rungs 1 and 3
    one, *others = of[1]
    assert stopper.decide(a_trial(one, 5, 5), best).verdict is Verdict.CONTINUE  # rung 3 only
    assert stopper.decide(a_trial(one, 5, 5, 5), best).verdict is Verdict.CONTINUE  # nobody else of its bracket
    assert stopper.decide(a_trial(one, 5, 5, 5), [a_trial(n, 0, 0, 0) for n in others[:3]]).reason == (
        "loss 5 (best of 3 reports) is not among the best 2 of 4 at report 3 in bracket 1"
    )
    assert stopper.decide(a_trial(of[2][0], *[5] * 9), best).verdict is Verdict.CONTINUE  # no rung at all


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({}, "hyperband has neither min_iter nor max_iter and s: give min_iter, such as 3, or both of the others"),
        ({"s": 2}, "hyperband has neither min_iter nor max_iter and s"),
        ({"max_iter": 27}, "hyperband has max_iter=27 without s: "
                           "give s, the number of rungs below max_iter, or min_iter instead of both"),
        ({"max_iter": 2, "s": 1}, "hyperband has no rung: max_iter / eta is 0.6667, less than one report"),
        ({"min_iter": 0}, "hyperband has min_iter=0, not a whole number of at least 1"),
        ({"min_iter": "3"}, "hyperband has min_iter='3', not a whole number of at least 1"),
        ({"min_iter": 3, "eta": 1}, "hyperband has eta=1, not a number at least 2"),
        ({"min_iter": 3, "strict": "yes"}, "hyperband has strict='yes', not true or false: give strict true or false"),
        ({"max_iter": 9, "s": 2, "brackets": 4}, "hyperband has brackets=4 for 2 rungs ([1, 3]): "
                                                 "give at most 3, the last of which stops no trial"),
    ],
)  # fmt: skip
def test_a_bad_knob_says_what_it_wants(knobs, message):
    with pytest.raises(ConfigError) as caught:
        Hyperband(a_problem(), **knobs)
    assert message in str(caught.value)
