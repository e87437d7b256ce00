from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from whet.hypergrad.base import Hypergradient
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.forward import Forward
from whet.hypergrad.implicit import Implicit
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.reversible import Reversible
from whet.hypergrad.tensors import leaves
from whet.hypergrad.updates.sgd import SGD


@pytest.mark.parametrize("method", [Implicit(system="update"), Forward(), DrMAD(), Reversible()], ids=lambda m: type(m).__name__)  # fmt: skip
@pytest.mark.parametrize("shape", [(), (3, 1), (3, 2)])
def test_derivatives_have_the_precision_of_their_hyperparameters(method: Hypergradient, shape: tuple[int, ...]) -> None:
    problem = Bilevel(
        train_loss=lambda w, _, h: (w["w"] ** 2).sum(),
        val_loss=lambda w, _, h: (w["w"] ** 3).sum(),
        penalty=L2(strength="decay"),
        update=SGD(lr="lr", momentum=0.5),
    )
    hyper = {"decay": torch.full(shape, 0.1, dtype=torch.float64), "lr": torch.full((), 0.1, dtype=torch.float64)}
    found = method(problem, {"w": torch.ones(3, 2)}, hyper, Batches(train=[None, None], val=None))
    assert {p: (t.dtype, t.shape) for p, t in leaves(found.grads).items()} == {p: (t.dtype, t.shape) for p, t in leaves(hyper).items()}  # fmt: skip
    assert found.solution is None or found.solution["w"].dtype == torch.float32


class Writing(nn.Module):
    """Writes into its buffer what depends on its weights, and forgets `no_grad`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.mul_(0.9).add_(0.1 * (x * self.scale).mean(0))
        return ((x * self.scale) ** 2).mean()


@pytest.mark.parametrize("method", [Forward(), DrMAD(), Reversible()], ids=lambda m: type(m).__name__)
def test_buffers_carry_no_graph_from_step_to_step(method: Hypergradient) -> None:
    def loss(model: nn.Module, x: Tensor, hyper: object) -> Tensor:
        return model(x)

    problem = Bilevel(train_loss=loss, val_loss=loss, model=Writing(), update=SGD(lr="lr", momentum=0.5))
    batches = Batches(train=[torch.ones(2, 3)] * 3, val=torch.ones(2, 3))
    found = method(problem, problem.weights(), {"lr": torch.tensor(0.1)}, batches)
    assert found.state is not None
    assert not found.state.buffers["mean"].requires_grad
    assert found.state.buffers["mean"].all()


def test_recurrent_layers_are_kept_from_cudnn() -> None:
    """It differentiates them neither twice, nor once in eval mode, which is what the validation loss is looked at in."""
    seen = []

    def loss(model: nn.Module, x: Tensor, hyper: object) -> Tensor:
        seen.append(torch.backends.cudnn.enabled)
        return model(x)[0].mean()

    was = torch.backends.cudnn.enabled
    problem = Bilevel(train_loss=loss, val_loss=loss, model=nn.GRU(2, 2))
    problem.train(problem.weights(), {}, torch.ones(3, 1, 2))
    problem.val(problem.weights(), {}, torch.ones(3, 1, 2))
    assert seen == [False, False]
    assert torch.backends.cudnn.enabled == was
