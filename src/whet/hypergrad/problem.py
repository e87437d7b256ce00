"""`Bilevel`: the problem that black-box search and hypergradients both understand."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from whet.errors import HypergradError
from whet.hypergrad.penalties import Penalty
from whet.hypergrad.tensors import Hyper, Weights, detached
from whet.hypergrad.updates.base import State, Update
from whet.hypergrad.updates.sgd import SGD

__all__ = ["Batches", "Bilevel", "Loss", "Reduce", "plain", "scalar"]

Loss = Callable[[Any, Any, Any], Tensor]
"""``loss(model, batch, hyper) -> scalar``; without a model its first argument is the mapping of the weights."""

Reduce = Callable[[Sequence[Tensor]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The data of one hypergradient.

    Args:
        train: Training batches: one for implicit methods (stochastic solvers take the others in turn), one a step for unrolled ones.
        val: The validation batch.
    """

    train: Sequence[Any]
    val: Any


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Bilevel:
    """min_λ F(w(λ), λ), where w(λ) is where the updates of the training loss f lead.

    Args:
        train_loss: f(model, batch, hyper), a scalar: the training loss of a batch, without `penalty`.
        val_loss: F(model, batch, hyper), a scalar: the validation loss of a batch. No penalty belongs in it.
        update: How weights move, given ∇f; it may name hyperparameters (``SGD(lr="lr")``).
        penalty: Penalties on the weights that f has besides `train_loss`, with closed-form derivatives.
        model: The module whose weights are meant. The losses are then called with it, its weights and buffers exchanged for those in
            question; compiled and DDP-wrapped modules are unwrapped. None: the losses take the mapping of weights itself.
        eval_mode: Whether the validation loss sees the model in eval mode (no dropout, BatchNorm's running statistics).
        reduce: Averages tensors over processes, in place; for data-parallel training.

    Example:
        >>> ridge = Bilevel(
        ...     train_loss=lambda w, batch, hyper: 0.5 * ((batch[0] @ w["w"] - batch[1]) ** 2).mean() + 0.5 * hyper["l2"] * (w["w"] ** 2).sum(),
        ...     val_loss=lambda w, batch, hyper: 0.5 * ((batch[0] @ w["w"] - batch[1]) ** 2).mean(),
        ... )
    """

    train_loss: Loss
    val_loss: Loss
    update: Update = field(default_factory=SGD)
    penalty: Penalty | Sequence[Penalty] = ()
    model: nn.Module | None = None
    eval_mode: bool = True
    reduce: Reduce | None = None

    def __post_init__(self) -> None:
        if self.model is not None:
            object.__setattr__(self, "model", plain(self.model))
        given: Any = self.penalty
        object.__setattr__(self, "penalty", tuple(given) if isinstance(given, list | tuple) else (given,))
        if wrong := [p for p in self.penalties if not isinstance(p, Penalty)]:
            raise HypergradError(f"the penalty is {wrong[0]!r}", 'give an L2 or L1: penalty=L2(strength="decay")')

    # -- where a run begins ---------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """Return the model's trainable weights by name: cut from any graph, in the model's own memory.

        Raises:
            HypergradError: there is no model, or all of its weights are frozen.
        """
        if self.model is None:
            raise HypergradError("this problem has no model", "give the weights as a mapping of your own")
        found = detached({n: p for n, p in self.model.named_parameters() if p.requires_grad})
        if not found:
            raise HypergradError("the model has no trainable weight", "set requires_grad on some of its parameters")
        return found

    def start(self, weights: Weights) -> State:
        """Return the state before the first update, with copies of the model's buffers."""
        state = self.update.init(weights)
        return self.with_buffers(State(step=state.step, slots=state.slots))

    def with_buffers(self, state: State) -> State:
        """Return `state` with copies of those of the model's buffers that it lacks, as the state of an optimizer does."""
        own = {} if self.model is None else dict(self.model.named_buffers())
        missing = {n: t for n, t in own.items() if n not in state.buffers}
        return replace(state, buffers={**state.buffers, **detached(missing, copy=True)}) if missing else state

    # -- the two losses and the map -------------------------------------------------------------------------------------

    def train(self, weights: Weights, hyper: Hyper, batch: Any, buffers: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return f without its `penalty`. `buffers` are written to, as a training step would; None or empty: copies are."""
        with _twice_differentiable(self.model):
            return scalar(self._call(self.train_loss, weights, hyper, batch, buffers), "the training loss")

    def val(self, weights: Weights, hyper: Hyper, batch: Any, buffers: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return F; `buffers` None: copies of the model's."""
        evaluated = self.model if self.eval_mode else None
        with _evaluating(evaluated), _plain_recurrence(evaluated):
            return scalar(self._call(self.val_loss, weights, hyper, batch, buffers), "the validation loss")

    def inner(self, weights: Weights, hyper: Hyper, batch: Any, buffers: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return f with its penalties, as one differentiable scalar."""
        loss = self.train(weights, hyper, batch, buffers)
        for penalty in self.penalties:
            loss = loss + penalty.loss(weights, hyper).to(loss.dtype)
        return loss

    def step(
        self, weights: Weights, hyper: Hyper, batch: Any, state: State | None = None
    ) -> tuple[dict[str, Tensor], State]:
        """Return weights and state after one update: a map that `torch.func` and autograd differentiate, however often.

        It is that of one process: `reduce`, which works in place, has no part in it.
        """
        state = self.start(weights) if state is None else self.with_buffers(state)

        def loss(w: Weights) -> tuple[Tensor, dict[str, Tensor]]:
            # In here, lest BatchNorm write to a captured tensor.
            buffers = state.own_buffers()
            return self.inner(w, hyper, batch, buffers), buffers

        grads, buffers = torch.func.grad(loss, has_aux=True)(dict(weights))
        buffers = {n: t.detach() for n, t in buffers.items()}
        return self.update(weights, grads, replace(state, buffers=buffers), hyper)

    def outer(self, weights: Weights, hyper: Hyper, batch: Any, buffers: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return F, as a differentiable scalar."""
        return self.val(weights, hyper, batch, buffers)

    @property
    def penalties(self) -> tuple[Penalty, ...]:
        """The penalties, one or several."""
        return (self.penalty,) if isinstance(self.penalty, Penalty) else tuple(self.penalty)

    def _call(
        self, loss: Loss, weights: Weights, hyper: Hyper, batch: Any, buffers: Mapping[str, Tensor] | None
    ) -> Any:
        if self.model is None:
            return loss(weights, batch, hyper)
        if not buffers:
            buffers = detached(dict(self.model.named_buffers()), copy=True)
        with _exchanged(self.model, weights, buffers):
            return loss(self.model, batch, hyper)


def plain(model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile` and `DistributedDataParallel`, which can't be differentiated twice."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = model.module
        else:
            return model


@contextlib.contextmanager
def _exchanged(model: nn.Module, weights: Weights, buffers: Mapping[str, Tensor]) -> Iterator[None]:
    """Put tensors in the place of a model's own, wherever it has them (a tied one has several places), and take them out again.

    `torch.func.functional_call` leaves its tensors behind in modules that are registered twice. Buffers that a module makes, replaces or
    drops meanwhile are as before, too; what it wrote to those in `buffers` is there.
    """
    given = {**weights, **buffers}
    own = {id(t): n for n, t in (*model.named_parameters(), *model.named_buffers()) if n in given}
    if len(own) < len(given):
        names = sorted(given.keys() - own.values())
        raise HypergradError(f"the model has no weight {names[0]!r}", "name them as model.named_parameters() does")
    places = [
        (slots, key, tensor, own[id(tensor)])
        for module in model.modules()
        for slots in (module._parameters, module._buffers)
        for key, tensor in slots.items()
        if id(tensor) in own
    ]
    kept = [(module._buffers, dict(module._buffers)) for module in model.modules() if module._buffers]
    try:
        for slots, key, _, name in places:
            slots[key] = given[name]
        yield
    finally:
        written = {name: slots.get(key) for slots, key, _, name in places if name in buffers}
        for slots, key, tensor, _ in places:
            slots[key] = tensor
        for slots, own in kept:
            slots.clear()
            slots.update(own)
        for name, new in written.items():
            if isinstance(buffers, dict) and isinstance(new, Tensor):
                buffers[name] = new.detach()  # a new one if the module assigned one; and what it wrote has a graph


@contextlib.contextmanager
def _evaluating(model: nn.Module | None) -> Iterator[None]:
    was = [] if model is None else [m for m in model.modules() if m.training]
    for module in was:
        module.training = False
    try:
        yield
    finally:
        for module in was:
            module.training = True


@contextlib.contextmanager
def _twice_differentiable(model: nn.Module | None) -> Iterator[None]:
    """Leave out what has no second derivative, or a wrong one: fused attention, cuDNN's recurrent layers, compiled parts, weight norm."""
    modules = [] if model is None else list(model.modules())
    with contextlib.ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        # Nothing is compiled before it is loaded, and loading it takes seconds.
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_plain_recurrence(model))
        if any("WeightNorm" in type(part).__name__ for m in modules for part in (m, *m._forward_pre_hooks.values())):
            stack.enter_context(_PlainWeightNorm())
        yield


@contextlib.contextmanager
def _plain_recurrence(model: nn.Module | None) -> Iterator[None]:
    """Keep recurrent layers from cuDNN, which can't differentiate them twice, nor once in eval mode."""
    cudnn = torch.backends.cudnn
    was, recurrent = cudnn.enabled, model is not None and any(isinstance(m, nn.RNNBase) for m in model.modules())
    try:
        cudnn.enabled = was and not recurrent
        yield
    finally:
        cudnn.enabled = was


class _PlainWeightNorm(TorchFunctionMode):  # type: ignore[misc]
    """Weight normalisation by its definition: the fused kernel's second derivative takes the norms for constants, and is wrong."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch._weight_norm:
            return _weight_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    return v * (g / torch.norm_except_dim(v, 2, dim))


def scalar(value: Any, what: str) -> Tensor:
    """Return a loss as a tensor of no dimensions.

    Args:
        value: What a loss function returned.
        what: Its name, for the error.

    Raises:
        HypergradError: it is not one floating-point number in a tensor.
    """
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r}"
        raise HypergradError(f"{what} is {got}", "return one number, a tensor: take the mean over the batch")
    if not value.is_floating_point():
        raise HypergradError(f"{what} is of {value.dtype}", "return a floating-point tensor")
    return value.reshape(())
