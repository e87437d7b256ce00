"""How weights move in place: by the user's own `torch.optim` optimizer, or by an `Update` that shares its state."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.optimizers.arguments import get_knob, set_knob
from whet.hypergrad.problem import plain
from whet.hypergrad.tensors import Hyper, Weights, detached
from whet.hypergrad.updates.adapt import adapt, read_state, write_state
from whet.hypergrad.updates.base import State, Update
from whet.hypergrad.updates.clipped import Clipped
from whet.hypergrad.updates.sgd import SGD

__all__ = ["ByOptimizer", "ByUpdate", "Groups", "Inner"]

Groups = list[dict[str, Any]]
"""The groups of a `torch.optim` optimizer without the weights: plain values."""


class Inner(ABC):
    """Moves a model's weights by the gradients in their `.grad`, as a training loop does.

    Args:
        model: Wrapped or not.
        weights: The weights that move, by name.
        max_grad_norm: The gradients' greatest norm, over all weights; None: no limit.
        optimizer: The user's, of `torch.optim` or of its kind; None: there is none.
        tune: Which of its knobs are which hyperparameters.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], max_grad_norm: float | None, *,
                 optimizer: torch.optim.Optimizer | None = None, tune: Mapping[str, str] | None = None) -> None:  # fmt: skip
        self.model = plain(model)
        self.weights = dict(weights)
        self.max_grad_norm = max_grad_norm
        self.optimizer = optimizer
        self.tune = dict(tune or {})
        self._parameters = list(self.model.parameters())
        self._marks: list[Any] | None = None
        """The tuned knobs in the optimizer's groups, as they are to be."""

    def zero_grad(self) -> None:
        """Drop the gradients of all of the model's weights."""
        for parameter in self._parameters:
            parameter.grad = None

    def set_knobs(self, values: Hyper) -> None:
        """Use these values of the hyperparameters from now on."""
        self._marks = self._marked()

    def check_knobs(self) -> None:
        """See that nobody else moves what is tuned.

        Raises:
            HypergradError: a tuned knob is not what it was left at.
        """
        if self._marks is None or self._marks == (now := self._marked()):
            return
        knob = next(knob for (knob, *_), was in zip(now, self._marks, strict=True) if (knob, *_) != was)
        raise HypergradError(
            f"{knob} is tuned, and something else, a scheduler perhaps, has changed it in the optimizer's groups",
            f"let the scheduler move what is not tuned, or leave {knob} to it by tune=(); a tuned learning rate times a schedule is "
            "whet.hypergrad.updates.scheduled.Scheduled",
        )

    def _marked(self) -> list[Any]:
        # Reading a tensor's number could mean waiting for a device.
        found = [(knob, get_knob(g, knob)) for g in self._groups for knob in self.tune]
        return [(k, id(v), v._version) if isinstance(v, Tensor) else (k, v) for k, v in found]

    @property
    def _groups(self) -> Groups:
        return self.optimizer.param_groups if self.optimizer is not None else []

    def groups(self) -> Groups:
        """Return the groups as they are, in memory of their own."""
        return [
            {k: float(v) if isinstance(v, Tensor) else v for k, v in g.items() if k != "params"} for g in self._groups
        ]

    @abstractmethod
    def step(self, values: Hyper) -> None:
        """Move the weights."""

    def update(self, groups: Groups | None = None) -> Update:
        """Return the same as a differentiable function.

        Args:
            groups: What `groups` returned at the step that is meant; None: as the groups are now.

        Raises:
            HypergradError: Whet knows no such function for the user's optimizer.
        """
        assert self.optimizer is not None
        # Anew each time: a schedule of the user's may have changed the groups.
        with _with(self._groups, groups):
            return self._clipped(adapt(self.optimizer, self.model, tune=self.tune))

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

    def state(self, update: Update, *, copy: bool = True) -> State:
        """Return the optimizer's state, copied, and the model's buffers, themselves."""
        return replace(self.slots(update).detached(copy=copy), buffers=dict(self.model.named_buffers()))

    def put_buffers(self, buffers: Mapping[str, Tensor]) -> None:
        """Write into the model's buffers those that are given: a module that assigns one leaves a new tensor in their place."""
        with torch.no_grad():
            for name, buffer in self.model.named_buffers():
                if name in buffers and buffers[name].data_ptr() != buffer.data_ptr():
                    buffer.copy_(buffers[name])

    def _put(self, weights: Weights, state: State) -> None:
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])
        self.put_buffers(state.buffers)

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
        super().__init__(model, weights, max_grad_norm, optimizer=optimizer, tune=tune)
        self.optimizer: torch.optim.Optimizer = optimizer

    def set_knobs(self, values: Hyper) -> None:
        for knob, name in self.tune.items():
            value = values[name]
            assert isinstance(value, Tensor)
            number = float(value)
            for group in self.optimizer.param_groups:
                set_knob(group, knob, number)
        super().set_knobs(values)

    def step(self, values: Hyper) -> None:
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.weights.values(), self.max_grad_norm)
        self.optimizer.step()

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
        self._marks = None


