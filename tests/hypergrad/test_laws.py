"""The laws hold for a method that is right by construction, and each catches the mistake that it is there for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import pytest
import torch

from whet.hypergrad.base import HyperGrad, Hypergradient, finished
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.linear import Meter
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.solve.dense import Dense
from whet.hypergrad.tensors import Hyper, Weights, leaves, unflatten
from whet.hypergrad.updates.base import State
from whet.testing.hypergrad_laws import ImplicitLaws, UnrolledLaws


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plain(Hypergradient):
    """Backpropagation through the whole run, as one would write it down."""

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        meter = Meter(grads=1)
        own = {path: t.detach().requires_grad_() for path, t in leaves(hyper).items()}
        with torch.enable_grad():
            now = {n: t.detach().requires_grad_() for n, t in weights.items()}
            for batch in batches.train:
                buffers = {n: t.clone() for n, t in state.buffers.items()}
                loss = problem.inner(now, unflatten(own), batch, buffers)
                grads = torch.autograd.grad(loss, list(now.values()), create_graph=True)
                now, state = problem.update(now, dict(zip(now, grads, strict=True)), replace(state, buffers=buffers), unflatten(own))  # fmt: skip
            loss = problem.val(now, unflatten(own), batches.val, {n: t.clone() for n, t in state.buffers.items()})
            got = torch.autograd.grad(loss, list(own.values()), allow_unused=True)
        found = {path: g for path, g in zip(own, got, strict=True) if g is not None}
        return finished(
            hyper, found, what="the training loss or the update", loss=loss.detach(), meter=meter,
            weights={n: t.detach() for n, t in now.items()}, state=state.detached(),
        )  # fmt: skip


class TestPlain(UnrolledLaws):
    def make(self) -> Hypergradient:
        return Plain()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Spoilt(Hypergradient):
    """A method that is right but for one thing."""

    method: Hypergradient
    harm: Callable[[Bilevel, Weights, HyperGrad], HyperGrad]

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        return self.harm(
            problem, weights, self.method._compute(problem, weights, hyper, batches, state=state, warm=warm)
        )


def off(problem: Bilevel, weights: Weights, found: HyperGrad) -> HyperGrad:
    first, *rest = leaves(found.grads).items()
    return replace(found, grads=unflatten({first[0]: first[1] * 1.0001, **dict(rest)}))


def moves(problem: Bilevel, weights: Weights, found: HyperGrad) -> HyperGrad:
    next(iter(weights.values())).add_(1e-3)
    return found


def trains(problem: Bilevel, weights: Weights, found: HyperGrad) -> HyperGrad:
    if problem.model is not None:
        problem.model.train()
    return found


def leaves_gradients(problem: Bilevel, weights: Weights, found: HyperGrad) -> HyperGrad:
    if problem.model is not None:
        for parameter in problem.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
    return found


def flattens(problem: Bilevel, weights: Weights, found: HyperGrad) -> HyperGrad:
    return replace(found, grads=unflatten({p: t.reshape(-1) for p, t in leaves(found.grads).items()}))


def keeps_graph(problem: Bilevel, weights: Weights, found: HyperGrad) -> HyperGrad:
    return replace(found, loss=found.loss.clone().requires_grad_())


def hides_nan(problem: Bilevel, weights: Weights, found: HyperGrad) -> HyperGrad:
    clean = unflatten({p: torch.nan_to_num(t) for p, t in leaves(found.grads).items()})
    return replace(found, loss=torch.nan_to_num(found.loss), grads=clean)


def shares(problem: Bilevel, weights: Weights, found: HyperGrad) -> HyperGrad:
    return replace(found, solution=dict(weights))


class Broken(ImplicitLaws):
    harm: Any = None

    def make(self) -> Hypergradient:
        return Spoilt(method=Implicit(solve=Dense()), harm=type(self).harm)


BROKEN: list[tuple[Any, str]] = [
    (off, "test_exact_methods_agree_with_central_differences"),
    (off, "test_exact_methods_agree_with_the_closed_form"),
    (flattens, "test_results_have_the_form_of_the_hyperparameters"),
    (keeps_graph, "test_results_have_the_form_of_the_hyperparameters"),
    (hides_nan, "test_data_that_are_not_numbers_give_a_result_that_says_so"),
    (moves, "test_the_model_and_all_that_is_given_are_as_before"),
    (trains, "test_the_model_and_all_that_is_given_are_as_before"),
    (leaves_gradients, "test_the_model_and_all_that_is_given_are_as_before"),
    (shares, "test_what_comes_back_shares_no_memory_with_what_was_given"),
]


@pytest.mark.parametrize(("harm", "law"), BROKEN, ids=[f"{h.__name__}-{law}" for h, law in BROKEN])
def test_a_broken_method_is_caught(harm: Any, law: str) -> None:
    suite = type("Case", (Broken,), {"harm": staticmethod(harm)})()
    test = getattr(suite, law)
    with pytest.raises(AssertionError):
        test.hypothesis.inner_test(suite, seed=1) if hasattr(test, "hypothesis") else test()  # without shrinking


def test_an_unreached_hyperparameter_that_becomes_zero_is_caught() -> None:
    class Zero(Broken):
        def make(self) -> Hypergradient:
            return _Zeros()

    with pytest.raises(pytest.fail.Exception):
        Zero().test_a_hyperparameter_that_reaches_nothing_is_an_error_by_name()


class _Zeros(Hypergradient):
    def _compute(self, problem: Any, weights: Any, hyper: Any, batches: Any, *, state: Any, warm: Any) -> HyperGrad:
        return HyperGrad(
            loss=torch.zeros(()), grads=unflatten({p: torch.zeros_like(t) for p, t in leaves(hyper).items()})
        )


def test_a_ladder_that_does_not_climb_is_caught() -> None:
    class Flat(Broken):
        def ladder(self) -> list[Hypergradient]:
            return [Implicit(solve=Dense()), Spoilt(method=Implicit(solve=Dense()), harm=off)]

    with pytest.raises(AssertionError):
        Flat.test_tends_to_the_exact_one_as_terms_grow.hypothesis.inner_test(Flat(), seed=1)
