import math
import random

import pytest

from whet.errors import ConfigError
from whet.space import Space
from whet.stop.asha import ASHA
from whet.stop.base import Verdict
from whet.stop.pasha import PASHA, _agree
from whet.trial import Goal, Metric, Problem, Report, Trial

ONE = Problem(space=Space(), metrics=(Metric(name="loss"),))


def a_trial(number, *values):
    return Trial(
        number=number, params={}, reports=tuple(Report(step=s, values=(float(v),)) for s, v in enumerate(values, 1))
    )


def by_the_paper(before, now, epsilon):
    """Whether the soft rankings agree, as the paper writes it: place by place, the set of all within ε of who stands there."""

    def ranking(losses):
        return sorted(losses, key=lambda config: losses[config])

    earlier = ranking(before)
    sets = [{c for c in before if abs(before[c] - before[there]) <= epsilon} for there in earlier]
    return all(config in allowed for config, allowed in zip(ranking(now), sets, strict=True))


def test_soft_ranking_is_the_papers():
    rng, seen = random.Random(1), set()
    for _ in range(500):
        size = rng.randrange(1, 6)
        before, now = [rng.random() for _ in range(size)], [rng.random() for _ in range(size)]
        if rng.random() < 0.3:
            now = [b + 0.05 * rng.random() for b in before]
        epsilon = rng.choice([0.0, 0.1, 0.5])
        agree = _agree(before, now, epsilon)
        assert agree == by_the_paper(dict(enumerate(before)), dict(enumerate(now)), epsilon)
        seen.add(agree)
    assert seen == {True, False}


def test_a_settled_ranking_stops_all_but_the_leader():
    peers = [a_trial(n, n, n) for n in range(1, 9)]  # they rank at 2 steps as at 1
    decide = PASHA(ONE, eta=2).decide
    second = decide(a_trial(0, 1.5, 1.5), peers)
    assert second.verdict is Verdict.STOP
    assert second.reason == (
        "loss 1.5 since step 2 is not among the best 1 of 9 that got so far; "
        "the ranking is settled at 2 steps, so beyond them only the best goes on"
    )
    assert decide(a_trial(0, 0.5, 0.5), peers).verdict is Verdict.CONTINUE
    assert decide(a_trial(0, 1.5), peers).verdict is Verdict.CONTINUE  # below the top one in eta goes on
    assert decide(a_trial(0, 5.5), peers).verdict is Verdict.STOP


def test_the_top_rung_rises_while_the_ranking_changes():
    unstable = [a_trial(n, n, -n) for n in range(1, 9)]  # reversed from the first rung to the second
    decision = PASHA(ONE, eta=2).decide(a_trial(0, 6.5, -6.5), unstable)  # the third of nine
    assert decision.verdict is Verdict.CONTINUE
    assert decision.reason == "loss -6.5 since step 2 is among the best 4 of 9 that got so far"
    settled_later = [a_trial(n, n, -n, 0, -n) for n in range(1, 9)]  # and at 4 steps as at 2
    at_four = PASHA(ONE, eta=2).decide(a_trial(0, 6.5, -6.5, 0, -6.5), settled_later)
    assert at_four.verdict is Verdict.STOP
    assert "settled at 4 steps" in at_four.reason


def test_epsilon_is_the_noise_of_curves_that_cross_twice():
    noisy = [a_trial(1, 1.0, 2.0, 1.0, 1.9), a_trial(2, 1.1, 1.9, 1.2, 1.7)]  # better, worse, better, worse
    stopper = PASHA(ONE, eta=4)
    trials, now = noisy, [1.9, 1.7]
    assert stopper._noise(trials, now, 4) == pytest.approx(0.2)
    crossing_once = [a_trial(1, 1, 2, 3, 4), a_trial(2, 4, 3, 2, 1)]
    assert stopper._noise(crossing_once, [4, 1], 4) == 0.0
    # ε 0.2 covers the swap of 1.0 and 1.1, so the ranking counts as settled; with ε = 0 it does not
    third = a_trial(0, 5, 5, 5, 5)
    assert "settled at 4 steps" in stopper.decide(third, noisy).reason
    assert "settled" not in PASHA(ONE, eta=4, epsilon=0).decide(third, noisy).reason


def test_it_decides_as_asha_while_nothing_is_settled():
    rng, stops = random.Random(2), 0
    for _ in range(200):
        order = rng.sample(range(8), 8)
        peers = [a_trial(n + 1, n, 7 - n if n % 2 else n - 20) for n in order]
        mine = a_trial(0, rng.random() * 8, rng.random() * 30 - 20)
        decisions = [s.decide(mine, peers) for s in (PASHA(ONE, eta=2, epsilon=0), ASHA(ONE, eta=2))]
        if "settled" not in decisions[0].reason:
            assert decisions[0].verdict is decisions[1].verdict
            stops += decisions[0].verdict is Verdict.STOP
    assert stops > 20


def test_it_takes_fewer_steps_than_asha_and_keeps_the_winner():
    """Sixty curves side by side whose ranking is clear early: the same winner, for less."""
    rng = random.Random(3)
    levels = [rng.random() for _ in range(60)]
    spent = {}
    for kind in (ASHA, PASHA):
        stopper, curves, running = kind(ONE, max_steps=81), {n: [] for n in range(60)}, set(range(60))
        for step in range(1, 82):
            for number in sorted(running):
                curves[number].append(levels[number] + 1 / step)
            trials = [a_trial(number, *curve) for number, curve in curves.items()]
            for number in sorted(running):
                peers = [t for t in trials if t.number != number]
                if stopper.decide(trials[number], peers).verdict is Verdict.STOP:
                    running.discard(number)
        assert levels.index(min(levels)) in running
        spent[kind] = sum(map(len, curves.values()))
    assert spent[PASHA] < 0.8 * spent[ASHA], spent


@pytest.mark.parametrize("goal", Goal)
def test_nan_never_goes_on_and_counts_as_worst(goal):
    stopper = PASHA(Problem(space=Space(), metrics=(Metric(name="loss", goal=goal),)))
    nan = stopper.decide(a_trial(0, math.nan), [])
    assert nan.reason == "loss is NaN at step 1, and a trial without a number never goes on"
    peers = [a_trial(n, math.nan, math.nan, math.nan) for n in range(1, 4)]
    assert stopper.decide(a_trial(0, 1, 1, 1), peers).verdict is Verdict.CONTINUE


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"eta": 1}, "pasha has eta=1, not a number at least 2"),
        ({"min_steps": 0}, "pasha has min_steps=0, not a whole number of at least 1"),
        ({"epsilon": -1}, "pasha has epsilon=-1, not a number at least 0"),
        ({"min_steps": 9, "max_steps": 9}, "pasha has max_steps=9 and min_steps=9, so no rung lies between them"),
    ],
)
def test_a_bad_knob_says_what_it_wants(knobs, message):
    with pytest.raises(ConfigError) as caught:
        PASHA(ONE, **knobs)
    assert message in str(caught.value)
