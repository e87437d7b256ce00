"""Regularisers that are random or discrete, made differentiable in their strength, so that a gradient can tune it.

Every strength is a number, a tensor or a `Hyperparameter`. Use them in the training loss (or in the model): a hypergradient reaches
their strengths through it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from whet.errors import HypergradError
from whet.hypergrad.operators import TensorLike

__all__ = ["augment", "dropout", "gaussian_dropout", "label_smoothing", "weighted"]

_LEAST = 1e-6
"""How near a probability comes to 0 and 1, where its logarithm and its square root have no derivative; to 1, as near as its dtype has it."""


def dropout(x: Tensor, p: Any, training: bool = True, *, temperature: float = 0.1) -> Tensor:
    """Drop each element with probability about p, by a steep sigmoid instead of a step: d/dp exists.

    x·(1 − z)/(1 − p) with z = sigmoid((logit p + logit u)/temperature), u uniform: z is near 0 or 1, and above ½ with probability p.

    Args:
        x: Any shape.
        p: In [0, 1]; a number, or a tensor that broadcasts against x. At 0 and 1 themselves the derivative is taken as 0.
        training: False returns x.
        temperature: > 0; the lower, the nearer to dropout, and the noisier the derivative.

    Example:
        >>> p = torch.tensor(0.5, requires_grad=True)
        >>> dropout(torch.ones(1000), p).mean().backward()
        >>> bool(torch.isfinite(p.grad))
        True

    Source: Gal, Hron & Kendall, Concrete Dropout, NeurIPS 2017.
    """
    if not training:
        return x
    p = _share(p, x, "the dropout probability")
    u = torch.rand_like(x).clamp_(_LEAST, _most(x))
    z = torch.sigmoid((torch.logit(p) + torch.logit(u)) / temperature)
    return x * ((1 - z) / (1 - p))


def gaussian_dropout(x: Tensor, p: Any, training: bool = True) -> Tensor:
    """Multiply by noise of mean 1 and the variance p/(1 − p) that dropout has: x·(1 + √(p/(1 − p))·ε), ε standard normal.

    Args:
        x: Any shape.
        p: In [0, 1]; a number, or a tensor that broadcasts against x. At 0 and 1 themselves the derivative is taken as 0.
        training: False returns x.

    Example:
        >>> gaussian_dropout(torch.ones(2), 0.5, training=False)
        tensor([1., 1.])

    Source: Kingma, Salimans & Welling, Variational Dropout and the Local Reparameterization Trick, NeurIPS 2015.
    """
    if not training:
        return x
    p = _share(p, x, "the dropout probability")
    return x * (1 + torch.sqrt(p / (1 - p)) * torch.randn_like(x))


def label_smoothing(logits: Tensor, target: Tensor, smoothing: Any, *, ignore_index: int = -100) -> Tensor:
    """Return the mean cross-entropy with smoothed labels: `functional.cross_entropy(label_smoothing=…)`, differentiable in it.

    (1 − s)·(−log p_y) + s·mean_c(−log p_c) over the C classes.

    Args:
        logits: N × C, or N × C × any further shape.
        target: The classes, integers, N (× the further shape).
        smoothing: s in [0, 1]; a number, or a tensor that broadcasts against `target`.
        ignore_index: Targets of this value do not count.

    Example:
        >>> logits, target = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
        >>> label_smoothing(logits, target, torch.tensor(0.1)), functional.cross_entropy(logits, target, label_smoothing=0.1)
        (tensor(0.2269), tensor(0.2269))

    Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016.
    """
    log_p = functional.log_softmax(logits, dim=1)
    hard = functional.nll_loss(log_p, target, reduction="none", ignore_index=ignore_index)
    counted = target != ignore_index
    smoothing = _tensor(smoothing, logits)
    losses = (1 - smoothing) * hard - smoothing * log_p.mean(1).masked_fill(~counted, 0.0)
    return losses.sum() / counted.sum()


def weighted(losses: Tensor, weights: Any, index: Tensor) -> Tensor:
    """Return the mean of the losses, each times the weight of its example: for finding wrong or harmful examples.

    Args:
        losses: One an example of the batch.
        weights: One an example of the whole training set: ``Hyperparameter(0.5, shape=(n,), transform="unit")``.
        index: The examples' places in the training set, integers; the data set has to give them along.

    Raises:
        HypergradError: there is not one loss and one integer an example, or the weights are not one-dimensional.

    Example:
        >>> weighted(torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0, 1.0]), torch.tensor([2, 0]))
        tensor(1.)

    Source: Franceschi et al., Forward and Reverse Gradient-Based Hyperparameter Optimization, ICML 2017 (data hyper-cleaning).
    """
    weights = _tensor(weights, losses)
    if weights.dim() != 1:
        raise HypergradError(f"the weights have shape {tuple(weights.shape)}", "give one for each training example")
    if not isinstance(index, Tensor) or index.is_floating_point() or index.dtype == torch.bool:
        got = str(index.dtype) if isinstance(index, Tensor) else repr(index)
        raise HypergradError(f"the index is {got}", "give the examples' places in the training set, as integers")
    if losses.shape != index.shape:
        raise HypergradError(
            f"the losses have shape {tuple(losses.shape)} and the index {tuple(index.shape)}",
            "give one of each an example: a loss with reduction='none'",
        )
    return (weights[index] * losses).mean()


def augment(
    x: Tensor, *, noise: Any = 0.0, brightness: Any = 0.0, contrast: Any = 0.0, training: bool = True
) -> Tensor:
    """Perturb each example at random, differentiable in the strengths.

    x ← m + (x − m)(1 + contrast·a) + brightness·b + noise·ε with a, b uniform in [−1, 1] for each example, m its mean, ε standard normal.

    Args:
        x: A batch of examples, floating-point.
        noise, brightness, contrast: Strengths >= 0, in the units of x (contrast: a share); numbers or scalar tensors.
        training: False returns x.

    Example:
        >>> augment(torch.zeros(2, 3), noise=0.1, training=False)
        tensor([[0., 0., 0.],
                [0., 0., 0.]])

    Source: Hataya et al., Meta Approach to Data Augmentation Optimization, WACV 2022.
    """
    if not training:
        return x
    each = (x.shape[0], *(1,) * (x.dim() - 1))
    a, b = (torch.rand(each, dtype=x.dtype, device=x.device) * 2 - 1 for _ in range(2))
    mean = x.mean(tuple(range(1, x.dim())), keepdim=True) if x.dim() > 1 else x
    lit = mean + (x - mean) * (1 + _tensor(contrast, x) * a) + _tensor(brightness, x) * b
    return lit + _tensor(noise, x) * torch.randn_like(x)


def _tensor(value: Any, like: Tensor) -> Tensor:
    if isinstance(value, TensorLike):
        return value.tensor()
    return value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=like.dtype, device=like.device)


def _share(value: Any, like: Tensor, what: str) -> Tensor:
    if isinstance(value, int | float) and not 0 <= value <= 1:
        raise HypergradError(f"{what} is {value}", "give one in [0, 1]")
    share = _tensor(value, like)
    return share.clamp(_LEAST, _most(share, like))


def _most(*like: Tensor) -> float:
    """Return the greatest probability below 1 for tensors like these: in half precision 1 − 1e-6 is 1, and 1e6 infinite."""
    return 1 - max(_LEAST, *(float(torch.finfo(t.dtype).eps) for t in like))
