"""What one would write in plain PyTorch: the SGD step that all costs are compared with, and published loops whose code is no package."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.hypergrad.problems import Batch, Task, inner

__all__ = ["one_pass", "one_pass_loop", "sgd_step", "sgd_steps"]


def sgd_step(task: Task) -> None:
    """One step of `torch.optim.SGD` on the loss with its decays; the gradient is freed at the end. lr 0 keeps the weights for later."""
    optimizer = torch.optim.SGD(task.model.parameters(), lr=0.0)
    inner(task.model, task.model.parameters(), task.decay, task.train[0]).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def sgd_steps(task: Task, steps: int, lr: float, momentum: float, decay: float) -> Callable[[], None]:
    """Return a plain training run of so many steps, to be called again and again."""
    optimizer = torch.optim.SGD(task.model.parameters(), lr=lr, momentum=momentum, weight_decay=decay)

    def run() -> None:
        for i in range(steps):
            x, y = task.train[i % len(task.train)]
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(task.model(x), y).backward()
            optimizer.step()

    return run


def _tracked(
    model: nn.Module, batch: Batch, slots: list[Tensor], lr: Tensor, momentum: Tensor | float, decay: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the update u of one SGD step and the new momentum, both with their graph."""
    weights = list(model.parameters())
    grads = torch.autograd.grad(functional.cross_entropy(model(batch[0]), batch[1]), weights, create_graph=True)
    new = [momentum * m + (g + d * w) for m, g, d, w in zip(slots, grads, decay, weights, strict=True)]
    return [lr * m for m in new], new


def _look_back(
    update: list[Tensor], weights: list[Tensor], hyper: list[Tensor], v: list[Tensor], terms: int
) -> list[Tensor]:
    """Return −Σ_{j<i} v (I − ∂u/∂w)^j ∂u/∂λ."""
    total = v
    for _ in range(terms - 1):
        through = torch.autograd.grad(update, weights, v, retain_graph=True)
        v = [a - b for a, b in zip(v, through, strict=True)]
        total = [a + b for a, b in zip(total, v, strict=True)]
    return [-g for g in torch.autograd.grad(update, hyper, total)]


def one_pass(task: Task, terms: int) -> list[Tensor]:
    """Clarke's hypergradient on the update, and the weight step that it is for: a decay a weight, no momentum."""
    model, weights = task.model, list(task.model.parameters())
    own = [d.detach().requires_grad_() for d in task.decay]
    none = [torch.zeros((), dtype=w.dtype, device=w.device) for w in weights]
    rate = torch.tensor(task.rate, dtype=weights[0].dtype, device=weights[0].device)
    update, _ = _tracked(model, task.train[0], none, rate, 0.0, own)
    after, v = _stepped(task, weights, update)
    found = _look_back(update, weights, own, v, terms)
    with torch.no_grad():
        for w, a in zip(weights, after, strict=True):
            w.copy_(a)
    return found


def _stepped(task: Task, weights: list[Tensor], update: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    # The graph of the update holds the old weights, so the new ones need memory of their own.
    after = [(w - u).detach().requires_grad_() for w, u in zip(weights, update, strict=True)]
    named = dict(zip(task.names, after, strict=True))
    value = functional.cross_entropy(torch.func.functional_call(task.model, named, (task.val[0],)), task.val[1])
    return after, list(torch.autograd.grad(value, after))


def one_pass_loop(task: Task, steps: int, terms: int, lr: float, momentum: float, decay: float) -> Callable[[], None]:
    """Return Clarke's loop: so many weight steps, then one hyper-step on log lr, logit momentum and log decay by Adam."""
    model, weights = task.model, list(task.model.parameters())
    device = weights[0].device
    raw = [
        torch.tensor(v, device=device).requires_grad_()
        for v in (
            float(torch.log10(torch.tensor(lr))),
            float(torch.logit(torch.tensor(momentum))),
            float(torch.log10(torch.tensor(decay))),
        )
    ]
    outer = torch.optim.Adam(raw, lr=0.05)
    slots = [torch.zeros_like(w) for w in weights]

    def run() -> None:
        nonlocal slots
        for i in range(steps):
            batch, last = task.train[i % len(task.train)], i == steps - 1
            with torch.set_grad_enabled(last):
                rate, keep, shrink = 10 ** raw[0], torch.sigmoid(raw[1]), 10 ** raw[2]
            if last:
                update, new = _tracked(model, batch, slots, rate, keep, [shrink] * len(weights))
                after, v = _stepped(task, weights, update)
                for h, g in zip(raw, _look_back(update, weights, raw, v, terms), strict=True):
                    h.grad = g
                outer.step()
            else:
                grads = torch.autograd.grad(functional.cross_entropy(model(batch[0]), batch[1]), weights)
                new = [keep * m + (g + shrink * w.detach()) for m, g, w in zip(slots, grads, weights, strict=True)]
                after = [w.detach() - rate * m for w, m in zip(weights, new, strict=True)]
            slots = [m.detach() for m in new]
            with torch.no_grad():
                for w, a in zip(weights, after, strict=True):
                    w.copy_(a)

    return run
