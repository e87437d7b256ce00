"""The benchmarks of costs and of endings count what they say."""

from __future__ import annotations

import random

import pytest
from benchmarks.search import cost, ending

from whet.config import Termination


@pytest.mark.parametrize("name", ["branin", "hartmann6", "network"])
def test_costs_vary_and_nothing_beats_the_best(name: str) -> None:
    usual, mean, low, high = cost.scale(name)
    assert high / low >= 10
    assert low < mean < high
    one, rng = cost.problem(name), random.Random(1)
    assert one.best - 1e-5 <= min(one.loss(one.space.sample(rng)) for _ in range(5000)) < usual


def test_what_is_spent_counts_up_to_the_trial_that_reaches_it_and_no_further_than_the_cap() -> None:
    usual, mean, _, _ = cost.scale("branin")
    best = cost.problem("branin").best
    near = [best + share * (usual - best) for share in (1.0, 0.05, 0.5, 0.005)]
    assert cost.spent_until("branin", zip(near, [mean] * 4, strict=True)) == pytest.approx([2.0, 4.0])
    assert cost.spent_until("branin", zip(near[:3], [mean] * 3, strict=True)) == pytest.approx([2.0, cost.CAP])
    late = [2 * cost.CAP * mean, mean, mean, mean]
    assert cost.spent_until("branin", zip(near, late, strict=True)) == [cost.CAP, cost.CAP]
    assert cost.spent_until("branin", iter([(near[0], 1e-9)])) == [cost.CAP, cost.CAP]  # cheap, but not there


def test_a_rule_ends_a_search_that_goes_on_to_be_compared() -> None:
    rules = {"large": Termination(expected_improvement=0.5), "none": Termination(no_improvement=99)}
    bests, ended, spread = ending.search("branin", 3, rules, count=24)
    assert len(bests) == 24
    assert bests == sorted(bests, reverse=True)
    assert ended["none"] == 24
    assert 20 <= ended["large"] < 24  # which is where it never ends
    assert spread > 0
