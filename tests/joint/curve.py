"""A small problem that every method can train: a network on a noisy curve, in float64, in a few milliseconds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.sgd import SGD
from whet.joint.training import Training
from whet.space import Float, Int, Space

SPACE = Space(
    {
        "lr": Float(1e-4, 0.5, log=True),
        "momentum": Float(0, 0.95),
        "decay": Float(1e-6, 1.0, log=True),
        "width": Int(2, 8),
    }
)


def batches(seed: int, count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(16 * count, 1, generator=generator, dtype=torch.float64) * 4 - 2
    y = torch.sin(x) + 0.1 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    return list(zip(x.split(16), y.split(16), strict=True))


TRAIN, VAL = batches(0, 4), batches(1, 3)


def loss(model: Any, batch: Any, hyper: Any) -> Tensor:
    return ((model(batch[0]) - batch[1]) ** 2).mean()


def network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1)).double()


def problem(config: Any) -> Bilevel:
    update = SGD(lr="lr", momentum="momentum")
    return Bilevel(
        model=network(config["width"]), train_loss=loss, val_loss=loss, update=update, penalty=L2(strength="decay")
    )


def training(**given: Any) -> Training:
    return Training(**{"problem": problem, "train": TRAIN, "val": VAL, "steps": 40, **given})
