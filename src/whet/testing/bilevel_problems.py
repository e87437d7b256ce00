"""Bilevel problems whose true hypergradient is known: a quadratic, ridge and logistic regression, a small network, and digits.

Example::

    case = ridge(seed=1)
    weights = case.solved()                       # Newton, to the last digit
    truth = case.differentiated(case.solved)      # dF/dλ there
    found = Implicit(solve=CG())(case.problem, weights, case.hyper, case.batches)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from whet.errors import MissingDependency
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tensors import Hyper, Weights, leaves, unflatten
from whet.hypergrad.updates.base import setting
from whet.hypergrad.updates.sgd import SGD

__all__ = ["Case", "cast", "digits", "logistic", "network", "quadratic", "ridge", "with_update_knobs"]

DTYPE = torch.float64


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A problem with weights, hyperparameters and data, all in float64, and its truth in two senses.

    Args:
        problem: The problem.
        start: Weights that are not at a solution.
        hyper: The hyperparameters.
        batches: One training batch a step; the implicit sense uses the first alone.
        hessian: The training loss's Hessian at flat weights, where there is a faster way than autograd.
    """

    problem: Bilevel
    start: dict[str, Tensor]
    hyper: dict[str, Tensor | dict[str, Tensor]]
    batches: Batches
    hessian: Callable[[Tensor, Hyper], Tensor] | None = None

    def outer(self, weights: Weights, hyper: Hyper | None = None) -> Tensor:
        """Return F, a scalar."""
        return self.problem.val(weights, self.hyper if hyper is None else hyper, self.batches.val)

    def solved(self, hyper: Hyper | None = None) -> dict[str, Tensor]:
        """Return w*(λ), where the gradient of the training loss plus the update's weight decay vanishes, by Newton's method.

        The last step is taken with a graph and a constant Jacobian, which makes w* differentiable in λ, exactly.
        """
        hyper = self.hyper if hyper is None else hyper
        fixed = unflatten({path: t.detach() for path, t in leaves(hyper).items()})
        shapes = {n: t.shape for n, t in self.start.items()}
        sizes = [t.numel() for t in self.start.values()]

        def split(flat: Tensor) -> dict[str, Tensor]:
            return {n: part.reshape(s) for (n, s), part in zip(shapes.items(), flat.split(sizes), strict=True)}

        def rest(flat: Tensor, at: Hyper) -> Tensor:
            with torch.enable_grad():
                weights = split(flat)
                loss = self.problem.inner(weights, at, self.batches.train[0])
                grads = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
                knob = getattr(self.problem.update, "weight_decay", 0.0)
                pairs = zip(weights.items(), grads, strict=True)
                return torch.cat([(g + setting(knob, n, at) * w).reshape(-1) for (n, w), g in pairs])

        def linearised(flat: Tensor) -> tuple[Tensor, Tensor]:
            flat = flat.requires_grad_()
            here = rest(flat, fixed)
            if self.hessian is not None:
                return here.detach(), self.hessian(flat.detach(), fixed)
            rows = [torch.autograd.grad(h, flat, retain_graph=True)[0] for h in here]
            return here.detach(), torch.stack(rows)

        flat = torch.cat([t.detach().reshape(-1) for t in self.start.values()])
        size = math.inf
        for _ in range(60):
            here, matrix = linearised(flat.detach())
            before, size = size, float(here.norm())
            if size < 1e-13 or (size < 1e-10 and size > 0.1 * before):  # rounding is all that is left
                break
            step = torch.linalg.solve(matrix, here)
            length = 1.0
            while length > 1e-3 and size > 1e-10 and rest((flat - length * step).requires_grad_(), fixed).norm() > size:
                length /= 2
            flat = (flat - length * step).detach()
        return split(flat.detach() - torch.linalg.solve(matrix.detach(), rest(flat.detach().requires_grad_(), hyper)))

    def ran(self, hyper: Hyper | None = None) -> dict[str, Tensor]:
        """Return the weights after one update a training batch from `start`, differentiable in λ, by plain autograd."""
        hyper = self.hyper if hyper is None else hyper
        weights = {n: t.detach().requires_grad_() for n, t in self.start.items()}
        state = self.problem.start(self.start)
        for batch in self.batches.train:
            loss = self.problem.inner(weights, hyper, batch, dict(state.buffers))
            grads = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights, state = self.problem.update(weights, dict(zip(weights, grads, strict=True)), state, hyper)
        return weights

    def differentiated(self, reached: Callable[[Hyper], dict[str, Tensor]]) -> dict[tuple[str, ...], Tensor]:
        """Return dF/dλ for the weights `reached` (``case.solved`` or ``case.ran``), by autograd."""
        own = {path: t.detach().requires_grad_() for path, t in leaves(self.hyper).items()}
        hyper = unflatten(own)
        value = self.outer(reached(hyper), hyper)
        found = torch.autograd.grad(value, list(own.values()), materialize_grads=True)
        return dict(zip(own, found, strict=True))

    def central(self, reached: Callable[[Hyper], dict[str, Tensor]], direction: Mapping[tuple[str, ...], Tensor], size: float = 1e-5) -> float:  # fmt: skip
        """Return the derivative of F along `direction` by central differences."""
        ends = []
        for sign in (1, -1):
            moved = unflatten({p: t + sign * size * direction[p] for p, t in leaves(self.hyper).items()})
            ends.append(float(self.outer(reached(moved), moved).detach()))
        return (ends[0] - ends[1]) / (2 * size)


