from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hypergrad.lively import lively, reverse

from whet.errors import HypergradError
from whet.hypergrad.reversible import Reversible, _Lost, _rational, _Run
from whet.hypergrad.tensors import Weights
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.sgd import SGD
from whet.testing import bilevel_problems as problems
from whet.testing.bilevel_problems import Case
from whet.testing.hypergrad_laws import UnrolledLaws, distance
from whet.testing.hypergrad_laws import _tied as tied


class TestReversible(UnrolledLaws):
    tunes_update = True
    accuracy = 1e-7

    def make(self) -> Reversible:
        return Reversible()

    def drawn(self, seed: int) -> list[Case]:
        return [problems.with_update_knobs(make(seed), per_weight=i % 2 == 1) for i, make in enumerate(self.cases)]

    def test_data_that_are_not_numbers_give_a_result_that_says_so(self) -> None:
        case = problems.with_update_knobs(problems.logistic(5))
        x, y = case.batches.val
        bad = replace(case.batches, val=(x * math.nan, y))
        assert not self.make()(case.problem, case.start, case.hyper, bad).finite
        bad = replace(case.batches, train=[(x * math.nan, y)] * 3)
        assert not self.make()(case.problem, case.start, case.hyper, bad).finite

    def test_frozen_and_tied_weights_are_left_out_and_counted_once(self) -> None:
        case = problems.with_update_knobs(tied())
        truth = case.differentiated(lambda h: self.reached(case, h))
        assert distance(self.call(self.make(), case), truth) < self.accuracy


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**31),
    ratio=st.fractions(min_value=Fraction(1, 100), max_value=Fraction(4095, 4096), max_denominator=4096),
)
def test_a_product_is_undone_to_the_bit_and_is_the_product_but_for_the_last_bits(seed: int, ratio: Fraction) -> None:
    rng = torch.Generator().manual_seed(seed)
    v = torch.randint(-(2**50), 2**50, (7, 3), generator=rng)
    lost, seen, added = _Lost(v, ratio), [], []
    for _ in range(60):
        seen.append(v.clone())
        exact = [ratio * int(x) for x in v.reshape(-1)]
        lost.times_(v)
        assert all(abs(int(x) - e) <= ratio.numerator for x, e in zip(v.reshape(-1), exact, strict=True))
        added.append(torch.randint(-(2**50), 2**50, (7, 3), generator=rng))
        v.add_(added[-1])
    held = lost.nbytes / v.numel()
    assert held <= 8 + 60 * -math.log2(ratio) / 8 + 4  # log2(1/μ) bits a step, in words of 32 bits, above a top of 64
    while seen:
        v.sub_(added.pop())
        lost.over_(v)
        assert torch.equal(v, seen.pop())
    assert not lost._top.any()
    assert not lost._words


