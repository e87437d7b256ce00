from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.hypergrad.lively import lively, reverse
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from whet.errors import HypergradError
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tensors import leaves
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.base import State
from whet.hypergrad.updates.sgd import SGD
from whet.testing.hypergrad_laws import UnrolledLaws, distance


class TestDrMAD(UnrolledLaws):
    exact = False

    def make(self) -> DrMAD:
        return DrMAD()

    def ladder(self) -> list[DrMAD]:
        return [DrMAD(), DrMAD(pieces=4)]


def straight(steps: int, *, bent: bool = True) -> tuple[Bilevel, dict[str, Tensor], dict[str, Any], Batches, State]:
    """Return a run along a straight line in equal steps, although the loss is not linear: it has a valley, and the run its bottom."""
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    aim = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    def train(w: Any, _: Any, h: Any) -> Tensor:
        x = turn @ w["w"]
        wall = ((x[1:] - h["tilt"] * x[0] ** 2) ** 2).sum() if bent else h["tilt"] @ x[1:]
        return h["slope"] * x[0] + 0.7 * wall

    hyper = {
        "slope": torch.tensor(0.5, dtype=torch.float64),
        "tilt": torch.zeros(2, dtype=torch.float64),
        "lr": torch.tensor(0.2, dtype=torch.float64),
        "momentum": torch.tensor(0.6, dtype=torch.float64),
    }
    problem = Bilevel(
        train_loss=train,
        val_loss=lambda w, _, h: ((w["w"] - aim) ** 2).sum(),
        update=SGD(lr="lr", momentum="momentum", nesterov=True),
    )
    start = {"w": turn.T @ torch.tensor([0.3, 0.0, 0.0], dtype=torch.float64)}
    steady = turn.T @ torch.tensor([0.5 / (1 - 0.6), 0.0, 0.0], dtype=torch.float64)
    state = State(step=3, slots={"momentum_buffer": {"w": steady}})
    return problem, start, hyper, Batches(train=[None] * steps, val=None), state


@pytest.mark.parametrize("pieces", [1, 3])
def test_is_exact_on_a_straight_path(pieces: int) -> None:
    problem, start, hyper, batches, state = straight(7)
    found = DrMAD(pieces=pieces)(problem, start, hyper, batches, state=state)
    assert distance(found, reverse(problem, start, hyper, batches, state)) < 1e-10
    assert (found.spent.grads, found.spent.hvps, found.spent.steps) == (7 + 7 + 1, 7, 7)


def test_skipped_steps_count_in_full() -> None:
    """Exact for a linear loss: every step moves the hypergradient by as much as if none were skipped, and momentum fades in between."""
    problem, start, hyper, batches, state = straight(7, bent=False)
    found = DrMAD(skip=3)(problem, start, hyper, batches, state=state)
    assert distance(found, reverse(problem, start, hyper, batches, state)) < 1e-10
    assert (found.spent.grads, found.spent.hvps, found.spent.steps) == (7 + 3 + 1, 3, 7)


def test_skipping_is_a_small_error_where_training_is_slow() -> None:
    errors = []
    for lr in (0.02, 0.01, 0.005):
        problem, start, hyper, batches, state = straight(24)
        hyper["lr"].fill_(lr)
        truth = reverse(problem, start, hyper, batches, state)
        errors.append(distance(DrMAD(skip=4)(problem, start, hyper, batches, state=state), truth))
    assert errors[2] < errors[1] < errors[0] < 1e-3


@pytest.mark.parametrize("update", [
    SGD(lr="lr", momentum="momentum", weight_decay="wd", nesterov=True), Adam(lr="lr", beta1="momentum", weight_decay="wd"),
], ids=lambda u: type(u).__name__)  # fmt: skip
def test_as_many_pieces_as_steps_are_exact_with_batchnorm_and_dropout(update: Any) -> None:
    problem, hyper, batches = lively(update)
    weights = problem.weights()
    found = DrMAD(pieces=len(batches.train))(problem, weights, hyper, batches)
    assert distance(found, reverse(problem, weights, hyper, batches)) < 1e-10
    more = DrMAD(pieces=100)(problem, weights, hyper, batches)
    assert distance(more, leaves(found.grads)) < 1e-12


def test_learning_rates_see_the_whole_way_though_momentum_begins_at_zero() -> None:
    problem, start, hyper, batches, _ = straight(40, bent=False)
    truth = reverse(problem, start, hyper, batches)
    found = leaves(DrMAD()(problem, start, hyper, batches).grads)
    for path in (("lr",), ("slope",), ("tilt",)):
        torch.testing.assert_close(found[path], truth[path])


class Peak(TorchDispatchMode):
    """The greatest number of bytes in tensors that lived at once."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._live: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, Tensor):
                storage = t.untyped_storage()
                self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        if sum(n for _, n in self._live.values()) > self.bytes:
            self._live = {k: v for k, v in self._live.items() if not v[0].expired()}
            self.bytes = max(self.bytes, sum(n for _, n in self._live.values()))
        return out


def test_memory_does_not_depend_on_the_number_of_steps() -> None:
    def peak(steps: int, method: DrMAD) -> int:
        problem, hyper, batches = lively(steps=steps)
        with Peak() as counted:
            method(problem, problem.weights(), hyper, batches)
        return counted.bytes

    assert peak(12, DrMAD(pieces=2)) == peak(4, DrMAD(pieces=2))


def test_counts_are_at_least_one() -> None:
    for wrong in ({"skip": 0}, {"pieces": 0}):
        with pytest.raises(HypergradError, match="at least 1"):
            DrMAD(**wrong)