def quadratic(seed: int = 0, *, size: int = 4, condition: float = 10.0, steps: int = 4) -> Case:
    """f = ½ wᵀHw − (b + pull)ᵀw + ½ Σ decay w², F = ½ ‖w − mix·t‖²; two weights, one of them a matrix; batches differ in b.

    Args:
        seed: Of everything drawn.
        size: Elements of each of the two weights, even.
        condition: Largest over smallest eigenvalue of H; the largest is 1.
        steps: Training batches.
    """
    rng = torch.Generator().manual_seed(seed)
    n = 2 * size
    basis = torch.linalg.qr(_normal(rng, n, n))[0]
    hessian = basis @ torch.diag(torch.logspace(0, -torch.log10(torch.tensor(condition)).item(), n, dtype=DTYPE)) @ basis.T  # fmt: skip
    target = _normal(rng, n)

    def flat(w: Weights) -> Tensor:
        return torch.cat([w["a"].reshape(-1), w["m"].reshape(-1)])

    def train(w: Weights, b: Tensor, hyper: Any) -> Tensor:
        x = flat(w)
        return 0.5 * x @ (hessian.to(x) @ x) - (b + hyper["pull"]) @ x

    start = {"a": _normal(rng, size), "m": _normal(rng, size // 2, 2)}
    return Case(
        problem=Bilevel(
            train_loss=train,
            val_loss=lambda w, t, hyper: 0.5 * ((flat(w) - hyper["mix"] * t) ** 2).sum(),
            update=SGD(lr=0.5),
            penalty=L2(strength="decay"),
        ),
        start=start,
        hyper={
            "pull": _normal(rng, n),
            "decay": {name: 0.1 + torch.rand(t.shape, generator=rng, dtype=DTYPE) for name, t in start.items()},
            "mix": torch.tensor(0.7, dtype=DTYPE),
        },
        batches=Batches(train=[_normal(rng, n) for _ in range(steps)], val=target),
    )


def ridge(seed: int = 0, *, size: int = 5, rows: int = 12, steps: int = 4) -> Case:
    """f = ½ mean (Xw − y)² + ½ l2 ‖w‖², the penalty in the loss itself; F is the mean squared error of other rows.

    Args:
        seed: Of everything drawn.
        size: Features.
        rows: Examples in each batch.
        steps: Training batches.
    """
    rng = torch.Generator().manual_seed(seed)

    def error(w: Weights, batch: Any) -> Tensor:
        return 0.5 * ((batch[0] @ w["w"] - batch[1]) ** 2).mean()

    return Case(
        problem=Bilevel(
            train_loss=lambda w, batch, hyper: error(w, batch) + 0.5 * hyper["l2"] * (w["w"] ** 2).sum(),
            val_loss=lambda w, batch, hyper: error(w, batch),
            update=SGD(lr=0.2),
        ),
        start={"w": _normal(rng, size)},
        hyper={"l2": torch.tensor(0.3, dtype=DTYPE)},
        batches=_regression(rng, rows, size, steps),
    )


def logistic(seed: int = 0, *, size: int = 4, rows: int = 12, steps: int = 4) -> Case:
    """Two classes, a weight and a scalar bias; one weight an example, a decay a weight tensor, a plain number as second decay.

    Args:
        seed: Of everything drawn.
        size: Features.
        rows: Examples in each batch.
        steps: Training batches.
    """
    rng = torch.Generator().manual_seed(seed)

    def losses(w: Weights, batch: Any) -> Tensor:
        return functional.softplus(-batch[1].sign() * (batch[0] @ w["w"] + w["b"]))

    start = {"w": _normal(rng, size), "b": _normal(rng, 1).reshape(())}
    return Case(
        problem=Bilevel(
            train_loss=lambda w, batch, hyper: (hyper["examples"] * losses(w, batch)).mean(),
            val_loss=lambda w, batch, hyper: losses(w, batch).mean(),
            update=SGD(lr=0.5),
            penalty=(L2(strength="decay"), L2(strength=0.05)),
        ),
        start=start,
        hyper={
            "examples": 0.5 + torch.rand(rows, generator=rng, dtype=DTYPE),
            "decay": {n: torch.tensor(0.2 + 0.1 * i, dtype=DTYPE) for i, n in enumerate(start)},
        },
        batches=_regression(rng, rows, size, steps),
    )


def network(seed: int = 0, *, size: int = 3, rows: int = 8, steps: int = 4) -> Case:
    """A smooth two-layer network as a module, one of its weights frozen, with a decay a weight and a scalar label smoothing: not convex.

    Args:
        seed: Of everything drawn.
        size: Features, and hidden units.
        rows: Examples in each batch.
        steps: Training batches.
    """
    rng = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 2)).to(DTYPE)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(_normal(rng, *weight.shape))
    model[2].bias.requires_grad_(False)

    def error(m: nn.Module, batch: Any, smoothing: Any) -> Tensor:
        wanted = functional.one_hot((batch[1] > 0).long(), 2).to(batch[0].dtype) * (1 - smoothing) + smoothing / 2
        return -(wanted * functional.log_softmax(m(batch[0]), dim=-1)).sum(-1).mean()

    problem = Bilevel(
        train_loss=lambda m, batch, hyper: error(m, batch, hyper["smoothing"]),
        val_loss=lambda m, batch, hyper: error(m, batch, 0.0),
        update=SGD(lr=0.5),
        penalty=L2(strength="decay"),
        model=model,
    )
    start = problem.weights()
    return Case(
        problem=problem,
        start=start,
        hyper={
            "smoothing": torch.tensor(0.1, dtype=DTYPE),
            "decay": {n: 0.05 + 0.1 * torch.rand(w.shape, generator=rng, dtype=DTYPE) for n, w in start.items()},
        },
        batches=_regression(rng, rows, size, steps),
    )