@final
class ByUpdate(Inner):
    """An `Update` moves the weights: where the user gave one, or where a knob is a tensor, one value a weight.

    Args:
        model, weights, max_grad_norm: As for `Inner`.
        update: Given the gradients; None: what `optimizer` does.
        optimizer: Whose state is read at the start and kept up to date; None: there is none.
        tune: Knob of the optimizer to hyperparameter.
    """

    def __init__(self, model: nn.Module, weights: Mapping[str, Tensor], update: Update | None, *, optimizer: torch.optim.Optimizer | None = None,
                 tune: Mapping[str, str] | None = None, max_grad_norm: float | None = None) -> None:  # fmt: skip
        super().__init__(model, weights, max_grad_norm, optimizer=optimizer, tune=tune)
        self._update = self._clipped(update) if update is not None else super().update()
        self._adapted = self.groups()
        self._memory = detached(self.weights)
        self._state = (
            self._update.init(self._memory) if optimizer is None else read_state(optimizer, self.model, self._update)
        )

    @classmethod
    def of(cls, model: nn.Module, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, *,
           tune: Mapping[str, str], max_grad_norm: float | None = None) -> ByUpdate:  # fmt: skip
        """Return what stands in for `optimizer`."""
        return cls(model, weights, None, optimizer=optimizer, tune=tune, max_grad_norm=max_grad_norm)

    def step(self, values: Hyper) -> None:
        update = self.update()
        grads = {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in self.weights.items()}
        self._keep(update.step_(self._memory, grads, self._state, values))

    def update(self, groups: Groups | None = None) -> Update:
        if self.optimizer is None:
            return self._update
        if groups is not None:
            return super().update(groups)
        if (now := self.groups()) != self._adapted:  # a schedule of the user's has changed them
            self._update, self._adapted = super().update(), now
            slots = read_state(self.optimizer, self.model, self._update).slots  # momentum that begins needs a buffer
            self._state = replace(self._state, slots=slots)
        return self._update

    def sgd_lr(self) -> float | None:
        update = self.update()
        return update.constant_lr if isinstance(update, SGD) else None

    def slots(self, update: Update) -> State:
        return self._state

    def adopt(self, weights: Weights, state: State) -> None:
        self._put(weights, state)
        self._keep(replace(state.detached(copy=True), buffers={}))

    def state_dict(self) -> dict[str, Any]:
        slots = {s: dict(g) for s, g in self._state.slots.items()}
        return {"step": self._state.step, "slots": slots, "param_groups": self.groups()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if "slots" not in state:
            raise HypergradError("this state is of another kind of optimizer", "load it into one made as the saved one")
        slots = {s: {n: t.to(self._memory[n].device, copy=True) for n, t in g.items()} for s, g in state["slots"].items()}  # fmt: skip
        for group, saved in zip(self._groups, state.get("param_groups", ()), strict=False):
            _assign(group, saved)
        self._marks = None
        self._keep(State(step=int(state["step"]), slots=slots))

    def _keep(self, state: State) -> None:
        self._state = state
        if self.optimizer is not None:
            write_state(self.optimizer, self.model, state)


def _assign(group: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Write plain values into a group, in place where it holds a tensor."""
    for key, value in values.items():
        if isinstance(own := group.get(key), Tensor):
            own.fill_(value)
        else:
            group[key] = value


@contextlib.contextmanager
def _with(groups: Groups, values: Sequence[Mapping[str, Any]] | None) -> Iterator[None]:
    """Within it, the groups have other values."""
    kept = [dict(group) for group in groups]
    for group, new in zip(groups, values or (), strict=False):
        group.update(new)
    try:
        yield
    finally:
        for group, old in zip(groups, kept, strict=True):
            group.clear()
            group.update(old)
