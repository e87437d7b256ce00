"""Stochastic gradient descent with momentum, Nesterov's momentum and weight decay, as `torch.optim.SGD` does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from whet.hypergrad.tensors import Hyper, Weights
from whet.hypergrad.updates.base import Setting, State, Update, setting

__all__ = ["SGD"]

_BUFFER = "momentum_buffer"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SGD(Update):
    """m ← μm + (1 − τ)(g + ξw), w ← w − ηm (Nesterov: w − η(g + ξw + μm)); the first m is g + ξw itself, as in PyTorch.

    Args:
        lr: η >= 0.
        momentum: μ in [0, 1). The number 0 keeps no buffer.
        dampening: τ.
        weight_decay: ξ >= 0, the coefficient of ½ξ‖w‖².
        nesterov: Look ahead by one momentum step.

    Source: Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013; PyTorch's form.
    """

    lr: Setting = 1e-3
    momentum: Setting = 0.0
    dampening: float = 0.0
    weight_decay: Setting = 0.0
    nesterov: bool = False

    def init(self, weights: Weights) -> State:
        return State(
            slots={} if self.momentum == 0 else {_BUFFER: {n: torch.zeros_like(w) for n, w in weights.items()}}
        )

    def __call__(self, weights: Weights, grads: Weights, state: State, hyper: Hyper) -> tuple[dict[str, Tensor], State]:
        new, buffers = {}, {}
        for name, weight in weights.items():
            lr, momentum, decay = (setting(s, name, hyper) for s in (self.lr, self.momentum, self.weight_decay))
            direction = grads[name]
            if isinstance(decay, Tensor) or decay != 0:
                direction = direction + decay * weight
            if self.momentum != 0:
                # In PyTorch the first buffer is the gradient itself: no dampening, and the zeros do not count.
                undamped = state.step == 0 or self.dampening == 0
                buffer = momentum * state.slots[_BUFFER][name] + (
                    direction if undamped else (1 - self.dampening) * direction
                )
                buffers[name] = buffer
                direction = direction + momentum * buffer if self.nesterov else buffer
            new[name] = weight - lr * direction
        slots: Mapping[str, Weights] = {_BUFFER: buffers} if buffers else {}
        return new, replace(state, step=state.step + 1, slots=slots)
