"""The problems, in the form that every tool can be given: a module, cross-entropy, and a decay for each weight.

f(w, d) = cross-entropy of a training batch + ½ Σ d w², F(w) = cross-entropy of a validation batch; the hypergradient is dF/dd.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from experiments.data import fashion_mnist
from torch import Tensor, nn
from torch.nn import functional

from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.updates.sgd import SGD
from whet.testing.bilevel_problems import digits

__all__ = ["MODELS", "Batch", "Model", "Task", "batches_of", "digits_task", "image_task", "inner", "outer"]

Batch = tuple[Tensor, Tensor]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One bilevel problem.

    Args:
        model: Its weights are where the hypergradient is asked for, or where a run starts.
        decay: d, a tensor a weight in the order of ``model.parameters()``; or one scalar alone, for all of them.
        train: Training batches, one a step (implicit methods use the first).
        val: The validation batch.
        rate: The inner learning rate, which is α of Neumann's sum.
    """

    model: nn.Module
    decay: list[Tensor]
    train: Sequence[Batch]
    val: Batch
    rate: float

    @property
    def names(self) -> list[str]:
        """The weights' names."""
        return [n for n, _ in self.model.named_parameters()]

    @property
    def hyper(self) -> dict[str, Any]:
        """What Whet is given as hyperparameters."""
        if len(self.decay) == 1 and self.decay[0].dim() == 0:
            return {"decay": self.decay[0]}
        return {"decay": dict(zip(self.names, self.decay, strict=True))}

    def batches(self, steps: int = 1) -> Batches:
        """Return the data of a run of `steps` steps; training batches repeat."""
        return Batches(train=[self.train[i % len(self.train)] for i in range(steps)], val=self.val)

    def bilevel(self, **update: Any) -> Bilevel:
        """Return the problem in Whet's words, with further knobs of SGD."""
        return Bilevel(
            train_loss=_cross_entropy,
            val_loss=_cross_entropy,
            update=SGD(lr=self.rate, **update),
            penalty=L2(strength="decay"),
            model=self.model,
        )


def _cross_entropy(model: nn.Module, batch: Batch, _: Any) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def outer(model: Any, batch: Batch) -> Tensor:
    """Return F, in plain PyTorch."""
    return functional.cross_entropy(model(batch[0]), batch[1])


def inner(model: Any, weights: Iterable[Tensor], decay: Sequence[Tensor], batch: Batch) -> Tensor:
    """Return f, in plain PyTorch: what peers are given."""
    loss = functional.cross_entropy(model(batch[0]), batch[1])
    for weight, strength in zip(weights, decay if len(decay) > 1 else _forever(decay[0]), strict=False):
        loss = loss + 0.5 * (strength * weight * weight).sum()
    return loss


def _forever(value: Tensor) -> Iterable[Tensor]:
    while True:
        yield value


class _Logits(nn.Module):
    """x ↦ xW: the digits problem has its ones in the data."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(weight.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


def digits_task(decay: float, *, weights: Tensor, rate: float, scalar: bool = False, steps: int = 1) -> Task:
    """Return multinomial logistic regression on digits (see `whet.testing.bilevel_problems.digits`), in float64."""
    case = digits(decay)
    strength = torch.tensor(decay, dtype=weights.dtype) if scalar else case.hyper["decay"]["w"]  # type: ignore[index]
    return Task(
        model=_Logits(weights), decay=[strength], train=list(case.batches.train) * steps, val=case.batches.val, rate=rate
    )  # fmt: skip


def _mlp(*sizes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        layers += [nn.ReLU()] * (i > 0) + [nn.Linear(a, b)]
    return nn.Sequential(*layers)


def _cnn(*channels: int, hidden: int) -> nn.Module:
    a, b = channels
    return nn.Sequential(
        nn.Conv2d(1, a, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(b * 49, hidden), nn.ReLU(), nn.Linear(hidden, 10),
    )  # fmt: skip


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One network to measure on.

    Args:
        words: What it is.
        batch: Examples a batch.
        make: Makes it.
        loops_only: Whether only training loops are of interest: it is so small that the time is Python's.
        long: Steps of a long run.
        unroll_long: Whether long runs are unrolled.
    """

    words: str
    batch: int
    make: Callable[[], nn.Module]
    loops_only: bool = False
    long: int = 100
    unroll_long: bool = False


MODELS = {
    "mlp": Model(words="MLP 784-1024-1024-10", batch=64, make=lambda: _mlp(784, 1024, 1024, 10), unroll_long=True),
    "cnn": Model(words="CNN: conv 3×3 of 32 and 64 channels, pooled, then 128 and 10", batch=64, make=lambda: _cnn(32, 64, hidden=128)),
    "small": Model(words="MLP 784-50-10", batch=50, make=lambda: _mlp(784, 50, 10), loops_only=True),
    "mlp-quick": Model(words="MLP 784-128-128-10", batch=64, make=lambda: _mlp(784, 128, 128, 10), long=30, unroll_long=True),
    "cnn-quick": Model(words="CNN: conv 3×3 of 8 and 16 channels, pooled, then 32 and 10", batch=64, make=lambda: _cnn(8, 16, hidden=32), long=30),
}  # fmt: skip
"""The networks by name. The CNN is LeNet's plan with 0.42 million weights, since the published table names none."""


def batches_of(size: int, count: int, data: Path | None, device: torch.device) -> tuple[list[Batch], bool]:
    """Return `count` batches of Fashion-MNIST and whether they are real; random pixels where the data set is not there."""
    try:
        found = fashion_mnist(data, limit=size * count)
        x, y, real = found.train_images.float().div_(255), found.train_labels, True
    except FileNotFoundError:
        if data is not None:
            raise
        rng = torch.Generator().manual_seed(0)
        x, y, real = (
            torch.rand(size * count, 28, 28, generator=rng),
            torch.randint(10, (size * count,), generator=rng),
            False,
        )
    x, y = x.unsqueeze(1).to(device), y.to(device)
    return list(zip(x.split(size), y.split(size), strict=True)), real


def image_task(
    name: str, *, data: Path | None = None, scalar: bool = False, decay: float = 1e-4, device: str = "cpu"
) -> Task:
    """Return the task of a model of `MODELS`, with four training batches and one to validate, in float32."""
    torch.manual_seed(0)
    model = MODELS[name].make().to(device)
    batches, _ = batches_of(MODELS[name].batch, 5, data, torch.device(device))
    weights = list(model.parameters())
    strengths = [torch.tensor(decay, device=device)] if scalar else [torch.full_like(w, decay) for w in weights]
    return Task(model=model, decay=strengths, train=batches[:4], val=batches[4], rate=0.05)
