"""HOAG where all does not go well: training that diverges, a loss of zero, and values beyond the usual box."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.optimizers.hoag import HOAG
from whet.hypergrad.optimizers.neumann import Neumann
from whet.hypergrad.penalties import L2

pytestmark = pytest.mark.filterwarnings("ignore::whet.hypergrad.optimizers.base.HypergradWarning")


def made(ridge: Any, decay: Hyperparameter, optimizer: Any = None, *, model: Any = None, **more: Any) -> HOAG:
    model = model or ridge.model()
    return HOAG(model, optimizer and optimizer(model.parameters()), train_loss=ridge.loss, val_loss=ridge.loss,
                hyper={"decay": decay}, penalty=L2(strength="decay"), **more)  # fmt: skip


OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_it_goes_on_after_training_diverged(ridge: Any, optimizer: Any) -> None:
    """Weights, statistics and the inner optimizer's memory are those of before."""
    model = nn.Sequential(ridge.model(), nn.BatchNorm1d(1).double())
    opt = made(ridge, Hyperparameter(0.1, transform="exp"), optimizer, model=model, max_inner=5, max_skipped=3)
    opt.step(ridge.train, ridge.val)
    before, value = {n: t.clone() for n, t in model.state_dict().items()}, opt._old["raws"][0].clone()  # type: ignore[index]
    nothing = ridge.train[0] * math.nan, ridge.train[1]
    for skipped in (1, 2):
        result = opt.step(nothing, ridge.val)
        assert "taken back" in " ".join(result.notes)
        assert opt.num_skipped == skipped
    assert torch.equal(opt._raws[0], value)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    result = opt.step(ridge.train, ridge.val)
    assert math.isfinite(result.hypergrad.loss)  # type: ignore[union-attr, arg-type]
    assert opt._in_row == 0
    opt.step(nothing, ridge.val)
    opt.step(nothing, ridge.val)
    with pytest.raises(HypergradError, match="3 hypergradients in a row"):
        opt.step(nothing, ridge.val)


def test_momentum_of_a_run_that_diverged_is_forgotten(ridge: Any) -> None:
    """The training loss is fine, a strength is too large for the learning rate."""
    opt = made(ridge, Hyperparameter(0.1, transform="exp"), OPTIMIZERS["momentum"])
    opt.step(ridge.train, ridge.val)
    before = copy.deepcopy(opt._inner.state_dict())
    opt.hyper["decay"].set(100.0)
    result = opt.step(ridge.train, ridge.val)
    assert "taken back" in result.notes[-1]
    assert opt.hyper["decay"].item() == pytest.approx(0.1)
    after = opt._inner.state_dict()
    assert torch.equal(after["state"][0]["momentum_buffer"], before["state"][0]["momentum_buffer"])
    result = opt.step(ridge.train, ridge.val)
    assert math.isfinite(result.hypergrad.loss)  # type: ignore[union-attr, arg-type]
    assert opt.num_hyper_steps == 2


def test_a_first_step_that_diverged_is_nothing_to_go_back_to(ridge: Any) -> None:
    opt = made(ridge, Hyperparameter(0.1, transform="exp"), OPTIMIZERS["momentum"], max_inner=50, max_skipped=2)
    nothing = ridge.train[0] * math.nan, ridge.train[1]
    result = opt.step(nothing, (ridge.val[0] * math.nan, ridge.val[1]))
    assert "after 1 gradients" in " ".join(result.notes)
    assert opt._old is None
    opt.step(ridge.train, ridge.val)
    assert opt._first_norm is not None
    assert math.isfinite(opt._first_norm)
    assert opt.num_hyper_steps == 1
    opt.step(nothing, ridge.val)
    with pytest.raises(HypergradError, match="2 hypergradients in a row"):
        opt.step(nothing, ridge.val)


def test_a_loss_that_stays_at_zero_is_no_harm(ridge: Any) -> None:
    def nothing(model: Any, batch: Any) -> Tensor:
        return 0.0 * ridge.loss(model, batch)

    model = ridge.model()
    opt = HOAG(model, train_loss=ridge.loss, val_loss=nothing, hyper={"decay": Hyperparameter(0.1, transform="exp")}, penalty=L2(strength="decay"))  # fmt: skip
    for _ in range(3):
        result = opt.step(ridge.train, ridge.val)
        assert not any("taken back" in note for note in result.notes)
    assert opt.num_hyper_steps == 3


@pytest.mark.parametrize(
    ("decay", "box", "ends"),
    [
        (Hyperparameter(1e-8, transform="log10"), None, (1e-8, 1e6)),  # the start, if it is beyond
        (Hyperparameter(1e-8, transform="log10", low=1e-9, high=1e-7), None, (1e-9, 1e-7)),
        (Hyperparameter(1e-8, transform="log10", low=1e-9), None, (1e-9, 1e6)),
        (Hyperparameter(0.1, transform="log10"), None, (1e-6, 1e6)),
        (Hyperparameter(0.1, transform="log10"), (-2.0, 1.0), (1e-2, 10.0)),
    ],
)
def test_the_box_is_for_those_without_limits_of_their_own(ridge: Any, decay: Hyperparameter, box: Any, ends: Any) -> None:  # fmt: skip
    opt = made(ridge, decay, box=box)
    opt._lipschitz = 1e-9
    for sign, end in zip((1.0, -1.0), ends, strict=True):
        opt._raws[0].grad = torch.full_like(opt._raws[0], sign)
        opt._outer_step()
        assert opt.hyper["decay"].item() == pytest.approx(end, rel=1e-6)


class Counting(nn.Module):
    """Has a buffer that it assigns anew at each call."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.count = self.count + 1
        return self.inside(x)  # type: ignore[no-any-return]


def test_buffers_that_a_module_assigns_are_kept(ridge: Any) -> None:
    model = Counting(ridge.model())
    neumann = Neumann(model, torch.optim.SGD(model.parameters(), lr=0.1), train_loss=ridge.loss, val_loss=ridge.loss, every=2,
                      hyper={"decay": Hyperparameter(0.1)}, penalty=L2(strength="decay"))  # fmt: skip
    for _ in range(6):
        neumann.step(ridge.train, ridge.val)
    assert model.count == 6
    model = Counting(ridge.model())
    hoag = made(ridge, Hyperparameter(0.1, transform="exp"), model=model)
    result = hoag.step(ridge.train, ridge.val)
    assert model.count >= result.hypergrad.spent.grads - 2 > 0  # type: ignore[union-attr]
