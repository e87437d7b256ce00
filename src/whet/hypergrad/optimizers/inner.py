"""How weights move in place: by the user's own `torch.optim` optimizer, or by an `Update` that shares its state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.optimizers.arguments import set_knob
from whet.hypergrad.problem import plain
from whet.hypergrad.tensors import Hyper, Weights, detached
from whet.hypergrad.updates.adapt import adapt, read_state, write_state
from whet.hypergrad.updates.base import State, Update
from whet.hypergrad.updates.clipped import Clipped
from whet.hypergrad.updates.sgd import SGD

__all__ = ["ByOptimizer", "ByUpdate", "Inner"]


class Inner(ABC):
    """Moves a model's weights by the gradients in their `.grad`, as a training loop does.

    Args:
        model: Wrapped or not.
        weights: The weights that move, by name.
        max_grad_norm: The gradients' greatest norm, over all weights; None: no limit.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], max_grad_norm: float | None) -> None:
        self.model = plain(model)
        self.weights = dict(weights)
        self.max_grad_norm = max_grad_norm
        self._parameters = list(self.model.parameters())

    def zero_grad(self) -> None:
        """Drop the gradients of all of the model's weights."""
        for parameter in self._parameters:
            parameter.grad = None

    @abstractmethod
    def set_knobs(self, values: Hyper) -> None:
        """Use these values of the hyperparameters from now on."""

    @abstractmethod
    def step(self, values: Hyper) -> None:
        """Move the weights."""

    @abstractmethod
    def update(self) -> Update:
        """Return the same as a differentiable function.

        Raises:
            HypergradError: Whet knows no such function for the user's optimizer.
        """

    @abstractmethod
    def sgd_lr(self) -> float | None:
        """Return the learning rate if this is gradient descent with one number."""

    @abstractmethod
    def slots(self, update: Update) -> State:
        """Return the optimizer's state, its tensors themselves, as `update` has it."""

    @abstractmethod
    def adopt(self, weights: Weights, state: State) -> None:
        """Go on with these weights, and with copies of this state and its buffers, wherever they came from."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""

    def state(self, update: Update) -> State:
        """Return the optimizer's state, copied, and the model's buffers, themselves."""
        return replace(self.slots(update).detached(copy=True), buffers=dict(self.model.named_buffers()))

    def _put(self, weights: Weights, state: State) -> None:
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])
            for name, buffer in self.model.named_buffers():
                if name in state.buffers:
                    buffer.copy_(state.buffers[name])

    def _clipped(self, update: Update) -> Update:
        return update if self.max_grad_norm is None else Clipped(update=update, max_norm=self.max_grad_norm)


@final
class ByOptimizer(Inner):
    """The user's optimizer moves the weights; hyperparameters that are its knobs are written into its groups as numbers.

    Args:
        model, weights, max_grad_norm: As for `Inner`.
        optimizer: Of `torch.optim`, or of its kind.
        tune: Knob to hyperparameter.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, *,
                 tune: Mapping[str, str], max_grad_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(model, weights, max_grad_norm)
        self.optimizer = optimizer
        self.tune = dict(tune)

    def set_knobs(self, values: Hyper) -> None:
        for knob, name in self.tune.items():
            value = values[name]
            assert isinstance(value, Tensor)
            number = float(value)
            for group in self.optimizer.param_groups:
                set_knob(group, knob, number)

    def step(self, values: Hyper) -> None:
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.weights.values(), self.max_grad_norm)
        self.optimizer.step()

    def update(self) -> Update:
        # Anew each time: a schedule of the user's may have changed the groups.
        return self._clipped(adapt(self.optimizer, self.model, tune=self.tune))

    def sgd_lr(self) -> float | None:
        rates = {float(group["lr"]) for group in self.optimizer.param_groups if "lr" in group}
        return rates.pop() if isinstance(self.optimizer, torch.optim.SGD) and len(rates) == 1 else None

    def slots(self, update: Update) -> State:
        return read_state(self.optimizer, self.model, update)

    def adopt(self, weights: Weights, state: State) -> None:
        self._put(weights, state)
        write_state(self.optimizer, self.model, state.detached(copy=True))

    def state_dict(self) -> dict[str, Any]:
        return dict(self.optimizer.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.optimizer.load_state_dict(dict(state))


@final
class ByUpdate(Inner):
    """An `Update` moves the weights: where the user gave one, or where a knob is a tensor, one value a weight.

    Args:
        model, weights, max_grad_norm: As for `Inner`.
        update: Given the gradients.
        optimizer: Whose state is read at the start and kept up to date; None: there is none.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], update: Update, *,
                 optimizer: torch.optim.Optimizer | None = None, max_grad_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(model, weights, max_grad_norm)
        self.optimizer = optimizer
        self._update = self._clipped(update)
        self._memory = detached(self.weights)
        self._state = (
            self._update.init(self._memory) if optimizer is None else read_state(optimizer, self.model, self._update)
        )

    @classmethod
    def of(cls, model: nn.Module, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, *,
           tune: Mapping[str, str], max_grad_norm: float | None = None) -> ByUpdate:  # fmt: skip
        """Return what stands in for `optimizer`."""
        update = adapt(optimizer, plain(model), tune=tune)
        return cls(model, weights, update, optimizer=optimizer, max_grad_norm=max_grad_norm)

    def set_knobs(self, values: Hyper) -> None:
        """Nothing to set: the update is given the values."""

    def step(self, values: Hyper) -> None:
        grads = {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in self.weights.items()}
        self._keep(self._update.step_(self._memory, grads, self._state, values))

    def update(self) -> Update:
        return self._update

    def sgd_lr(self) -> float | None:
        return self._update.constant_lr if isinstance(self._update, SGD) else None

    def slots(self, update: Update) -> State:
        return self._state

    def adopt(self, weights: Weights, state: State) -> None:
        self._put(weights, state)
        self._keep(replace(state.detached(copy=True), buffers={}))

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._state.step, "slots": {s: dict(g) for s, g in self._state.slots.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if "slots" not in state:
            raise HypergradError("this state is of another kind of optimizer", "load it into one made as the saved one")
        slots = {s: {n: t.to(self._memory[n].device, copy=True) for n, t in g.items()} for s, g in state["slots"].items()}  # fmt: skip
        self._keep(State(step=int(state["step"]), slots=slots))

    def _keep(self, state: State) -> None:
        self._state = state
        if self.optimizer is not None:
            write_state(self.optimizer, self.model, state)