@pytest.mark.parametrize("knobs", [
    {"dampening": 0.2}, {"maximize": True, "lr": 1e-3}, {"momentum": 0.97, "weight_decay": 0.0},
], ids=str)  # fmt: skip
def test_equals_reverse_unrolling(knobs: dict[str, Any]) -> None:
    update = SGD(**{"lr": "lr", "momentum": "momentum", "weight_decay": "wd", **knobs})
    problem, hyper, batches = lively(update)
    hyper = {k: v for k, v in hyper.items() if k not in {"lr", "momentum", "wd"} - update.hyper_names}
    weights = problem.weights()
    found = Reversible()(problem, weights, hyper, batches)
    assert distance(found, reverse(problem, weights, hyper, batches)) < 1e-8
    assert (found.spent.grads, found.spent.hvps, found.spent.steps) == (13, 6, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_hundred_steps_are_undone_to_the_bit_in_a_fraction_of_the_memory(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    weights = {"a": torch.randn(30, 20, dtype=dtype), "b": torch.randn((), dtype=dtype)}
    hyper = {"lr": torch.full((30, 20), 0.3, dtype=dtype), "m": torch.tensor(0.9, dtype=dtype)}
    knob = {"lr": {"a": hyper["lr"], "b": torch.tensor(0.1, dtype=dtype)}, "m": hyper["m"]}
    update, near, ratios = _rational(SGD(lr="lr", momentum="m", weight_decay=0.01), weights, knob)
    assert set(ratios.values()) == {Fraction(9, 10)}
    run, seen = _Run(update, weights, near, SGD(momentum="m").init(weights), ratios, 40), []

    def gradient(w: Weights) -> Weights:
        return {n: torch.sin(3 * t) for n, t in w.items()}

    for _ in range(200):
        w = run.weights()
        seen.append((w, run.momenta()))
        run.step(w, gradient(w))
    assert run.in_range()
    held = sum(lost.nbytes for lost in run.lost.values())
    states = sum(t.numel() * t.element_size() for pair in seen for group in pair for t in group.values())
    assert held * 100 < states * (2 if dtype == torch.float32 else 1)
    for before, momenta in reversed(seen):
        run.unmove()
        w = run.weights()
        run.unturn(w, gradient(w))
        assert all(torch.equal(w[n], before[n]) for n in w)
        assert all(torch.equal(m, momenta[n]) for n, m in run.momenta().items())
    run.check()


def test_equals_plain_unrolling_over_two_hundred_steps() -> None:
    case = problems.with_update_knobs(problems.logistic(2, steps=1))
    case = replace(case, batches=replace(case.batches, train=list(case.batches.train) * 200))
    case.hyper["momentum"] = torch.tensor(0.87654321, dtype=torch.float64)
    found = Reversible()(case.problem, case.start, case.hyper, case.batches)
    assert distance(found, case.differentiated(case.ran)) < 1e-6


def test_a_gradient_that_is_not_the_same_twice_is_noticed() -> None:
    problem, hyper, batches = lively(SGD(lr="lr", momentum="momentum", weight_decay="wd"))
    count = iter(range(1000))
    other = replace(problem, train_loss=lambda *a: problem.train_loss(*a) * (1 + 1e-9 * next(count)))
    with pytest.raises(HypergradError, match="not the same to the bit"):
        Reversible()(other, other.weights(), hyper, batches)


def test_numbers_that_do_not_fit_are_an_error_and_fewer_bits_help() -> None:
    case = problems.with_update_knobs(problems.quadratic(3))
    start = {n: w * 1e7 for n, w in case.start.items()}
    with pytest.raises(HypergradError, match=r"holds numbers below 4.19e\+06.*fewer bits"):
        Reversible()(case.problem, start, case.hyper, case.batches)
    case = replace(case, start=start)
    assert (
        distance(Reversible(bits=30)(case.problem, start, case.hyper, case.batches), case.differentiated(case.ran))
        < 1e-6
    )


@pytest.mark.parametrize(("update", "word"), [
    (Adam(lr="lr"), "Adam"), (SGD(lr="lr"), "without momentum"), (SGD(lr="lr", momentum=0.9, nesterov=True), "Nesterov"),
    (SGD(lr="lr", momentum=1.0), "is 1"), (SGD(lr="lr", momentum=1e-5), "is 1e-05"), (SGD(lr="lr", momentum="all"), "shape"),
])  # fmt: skip
def test_updates_that_cannot_be_run_backward_are_refused(update: Any, word: str) -> None:
    case = problems.quadratic()
    hyper = {"lr": torch.tensor(0.1), "all": {n: torch.full_like(w, 0.5) for n, w in case.start.items()}}
    with pytest.raises(HypergradError, match=word) as caught:
        Reversible()(replace(case.problem, update=update), case.start, {**case.hyper, **hyper}, case.batches)
    assert caught.value.fix


def test_bits_are_within_limits() -> None:
    for bits in (7, 53):
        with pytest.raises(HypergradError, match="8 to 52"):
            Reversible(bits=bits)
