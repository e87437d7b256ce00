"""What the experiments on Fashion-MNIST share: the pixels as floats, splits, endless batches, networks, the full loss of a set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.data import fashion_mnist

__all__ = ["Batch", "Images", "batches", "cross_entropy", "evaluate", "mlp", "need", "parts"]

Batch = tuple[Tensor, Tensor]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Training examples (60,000, 784) and test examples (10,000, 784), each pixel with mean 0 and deviation 1 over the training set."""

    train: Batch
    test: Batch


def need(data_dir: str | Path | None) -> Images:
    """Return Fashion-MNIST, standardised pixel by pixel; end the program with a sentence where it is missing."""
    try:
        raw = fashion_mnist(data_dir)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from None
    train, test = (images.reshape(len(images), 784).float() for images in (raw.train_images, raw.test_images))
    mean, deviation = train.mean(0), train.std(0).clamp_min(1e-8)
    return Images(
        train=((train - mean) / deviation, raw.train_labels), test=((test - mean) / deviation, raw.test_labels)
    )


def parts(data: Batch, *sizes: int, seed: int) -> list[Batch]:
    """Return disjoint random parts of `data` of these sizes."""
    order = torch.randperm(len(data[1]), generator=torch.Generator().manual_seed(seed))
    return [(data[0][index], data[1][index]) for index in order[: sum(sizes)].split(list(sizes))]


def batches(data: Batch, size: int, *, seed: int) -> Iterator[Batch]:
    """Return batches without end: each epoch in a new random order, an incomplete last batch left out."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for index in torch.randperm(len(data[1]), generator=generator).split(size):
            if len(index) == size:
                yield data[0][index], data[1][index]


def mlp(*sizes: int, seed: int) -> nn.Sequential:
    """Return a network of linear layers and ReLUs in PyTorch's own initialisation."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def cross_entropy(model: Callable[[Tensor], Tensor], batch: Batch, hyper: Any = None) -> Tensor:
    """Return the mean cross-entropy of a batch."""
    return F.cross_entropy(model(batch[0]), batch[1])


@torch.no_grad()
def evaluate(model: Callable[[Tensor], Tensor], data: Batch) -> float:
    """Return the mean cross-entropy of a whole set."""
    return float(cross_entropy(model, data))