def digits(decay: float = 0.1, *, steps: int = 1) -> Case:
    """Multinomial logistic regression on scikit-learn's digits, 65 x 10 weights, each with a decay of its own; start at 0.

    600 rows train and the next 600 validate, permuted; the pixels are divided by 16 and a column of ones is appended. With decay 0.1
    the training loss has condition number 13.5 at its minimum and greatest curvature 1.3546, with 0.001 the condition is 425.

    Args:
        decay: d of ½ Σ d w², the same everywhere.
        steps: Training batches, all the same.

    Raises:
        MissingDependency: scikit-learn, which holds the data, is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependency.of("scikit-learn", "demo", "the digits problem") from error
    data, labels = load_digits(return_X_y=True)
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
    x = torch.cat([torch.as_tensor(data, dtype=DTYPE) / 16, torch.ones(1797, 1, dtype=DTYPE)], dim=1)[order]
    y = torch.as_tensor(labels, dtype=torch.int64)[order]

    def loss(w: Weights, batch: Any, hyper: Any) -> Tensor:
        return functional.cross_entropy(batch[0] @ w["w"], batch[1])

    def hessian(flat: Tensor, hyper: Any) -> Tensor:
        share = torch.softmax(x[:600] @ flat.view(65, 10), dim=1)
        mixed = torch.einsum("ni,na->nia", x[:600], share).reshape(600, 650)
        blocks = torch.einsum("nia,nj->aij", mixed.view(600, 65, 10), x[:600])
        own = torch.diag_embed(blocks.permute(1, 2, 0)).permute(0, 2, 1, 3).reshape(650, 650)
        return (own - mixed.T @ mixed) / 600 + torch.diag(hyper["decay"]["w"].reshape(-1))

    return Case(
        problem=Bilevel(train_loss=loss, val_loss=loss, penalty=L2(strength="decay")),
        start={"w": torch.zeros(65, 10, dtype=DTYPE)},
        hyper={"decay": {"w": torch.full((65, 10), decay, dtype=DTYPE)}},
        hessian=hessian,
        batches=Batches(train=[(x[:600], y[:600])] * steps, val=(x[600:1200], y[600:1200])),
    )


def with_update_knobs(case: Case, *, per_weight: bool = False) -> Case:
    """Return `case` with learning rate, momentum and weight decay of SGD as further hyperparameters.

    Args:
        case: Any case whose update is SGD with a number as learning rate.
        per_weight: Whether there is one learning rate an element of the weights, or one for all.
    """
    lr = case.problem.update.constant_lr
    assert lr is not None
    rates: Tensor | dict[str, Tensor] = torch.tensor(lr, dtype=DTYPE)
    if per_weight:
        rates = {n: lr * torch.linspace(0.5, 1, t.numel(), dtype=DTYPE).reshape(t.shape) for n, t in case.start.items()}
    knobs = {"lr": rates, "momentum": torch.tensor(0.4, dtype=DTYPE), "wd": torch.tensor(0.1, dtype=DTYPE)}
    update = SGD(lr="lr", momentum="momentum", weight_decay="wd")
    return replace(case, problem=replace(case.problem, update=update), hyper={**case.hyper, **knobs})


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Return a tensor, batches, or any mapping or sequence of them with the floating-point ones of another dtype."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, Batches):
        return Batches(train=cast(value.train, dtype), val=cast(value.val, dtype))
    if isinstance(value, Mapping):
        return {k: cast(v, dtype) for k, v in value.items()}
    return type(value)(cast(v, dtype) for v in value)


def _normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=DTYPE)


def _regression(rng: torch.Generator, rows: int, size: int, steps: int) -> Batches:
    truth = _normal(rng, size)

    def batch() -> tuple[Tensor, Tensor]:
        x = _normal(rng, rows, size)
        return x, x @ truth + _normal(rng, rows)

    return Batches(train=[batch() for _ in range(steps)], val=batch())
