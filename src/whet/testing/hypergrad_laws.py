"""The laws of every hypergradient method, as pytest classes that a method's test inherits.

Inherit `ImplicitLaws` for a method that is given the solution, `UnrolledLaws` for one that is given where a run starts::

    class TestMine(ImplicitLaws):
        def make(self):
            return Mine()

        def ladder(self):          # for approximate methods: cheap to costly
            return [Mine(terms=3), Mine(terms=30), Mine(terms=3000)]

Truth is float64: central differences of the validation loss, and autograd through the closed form or the plain run. The problems
are those of `bilevel_problems`, drawn by hypothesis; hyperparameters are in the losses, penalties and (where it counts) the update.
"""

from __future__ import annotations

import copy
import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from whet.errors import HypergradError, MissingDependency
from whet.hypergrad.base import HyperGrad, Hypergradient
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tensors import Hyper, leaves
from whet.hypergrad.updates.sgd import SGD
from whet.testing import bilevel_problems as problems
from whet.testing.bilevel_problems import Case

try:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingDependency.of("hypothesis", "dev", "a conformance suite") from error

__all__ = ["HypergradientLaws", "ImplicitLaws", "UnrolledLaws", "distance"]

_SEEDS = st.integers(0, 2**31)


def distance(found: HyperGrad | Mapping[tuple[str, ...], Tensor], truth: Mapping[tuple[str, ...], Tensor]) -> float:
    """Return ‖found − truth‖/‖truth‖ over all hyperparameters."""
    flat = leaves(found.grads) if isinstance(found, HyperGrad) else found
    assert set(flat) == set(truth)
    wrong = torch.cat([(flat[p].to(t) - t).reshape(-1) for p, t in truth.items()]).norm()
    return float(wrong / torch.cat([t.reshape(-1) for t in truth.values()]).norm())


def _law(test: Any) -> Any:
    """Draw a seed for `test`."""
    kinds = [HealthCheck.differing_executors, HealthCheck.too_slow]
    quiet = settings(max_examples=3, deadline=None, suppress_health_check=kinds, derandomize=True, database=None)
    return quiet(given(seed=_SEEDS)(test))


