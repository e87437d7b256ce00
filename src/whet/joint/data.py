"""What a training does with its data besides training: the value of a model on all of the validation data, and random states."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.optimizers.loaders import random_state, set_random_state, to_device
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.tensors import Hyper

__all__ = ["evaluating", "kept_random", "mean_loss", "seeded"]


def mean_loss(problem: Bilevel, hyper: Hyper, data: Iterable[Any], device: torch.device | None = None) -> float:
    """Return the validation loss over all batches of `data`, each weighted by its number of examples.

    Raises:
        HypergradError: there is no batch.
    """
    weights = problem.weights()
    with torch.no_grad():
        losses = [(problem.val(weights, hyper, to_device(batch, device)), _size(batch)) for batch in data]
    if not losses:
        raise HypergradError(
            "the validation data has no batch",
            "is the loader empty, or a generator that has ended? it is gone through at every evaluation",
        )
    # Read at the end, lest each batch wait for the device.
    return sum(float(loss) * size for loss, size in losses) / sum(size for _, size in losses)


def _size(batch: Any) -> int:
    """Return the number of examples: the length of the first tensor in a batch, whatever it is nested in."""
    return next((len(tensor) for tensor in _tensors(batch) if tensor.dim()), 1)


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (list, tuple, Mapping)):
        for part in batch.values() if isinstance(batch, Mapping) else batch:
            yield from _tensors(part)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode, each of its modules back into its own mode at the end, and compute no gradients."""
    was = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in was:
            module.training = True


@contextlib.contextmanager
def kept_random() -> Iterator[None]:
    """Put the random state of torch, of Python and of NumPy back at the end."""
    before = random_state()
    try:
        yield
    finally:
        set_random_state(before)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch, Python and NumPy, and put their random state back at the end."""
    with contextlib.suppress(ImportError):
        import numpy as np
    with kept_random():
        torch.manual_seed(seed)
        random.seed(seed)
        if "numpy" in sys.modules:
            np.random.seed(seed % 2**32)
        yield
