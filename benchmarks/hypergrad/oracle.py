"""The digits problem in closed form, without autograd and without Whet: gradient, Hessian, Newton's method, and what each approximation is.

Multinomial logistic regression: ∇f = Xᵀ(P − Y)/N + d∘w and H = Xᵀ(diag(p) − ppᵀ)X/N + diag(d), with w flattened row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from whet.testing.bilevel_problems import digits

__all__ = ["Oracle", "differences"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """The problem at its optimum for one decay everywhere.

    Args:
        train, val: Pixels with a column of ones, and labels.
        decay: d, of the shape of the weights.
        weights: w*, where ‖∇f‖ < 1e−13.
        hessian: H there.
        top: Its largest eigenvalue L.
        bottom: Its smallest.
        v: ∇F there, flat.
        truth: dF/dd = −(H⁻¹∇F)∘w*, flat.
    """

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    decay: Tensor
    weights: Tensor
    hessian: Tensor
    top: float
    bottom: float
    v: Tensor
    truth: Tensor

    @classmethod
    def at(cls, decay: float) -> Oracle:
        """Return the problem with this decay."""
        case = digits(decay)
        train, val = case.batches.train[0], case.batches.val
        strength = torch.full_like(case.start["w"], decay)
        weights = solved(train, strength, torch.zeros_like(strength))
        h = hessian(train, strength, weights)
        eigenvalues = torch.linalg.eigvalsh(h)
        v = gradient(val, torch.zeros_like(strength), weights).reshape(-1)
        return cls(
            train=train, val=val, decay=strength, weights=weights, hessian=h, v=v, top=float(eigenvalues[-1]), bottom=float(eigenvalues[0]),
            truth=-torch.linalg.solve(h, v) * weights.reshape(-1),
        )  # fmt: skip

    def outer(self, weights: Tensor) -> float:
        """Return F."""
        return float(torch.nn.functional.cross_entropy(self.val[0] @ weights, self.val[1]))

    def of(self, q: Tensor) -> Tensor:
        """Return the hypergradient that a solution q of Hq = v gives."""
        return -q * self.weights.reshape(-1)

    def neumann(self, terms: int) -> Tensor:
        """Return the hypergradient of q = α Σ_{k≤K} (I − αH)^k v with α = 1/L; K = 0 is T1–T2, K = i − 1 the one-pass method."""
        x = self.v / self.top
        q = x.clone()
        for _ in range(terms):
            x = x - self.hessian @ x / self.top
            q = q + x
        return self.of(q)

    def cg(self, steps: int) -> Tensor:
        """Return the hypergradient of K steps of conjugate gradients from zero."""
        q, r = torch.zeros_like(self.v), self.v.clone()
        p = r.clone()
        for _ in range(steps):
            hp = self.hessian @ p
            length = (r @ r) / (p @ hp)
            q, after = q + length * p, r - length * hp
            p, r = after + (after @ after) / (r @ r) * p, after
        return self.of(q)

    def run(
        self, steps: int, decay: Tensor | None = None, momentum: float = 0.0, start: Tensor | None = None
    ) -> list[Tensor]:
        """Return the weights of so many steps of gradient descent with step 1/L, the first (0 by default) and the last included."""
        strength = self.decay if decay is None else decay
        weights = [torch.zeros_like(self.weights) if start is None else start]
        m = torch.zeros_like(self.weights)
        for _ in range(steps):
            m = momentum * m + gradient(self.train, strength, weights[-1])
            weights.append(weights[-1] - m / self.top)
        return weights

    def unrolled(self, steps: int, momentum: float = 0.0, start: Tensor | None = None) -> Tensor:
        """Return the exact derivative of F at the end of `run`, by the adjoint recursion with dense Hessians."""
        path = self.run(steps, momentum=momentum, start=start)
        a = gradient(self.val, torch.zeros_like(self.decay), path[-1]).reshape(-1)
        b, total = torch.zeros_like(a), torch.zeros_like(a)
        for w in reversed(path[:-1]):  # w′ = w − ηm′, m′ = μm + ∇f
            b = b - a / self.top
            total = total + b * w.reshape(-1)
            a = a + hessian(self.train, self.decay, w) @ b
            b = momentum * b
        return total


def gradient(batch: tuple[Tensor, Tensor], decay: Tensor, weights: Tensor) -> Tensor:
    """Return ∇f, of the shape of the weights."""
    x, y = batch
    p = torch.softmax(x @ weights, dim=1)
    p[torch.arange(len(y)), y] -= 1
    return x.T @ p / len(y) + decay * weights


def hessian(batch: tuple[Tensor, Tensor], decay: Tensor, weights: Tensor) -> Tensor:
    """Return ∂²f/∂w², of the flat weights."""
    x, _ = batch
    p = torch.softmax(x @ weights, dim=1)
    curved = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    rows, classes = weights.shape
    blocks = torch.stack([
        torch.stack([x.T @ (curved[:, a, b].unsqueeze(1) * x) for b in range(classes)], dim=1) for a in range(classes)
    ], dim=1)  # fmt: skip
    # blocks[i, a, b, j]: from weight (i, a) to weight (j, b)
    return blocks.permute(0, 1, 3, 2).reshape(rows * classes, rows * classes) / len(x) + torch.diag(decay.reshape(-1))


def solved(batch: tuple[Tensor, Tensor], decay: Tensor, start: Tensor) -> Tensor:
    """Return w*(d) by Newton's method, to the last digit."""
    weights, best = start, float("inf")
    for _ in range(60):
        g = gradient(batch, decay, weights)
        size = float(g.norm())
        if size < 1e-13 or (size < 1e-11 and size >= best):
            return weights
        best = min(best, size)
        step = torch.linalg.solve(hessian(batch, decay, weights), g.reshape(-1)).reshape(weights.shape)
        length = 1.0
        while length > 1e-3 and float(gradient(batch, decay, weights - length * step).norm()) > size:
            length /= 2
        weights = weights - length * step
    return weights


def differences(oracle: Oracle, ends: list[Tensor], size: float) -> float:
    """Return (F(last) − F(first)) / 2·size for two sets of weights."""
    return (oracle.outer(ends[1]) - oracle.outer(ends[0])) / (2 * size)