class HypergradientLaws(ABC):
    """What both kinds share. Inherit `ImplicitLaws` or `UnrolledLaws`, and name the class ``Test…``."""

    exact: ClassVar[bool] = True
    """Whether the method is exact for these problems; else `ladder` says how it gets there, if it does."""
    tunes_update: ClassVar[bool] = False
    """Whether it differentiates hyperparameters of the update (learning rates, momentum, weight decay)."""
    accuracy: ClassVar[float] = 1e-9
    """Relative to the truth by autograd, for exact methods."""
    end: ClassVar[float] = 1e-6
    """The same for the last of the ladder."""
    cases: ClassVar[tuple[Callable[..., Case], ...]] = (problems.quadratic, problems.ridge, problems.logistic)
    """The problems, each a function of a seed."""

    @abstractmethod
    def make(self) -> Hypergradient:
        """Return the method."""

    def ladder(self) -> Sequence[Hypergradient]:
        """Return ever more costly versions of the method, the last as good as exact; none for one that has a bias."""
        return ()

    @abstractmethod
    def reached(self, case: Case, hyper: Hyper | None = None) -> dict[str, Tensor]:
        """Return the weights that the validation loss is looked at with, differentiable in the hyperparameters."""

    @abstractmethod
    def given(self, case: Case) -> tuple[dict[str, Tensor], Batches]:
        """Return the weights and batches that the method is given."""

    # -- helpers --------------------------------------------------------------------------------------------------------

    def drawn(self, seed: int) -> list[Case]:
        """Return the cases for a seed, with hyperparameters in the update where the method sees those."""
        made = [make(seed) for make in self.cases]
        if not self.tunes_update:
            return made
        knobs = problems.with_update_knobs
        return [knobs(c, per_weight=i % 2 == 1) if (seed + i) % 2 else c for i, c in enumerate(made)]

    def call(self, method: Hypergradient, case: Case, *, dtype: torch.dtype = torch.float64, **more: Any) -> HyperGrad:
        """Return what the method says of a case, whose tensors are given in `dtype`."""
        given = self.given(case)
        weights, batches = problems.cast(given[0], dtype), problems.cast(given[1], dtype)
        problem = case.problem
        if problem.model is not None and dtype != torch.float64:
            problem = replace(problem, model=copy.deepcopy(problem.model).to(dtype))
        return method(problem, weights, problems.cast(case.hyper, dtype), batches, **more)

    # -- truth ----------------------------------------------------------------------------------------------------------

    @_law
    def test_exact_methods_agree_with_central_differences(self, seed: int) -> None:
        """Along random directions in the space of hyperparameters, to 1e-6."""
        if not self.exact:
            pytest.skip("this method is not exact")
        for case in self.drawn(seed):
            found = leaves(self.call(self.make(), case).grads)
            rng = torch.Generator().manual_seed(seed)
            way = {p: torch.randn(t.shape, generator=rng, dtype=t.dtype) for p, t in found.items()}
            slope = sum(float((found[p] * way[p]).sum()) for p in found)
            wanted = case.central(lambda h, c=case: self.reached(c, h), way)  # type: ignore[misc]
            size = max(sum(float((found[p] ** 2).sum()) for p in found) ** 0.5, 1e-3)
            assert abs(slope - wanted) <= 1e-6 * size * max(1.0, sum(float((t**2).sum()) for t in way.values()) ** 0.5)

    @_law
    def test_exact_methods_agree_with_the_closed_form(self, seed: int) -> None:
        """Derivative by derivative, with autograd through the closed form (or the plain run); the loss and weights too."""
        if not self.exact:
            pytest.skip("this method is not exact")
        for case in self.drawn(seed):
            found = self.call(self.make(), case)
            assert distance(found, case.differentiated(lambda h, c=case: self.reached(c, h))) < self.accuracy  # type: ignore[misc]
            end = self.reached(case)
            torch.testing.assert_close(found.loss, case.outer(end).detach())
            for name, weight in (found.weights or {}).items():
                torch.testing.assert_close(weight, end[name].detach())

    @_law
    def test_tends_to_the_exact_one_as_terms_grow(self, seed: int) -> None:
        """Each rung of the ladder is nearer the truth than the one before, and the last is there."""
        if not self.ladder():
            pytest.skip("this method has no ladder")
        for case in self.drawn(seed):
            truth = case.differentiated(lambda h, c=case: self.reached(c, h))  # type: ignore[misc]
            errors = [distance(self.call(method, case), truth) for method in self.ladder()]
            assert errors[-1] < self.end
            assert all(b < a or b < self.end for a, b in itertools.pairwise(errors)), errors

    # -- what comes back ------------------------------------------------------------------------------------------------

    @_law
    def test_results_have_the_form_of_the_hyperparameters(self, seed: int) -> None:
        """Structure, shapes and dtypes are theirs, nothing has a graph, and what was spent is said."""
        for i, case in enumerate(self.drawn(seed)):
            for dtype in (torch.float64, torch.float32):
                found = self.call(self.make(), case, dtype=dtype, count_flops=i == 0)
                assert list(found.grads) == list(case.hyper)
                flat = leaves(found.grads)
                assert list(flat) == list(leaves(case.hyper))
                for path, value in leaves(case.hyper).items():
                    assert flat[path].shape == value.shape
                    assert flat[path].dtype == dtype
                    assert not flat[path].requires_grad
                assert found.loss.shape == ()
                assert not found.loss.requires_grad
                assert found.finite
                assert (found.spent.gflop is None) == (i > 0)
                assert found.spent.grads + found.spent.hvps + found.spent.steps > 0

    @_law
    def test_single_precision_is_near_double(self, seed: int) -> None:
        """To a few digits, on well-conditioned problems."""
        for case in self.drawn(seed):
            wanted = leaves(self.call(self.make(), case).grads)
            found = self.call(self.make(), case, dtype=torch.float32)
            assert distance(found, wanted) < 2e-3

    def test_a_call_within_no_grad_is_the_same(self) -> None:
        """The method turns gradients on for itself."""
        case = self.drawn(3)[0]
        wanted = leaves(self.call(self.make(), case).grads)
        with torch.no_grad():
            assert distance(self.call(self.make(), case), wanted) < 1e-12

    def test_tensors_with_a_graph_of_their_own_are_taken_as_values(self) -> None:
        """Weights and hyperparameters that require a gradient get none, and no graph is followed out of the call."""
        case = self.drawn(4)[0]
        weights, batches = self.given(case)
        wanted = leaves(self.call(self.make(), case).grads)
        root = torch.ones((), dtype=torch.float64, requires_grad=True)
        odd = {n: (root * w).requires_grad_() for n, w in weights.items()}
        hyper: Any = {
            k: {n: root * t for n, t in v.items()} if isinstance(v, Mapping) else root * v
            for k, v in case.hyper.items()
        }
        found = self.make()(case.problem, odd, hyper, batches)
        assert distance(found, wanted) < 1e-12
        assert root.grad is None

    def test_data_that_are_not_numbers_give_a_result_that_says_so(self) -> None:
        """No exception and no endless loop: `finite` is False."""
        case = problems.logistic(5)
        weights, batches = self.given(case)

        def spoilt(batch: Any) -> Any:
            return batch[0] * float("nan"), batch[1]

        bad = replace(batches, val=spoilt(batches.val))
        assert not self.make()(case.problem, weights, case.hyper, bad).finite
        bad = replace(batches, train=[spoilt(b) for b in batches.train])
        assert not self.make()(case.problem, weights, case.hyper, bad).finite

    def test_a_hyperparameter_that_reaches_nothing_is_an_error_by_name(self) -> None:
        """The commonest mistake, a value read elsewhere, must not become a zero."""
        case = self.drawn(6)[0]
        weights, batches = self.given(case)
        with pytest.raises(HypergradError, match="'lost' does not reach") as caught:
            self.make()(case.problem, weights, {**case.hyper, "lost": torch.zeros((), dtype=torch.float64)}, batches)
        assert caught.value.fix

    # -- what is left as it was -----------------------------------------------------------------------------------------

    def test_the_model_and_all_that_is_given_are_as_before(self) -> None:
        """Weights, BatchNorm's statistics, training flags, `.grad`, random state, hooks, and every tensor that was passed in."""
        problem, hyper, batches = _touchy(update=self.tunes_update)
        model = problem.model
        assert model is not None
        weights = problem.weights()
        state = problem.start(weights)
        things = [*model.state_dict().values(), *weights.values(), *leaves(hyper).values(), *state.tensors(),
                  *state.buffers.values(), *(t for b in [*batches.train, batches.val] for t in b)]  # fmt: skip
        grads = {n: p.grad for n, p in model.named_parameters()}
        before = [t.clone() for t in things] + [g.clone() for g in grads.values() if g is not None]
        flags = [m.training for m in model.modules()]
        wants = [p.requires_grad for p in model.parameters()]
        random = torch.get_rng_state()
        found = self.make()(problem, weights, hyper, batches, state=state)
        self.make()(problem, weights, hyper, batches, state=state, warm=found.solution)
        assert torch.equal(torch.get_rng_state(), random)
        assert [m.training for m in model.modules()] == flags
        assert [p.requires_grad for p in model.parameters()] == wants
        for name, parameter in model.named_parameters():
            assert parameter.grad is grads[name]
        after = things + [g for g in grads.values() if g is not None]
        for was, now in zip(before, after, strict=True):
            assert torch.equal(was, now)
            assert not now.requires_grad or now.is_leaf

    def test_what_comes_back_shares_no_memory_with_what_was_given(self) -> None:
        """So that changing the one in place never changes the other."""
        problem, hyper, batches = _touchy(update=self.tunes_update)
        weights = problem.weights()
        state = problem.start(weights)
        found = self.make()(problem, weights, hyper, batches, state=state)
        assert problem.model is not None
        given = [
            *problem.model.state_dict().values(),
            *leaves(hyper).values(),
            *state.tensors(),
            *state.buffers.values(),
        ]
        back = [*leaves(found.grads).values(), *(found.solution or {}).values(), *(found.weights or {}).values()]
        if found.state is not None:
            back += [*found.state.tensors(), *found.state.buffers.values()]
        assert not {t.data_ptr() for t in given} & {t.data_ptr() for t in back if t.numel()}

    def test_the_same_random_state_gives_the_same_result(self) -> None:
        """With dropout in the training loss; another random state gives another result."""
        problem, hyper, batches = _touchy(update=self.tunes_update)
        weights = problem.weights()
        torch.manual_seed(1)
        first = leaves(self.make()(problem, weights, hyper, batches).grads)
        again = leaves(self.make()(problem, weights, hyper, batches).grads)
        torch.manual_seed(2)
        other = leaves(self.make()(problem, weights, hyper, batches).grads)
        assert all(torch.equal(first[p], again[p]) for p in first)
        assert not all(torch.equal(first[p], other[p]) for p in first)

    def test_frozen_and_tied_weights_are_left_out_and_counted_once(self) -> None:
        """A tied weight has one name and the sum of its gradients; a frozen one is a constant."""
        case = _tied()
        assert set(case.start) == {"0.weight", "2.bias"}
        found = self.call(self.make(), case)
        if self.exact:
            truth = case.differentiated(lambda h: self.reached(case, h))
            assert distance(found, truth) < self.accuracy
        assert found.finite


