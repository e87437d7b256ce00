"""Penalties on the weights with known derivatives, so that they cost a pass over the weights and no graph.

They belong to the training loss alone, which guards against the commonest mistake: a penalty that is left in the validation loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.tensors import Hyper, Weights, broadcasts

__all__ = ["L1", "L2", "Penalty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty(ABC):
    """A sum over weights of a strength d times a function of each weight.

    Args:
        strength: The name of the hyperparameter that is d >= 0 (a scalar, one a weight tensor, or one a weight), or a number.
        only: Which weights are penalised, by name; all by default.
    """

    strength: str | float
    only: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        if self.only is not None and not callable(self.only):
            raise HypergradError(
                f"{type(self).__name__}(only={self.only!r}) is no function of a weight's name",
                f"give one: only=lambda name: name == {self.only!r}" if isinstance(self.only, str) else "give one",
            )

    @abstractmethod
    def value(self, weight: Tensor) -> Tensor:
        """Return the function of each weight, before its strength."""

    @abstractmethod
    def slope(self, weight: Tensor) -> Tensor:
        """Return the function's derivative."""

    @property
    @abstractmethod
    def bend(self) -> float:
        """The function's second derivative, a constant."""

    def check(self, weights: Weights, hyper: Hyper) -> None:
        """Refuse a strength that does not go with the weights.

        Raises:
            HypergradError: there is no such hyperparameter, none for a weight, or its shape does not broadcast to the weight's.
        """
        if not isinstance(self.strength, str):
            return
        if self.strength not in hyper:
            raise HypergradError(
                f"a penalty names the hyperparameter {self.strength!r}, and there is none",
                f"there are: {', '.join(hyper)}",
            )
        given = hyper[self.strength]
        for name, weight in weights.items():
            if not self._has(name):
                continue
            strength = given.get(name) if isinstance(given, Mapping) else given
            if strength is None:
                raise HypergradError(
                    f"the hyperparameter {self.strength!r} has no value for the weight {name!r}",
                    "give it one, or say with only= which weights the penalty is for",
                )
            if not broadcasts(strength.shape, weight.shape):
                shapes = f"{tuple(strength.shape)} and the weight {name!r} {tuple(weight.shape)}"
                raise HypergradError(
                    f"the hyperparameter {self.strength!r} has shape {shapes}", "give a scalar, or one value a weight"
                )

    def loss(self, weights: Weights, hyper: Hyper) -> Tensor:
        """Return the penalty, a scalar."""
        parts = [(self._of(n, hyper) * self.value(w)).sum() for n, w in weights.items() if self._has(n)]
        return torch.stack(parts).sum() if parts else torch.zeros(())

    def add_grad_(self, grads: Mapping[str, Tensor], weights: Weights, hyper: Hyper) -> None:
        """Add the gradient to `grads`, in place."""
        for name, grad in grads.items():
            if self._has(name):
                _add_product_(grad, self.slope(weights[name]), self._of(name, hyper))

    def add_hvp_(self, products: Mapping[str, Tensor], vectors: Weights, hyper: Hyper) -> None:
        """Add the Hessian times `vectors` to `products`, in place."""
        if self.bend:
            for name, product in products.items():
                if self._has(name):
                    _add_product_(product, vectors[name], self._of(name, hyper), self.bend)

    def cross(self, weights: Weights, hyper: Hyper, vectors: Weights) -> dict[tuple[str, ...], Tensor]:
        """Return (∂²/∂d∂w)ᵀ·vectors by the path of the hyperparameter; empty for a strength that is a number."""
        found: dict[tuple[str, ...], Tensor] = {}
        self.add_cross_(found, weights, hyper, vectors)
        return found

    def add_cross_(
        self, totals: MutableMapping[tuple[str, ...], Tensor], weights: Weights, hyper: Hyper, vectors: Weights
    ) -> None:
        """Add `cross` to `totals`, in place where something is there already."""
        if not isinstance(self.strength, str):
            return
        strength = hyper[self.strength]
        for name, vector in vectors.items():
            if not self._has(name):
                continue
            path: tuple[str, ...] = (self.strength,)
            target = strength
            if isinstance(target, Mapping):
                path, target = (self.strength, name), target[name]
            slope = self.slope(weights[name])
            if path in totals and target.shape == vector.shape:
                totals[path].addcmul_(slope, vector)
                continue
            product = slope * vector
            if target.shape != product.shape:
                product = product.sum_to_size(target.shape) if target.dim() else product.sum()
            totals[path] = totals[path].add_(product.to(totals[path].device)) if path in totals else product

    def _has(self, name: str) -> bool:
        return self.only is None or self.only(name)

    def _of(self, name: str, hyper: Hyper) -> Tensor | float:
        if not isinstance(self.strength, str):
            return self.strength
        strength = hyper[self.strength]
        return strength[name] if isinstance(strength, Mapping) else strength


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class L2(Penalty):
    """½ Σ d w²: weight decay d, as the coefficient that SGD's `weight_decay` is.

    Example:
        >>> L2(strength=0.5).loss({"w": torch.tensor([2.0])}, {})
        tensor(1.)
    """

    def value(self, weight: Tensor) -> Tensor:
        return 0.5 * weight * weight

    def slope(self, weight: Tensor) -> Tensor:
        return weight

    @property
    def bend(self) -> float:
        return 1.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class L1(Penalty):
    """Σ d |w|; its second derivative is taken as 0 everywhere.

    Example:
        >>> L1(strength=0.5).loss({"w": torch.tensor([-2.0])}, {})
        tensor(1.)
    """

    def value(self, weight: Tensor) -> Tensor:
        return weight.abs()

    def slope(self, weight: Tensor) -> Tensor:
        return torch.sign(weight)

    @property
    def bend(self) -> float:
        return 0.0


def _add_product_(out: Tensor, a: Tensor, b: Tensor | float, scale: float = 1.0) -> None:
    if isinstance(b, Tensor):
        out.addcmul_(a, b, value=scale)
    else:
        out.add_(a, alpha=b * scale)
