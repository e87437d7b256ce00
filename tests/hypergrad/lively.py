"""A small problem with all that makes training lively, BatchNorm, dropout and hyperparameters everywhere, and its derivative by plain autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from whet.hypergrad.base import kept_rng
from whet.hypergrad.penalties import L1, L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tensors import Hyper, Weights, leaves, unflatten
from whet.hypergrad.updates.base import State
from whet.hypergrad.updates.sgd import SGD

__all__ = ["lively", "reverse"]


class Net(nn.Module):
    """BatchNorm, dropout, and perhaps a function of the caller's in between."""

    def __init__(self, odd: Any = None) -> None:
        super().__init__()
        self.one, self.norm, self.two = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)
        self.odd = odd

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x)
        if self.odd is not None:
            h = self.odd(h)
        return self.two(functional.dropout(torch.tanh(self.norm(h)), 0.3, self.training))


def lively(update: Any = None, *, odd: Any = None, steps: int = 6) -> tuple[Bilevel, dict[str, Any], Batches]:
    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    model = Net(odd).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(normal(*parameter.shape))
    problem = Bilevel(
        train_loss=lambda m, b, h: (h["examples"] * ((m(b[0]) - b[1]) ** 2).sum(1)).mean(),
        val_loss=lambda m, b, h: ((m(b[0]) - b[1]) ** 2).mean() + 0.1 * h["tilt"],
        update=update or SGD(lr="lr", momentum="momentum", weight_decay="wd", nesterov=True),
        penalty=(L2(strength="decay"), L1(strength="sparsity", only=lambda n: n.endswith("weight"))),
        model=model,
    )
    hyper = {
        "examples": 0.5 + torch.rand(5, generator=rng, dtype=torch.float64),
        "lr": {n: torch.tensor(0.05 + 0.01 * i, dtype=torch.float64) for i, n in enumerate(problem.weights())},
        "momentum": torch.tensor(0.6, dtype=torch.float64),
        "wd": torch.tensor(0.02, dtype=torch.float64),
        "decay": torch.tensor(0.1, dtype=torch.float64),
        "sparsity": torch.tensor(0.03, dtype=torch.float64),
        "tilt": torch.tensor(2.0, dtype=torch.float64),
    }
    return problem, hyper, Batches(train=[(normal(5, 3), normal(5, 2)) for _ in range(steps)], val=(normal(7, 3), normal(7, 2)))  # fmt: skip


def reverse(problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, state: State | None = None) -> dict[tuple[str, ...], Tensor]:  # fmt: skip
    """Plain autograd through `problem.step`."""
    own = {path: t.detach().requires_grad_() for path, t in leaves(hyper).items()}
    state = problem.start(weights) if state is None else state
    with kept_rng(weights):
        now = {n: w.detach().clone() for n, w in weights.items()}
        for batch in batches.train:
            now, state = problem.step(now, unflatten(own), batch, state)
        loss = problem.val(now, unflatten(own), batches.val, dict(state.buffers))
    return dict(zip(own, torch.autograd.grad(loss, list(own.values())), strict=True))