class ImplicitLaws(HypergradientLaws):
    """For methods that are given the solution w*(λ) and one training batch."""

    def reached(self, case: Case, hyper: Hyper | None = None) -> dict[str, Tensor]:
        """Return w*(λ)."""
        return case.solved(hyper)

    def given(self, case: Case) -> tuple[dict[str, Tensor], Batches]:
        """Return w* and the first training batch."""
        weights = {n: t.clone() for n, t in _solution(case).items()}
        return weights, replace(case.batches, train=case.batches.train[:1])


class UnrolledLaws(HypergradientLaws):
    """For methods that are given where a run starts, and one training batch a step."""

    tunes_update: ClassVar[bool] = True
    cases: ClassVar[tuple[Callable[..., Case], ...]] = (
        problems.quadratic, problems.ridge, problems.logistic, problems.network,
    )  # fmt: skip

    def reached(self, case: Case, hyper: Hyper | None = None) -> dict[str, Tensor]:
        """Return the weights after all steps."""
        return case.ran(hyper)

    def given(self, case: Case) -> tuple[dict[str, Tensor], Batches]:
        """Return the starting weights and all batches."""
        return case.start, case.batches

    def test_starts_from_the_state_that_is_given(self) -> None:
        """A run in two halves ends where one run does; the later half's state is the earlier half's result."""
        case = next(c for c in self.drawn(7) if "momentum" in c.hyper or not self.tunes_update)
        method = self.make()
        whole = method(case.problem, case.start, case.hyper, case.batches)
        if whole.weights is None or whole.state is None:
            pytest.skip("this method does not say where the run ended")
        half = len(case.batches.train) // 2
        first = method(case.problem, case.start, case.hyper, replace(case.batches, train=case.batches.train[:half]))
        assert first.weights is not None
        rest = replace(case.batches, train=case.batches.train[half:])
        second = method(case.problem, first.weights, case.hyper, rest, state=first.state)
        assert second.weights is not None
        assert second.state is not None
        assert second.state.step == whole.state.step == len(case.batches.train)
        for name, weight in whole.weights.items():
            torch.testing.assert_close(second.weights[name], weight, rtol=1e-12, atol=1e-12)


@functools.lru_cache(maxsize=8)
def _solution(case: Case) -> dict[str, Tensor]:
    return {n: t.detach() for n, t in case.solved().items()}


def _touchy(*, update: bool) -> tuple[Bilevel, dict[str, Tensor | dict[str, Tensor]], Batches]:
    """Return a problem whose model has all that a call may disturb: BatchNorm, dropout, frozen parts, mixed flags, old gradients."""
    rng = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 2), nn.Dropout(0.3)
        )
    model[5].eval()
    model[0].bias.requires_grad_(False)
    model[0].weight.grad = torch.ones(5, 4)

    def error(m: nn.Module, batch: Any, hyper: Any) -> Tensor:
        return functional.mse_loss(m(batch[0]), batch[1])

    def batch() -> tuple[Tensor, Tensor]:
        return torch.randn(6, 4, generator=rng), torch.randn(6, 2, generator=rng)

    problem = Bilevel(
        train_loss=lambda m, b, hyper: hyper["gain"] * error(m, b, hyper),
        val_loss=error,
        update=SGD(lr="lr", momentum=0.9) if update else SGD(lr=0.1, momentum=0.9),
        penalty=L2(strength="decay"),
        model=model,
    )
    hyper: dict[str, Tensor | dict[str, Tensor]] = {
        "gain": torch.tensor(1.5),
        "decay": {n: torch.full_like(w, 0.1) for n, w in problem.weights().items()},
    }
    if update:
        hyper["lr"] = torch.tensor(0.1)
    return problem, hyper, Batches(train=[batch() for _ in range(3)], val=batch())


def _tied() -> Case:
    """Return a case whose model uses one weight twice and has frozen ones; convex enough to solve."""
    case = problems.network(1)
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3)).to(torch.float64)
    model[2].weight = model[0].weight
    model.register_parameter("frozen", nn.Parameter(torch.ones(3, dtype=torch.float64), requires_grad=False))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.linspace(-0.5, 0.5, parameter.numel(), dtype=torch.float64).reshape(parameter.shape))

    def error(m: Any, batch: Any, hyper: Any) -> Tensor:
        return ((m(batch[0]) * m.frozen - batch[1][:, None]) ** 2).mean()

    problem = replace(case.problem, model=model, train_loss=error, val_loss=error, penalty=L2(strength="decay"))
    return replace(
        case, problem=problem, start=problem.weights(), hyper={"decay": torch.tensor(1.0, dtype=torch.float64)}
    )
