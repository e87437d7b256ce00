"""What every hypergradient method is, and what it returns."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.linear import HyperGrads, Meter
from whet.hypergrad.operators import TensorLike
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tensors import Hyper, Weights, broadcasts, is_finite, leaves, unflatten
from whet.hypergrad.updates.base import State

__all__ = ["HyperGrad", "Hypergradient", "Spent", "check", "finished", "kept_rng"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a hypergradient cost.

    Args:
        grads: Gradients of a loss (forward and backward).
        hvps: Products with the Hessian, one pass each through a gradient's graph.
        steps: Weight updates that were run, recomputed ones included.
        gflop: Floating-point operations in billions, if they were asked for.
    """

    grads: int = 0
    hvps: int = 0
    steps: int = 0
    gflop: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HyperGrad:
    """A hypergradient.

    Args:
        loss: F on the validation batch, a scalar, where the method looked at it.
        grads: dF/dλ, of the structure of the hyperparameters; zeros where one is not reached.
        residual: How well the linear system was solved, ‖Aq − v‖/‖v‖; None for methods that solve none.
        spent: What it cost.
        notes: What the user should know, in words: a corrected scale, a solver that did not converge.
        solution: q, by weight: the next warm start. None where there is none.
        weights, state: Where an unrolled run ended; None for other methods.
    """

    loss: Tensor
    grads: dict[str, Tensor | dict[str, Tensor]]
    residual: float | None = None
    spent: Spent = field(default_factory=Spent)
    notes: tuple[str, ...] = ()
    solution: dict[str, Tensor] | None = None
    weights: dict[str, Tensor] | None = None
    state: State | None = None

    @property
    def finite(self) -> bool:
        """Whether no element of the loss or the gradient is NaN or infinite."""
        return is_finite([self.loss, *leaves(self.grads).values()])


class Hypergradient(ABC):
    """Computes dF/dλ of a `Bilevel` problem. Every final class is a frozen dataclass of its own knobs.

    The laws (`whet.testing.hypergrad_laws` checks them):

    - Exact methods agree with float64 central differences; approximate ones tend to them as their terms grow. With BatchNorm they are
      exact for ``eval_mode=False`` only, since no derivative goes through its running statistics.
    - The model's weights, buffers, training mode and `.grad`, the given tensors, and the random state are as before the call.
    - The same arguments and random state give the same result.
    """

    def __call__(self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State | None = None,
                 warm: Weights | None = None, count_flops: bool = False) -> HyperGrad:  # fmt: skip
        """Return the hypergradient.

        Args:
            problem: What is differentiated.
            weights: Where: w* or near it for implicit methods, the weights that a run starts from for unrolled ones.
            hyper: Values of the hyperparameters (not their raw, transformed form), floating-point tensors.
            batches: Training and validation data.
            state: The optimizer's state and the model's buffers at `weights`, the model's own where it lacks one; None: as before the
                first step.
            warm: The `solution` of an earlier call, to start an iterative solver from.
            count_flops: Fill `spent.gflop`; slows the call down a little.

        Raises:
            HypergradError: something given can't be differentiated, or a hyperparameter reaches neither loss nor update.
        """
        check(problem, weights, hyper, batches, state)
        with kept_rng(weights), _counted(count_flops) as flops:
            state = problem.start(weights) if state is None else problem.with_buffers(state)
            result = self._compute(problem, weights, hyper, batches, state=state, warm=warm)
        if count_flops:
            result = replace(result, spent=replace(result.spent, gflop=flops() / 1e9))
        return result

    @abstractmethod
    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        """Return the hypergradient of checked arguments; the random state is put back by the caller."""


def finished(
    hyper: Hyper, found: HyperGrads, *, what: str, loss: Tensor, meter: Meter, steps: int = 0, **rest: Any
) -> HyperGrad:
    """Return the result for the derivatives `found`; refuse hyperparameters that nothing reaches.

    Raises:
        HypergradError: a name of `hyper` has no derivative at all; `what` says what does not depend on it and what to do.
    """
    flat = leaves(hyper)
    reached = {path[0] for path in found}
    for name in hyper:
        if name not in reached:
            raise HypergradError(f"the hyperparameter {name!r} does not reach {what}", _advice(what), name=name)
    # Where the closed form of a penalty is multiplied out, its derivative comes in the weights' precision.
    grads = {path: found[path].detach().to(t) if path in found else torch.zeros_like(t) for path, t in flat.items()}
    return HyperGrad(
        loss=loss, grads=unflatten(grads), spent=Spent(grads=meter.grads, hvps=meter.hvps, steps=steps), **rest
    )


@contextlib.contextmanager
def kept_rng(weights: Weights) -> Iterator[None]:
    """Put the random state of the CPU, and of the weights' CUDA devices, back at the end."""
    devices = sorted({w.device.index for w in weights.values() if w.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices, enabled=True):
        yield


def _advice(what: str) -> str:
    if "update" in what:
        return 'use it in the training loss, in a penalty, or by name in the update (SGD(lr="lr"))'
    return (
        "use the value that the loss is passed (hyper[name]), not one read before; learning rates, momentum and betas are in the "
        'update, not in the loss: take Implicit(system="update") or an unrolled method for those'
    )


def check(problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, state: State | None = None) -> None:
    """Refuse what can't be differentiated.

    Raises:
        HypergradError: nothing is given, a tensor is of integers, in half precision or of another shape than its weight, a weight is not
            the model's, the training data are no sequence of batches, or gradients are off for good (`torch.inference_mode`).
    """
    if torch.is_inference_mode_enabled():
        raise HypergradError("nothing can be differentiated under torch.inference_mode()", "leave it for this call")
    if not weights:
        raise HypergradError("there are no weights", "give at least one trainable tensor")
    if not hyper:
        raise HypergradError("there are no hyperparameters", "give at least one")
    train: Any = batches.train
    if isinstance(train, Mapping) or not (hasattr(train, "__getitem__") and hasattr(train, "__len__")):
        raise HypergradError(
            f"the training data are a {type(train).__name__}, not a sequence of batches",
            "give a list: [batch], list(loader), or as many as there are steps: list(itertools.islice(loader, 100))",
        )
    if len(batches.train) == 0:
        raise HypergradError("there is no training batch", "give at least one; is the loader empty?")
    at_hand = batches.train if isinstance(batches.train, list | tuple) else ()  # others may load what one looks at
    for what, batch in [*(("a training", batch) for batch in at_hand), ("the validation", batches.val)]:
        if _is_empty(batch):
            raise HypergradError(f"{what} batch has no examples, so its mean loss is no number", "leave it out")
    for kind, tensors in (
        ("weight", dict(weights)),
        ("hyperparameter", {"/".join(p): t for p, t in leaves(hyper).items()}),
    ):
        for name, tensor in tensors.items():
            if not isinstance(tensor, Tensor):
                fix = "give hyper.tensors()" if isinstance(tensor, TensorLike) else "wrap it: torch.tensor(value)"
                raise HypergradError(f"{kind} {name!r} is {tensor!r}, not a tensor", fix)
            if not tensor.is_floating_point():
                raise HypergradError(
                    f"{kind} {name!r} is of {tensor.dtype}, through which no gradient flows",
                    "convert it to float32 or float64",
                )
            if tensor.dtype in (torch.float16, torch.bfloat16):
                raise HypergradError(
                    f"{kind} {name!r} is of {tensor.dtype}: products with the Hessian lose all digits in half precision",
                    "keep it in float32 and run the loss under torch.autocast",
                )
            if tensor.is_inference():
                raise HypergradError(
                    f"{kind} {name!r} was made under torch.inference_mode(), so no gradient flows through it",
                    "make it outside, or give a clone that was made outside",
                )
    _check_slots(problem, weights, State() if state is None else state)
    for penalty in problem.penalties:
        penalty.check(weights, hyper)
    for name in sorted(problem.update.hyper_names & hyper.keys()):
        given = hyper[name]
        for weight, tensor in given.items() if isinstance(given, Mapping) else ():
            if weight in weights and tensor.numel() != 1 and not broadcasts(tensor.shape, weights[weight].shape):
                shapes = f"{tuple(tensor.shape)} for the weight {weight!r} of {tuple(weights[weight].shape)}"
                raise HypergradError(
                    f"the hyperparameter {name!r} has shape {shapes}", "give it a shape that broadcasts"
                )
        array = None if isinstance(given, Mapping) or given.numel() == 1 else given
        # Which weights it is for, the update knows; it refuses what does not go with one of those.
        if array is not None and not any(broadcasts(array.shape, w.shape) for w in weights.values()):
            first, weight = next(iter(weights.items()))
            shapes = f"{tuple(array.shape)} and the weight {first!r} {tuple(weight.shape)}"
            raise HypergradError(
                f"the hyperparameter {name!r} has shape {shapes}",
                "give a scalar, or a mapping with one tensor a weight",
            )
    if problem.model is not None:
        own = {n: p for n, p in problem.model.named_parameters() if p.requires_grad}
        if wrong := [n for n in weights if n not in own]:
            raise HypergradError(
                f"the model has no trainable weight {wrong[0]!r}", f"it has {', '.join(list(own)[:10])}"
            )
        for name, tensor in weights.items():
            if tensor.shape != own[name].shape:
                raise HypergradError(
                    f"weight {name!r} has shape {tuple(tensor.shape)} and the model's has {tuple(own[name].shape)}",
                    "give it that shape",
                )


def _check_slots(problem: Bilevel, weights: Weights, state: State) -> None:
    odd = [
        (kind, name, tensor)
        for kind, group in state.slots.items()
        for name, tensor in group.items()
        if name in weights and tensor.shape != weights[name].shape
    ]
    if not odd:
        return
    # Most optimizers' tensors are of their weights' shapes; the update itself says which are not. Nothing is allocated for it.
    fresh = problem.update.init({n: w.detach().to("meta") for n, w in weights.items()}).slots
    for kind, name, tensor in odd:
        wanted = fresh.get(kind, {}).get(name)
        if wanted is not None and wanted.shape != tensor.shape:
            raise HypergradError(
                f"the state's {kind!r} of the weight {name!r} has shape {tuple(tensor.shape)}, not {tuple(wanted.shape)}",
                "begin with update.init(weights), or with read_state(optimizer, model, update)",
            )


def _is_empty(batch: Any) -> bool:
    """Return whether there are tensors in a batch, and all of them have length 0."""
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else [batch]
    sized = [part for part in parts if isinstance(part, Tensor) and part.dim()]
    return bool(sized) and all(len(part) == 0 for part in sized)


@contextlib.contextmanager
def _counted(wanted: bool) -> Iterator[Any]:
    if not wanted:
        yield lambda: 0
        return
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    counter.mod_tracker = (
        _NoModules()
    )  # its hooks on modules break autograd.grad with respect to a module's leaf inputs
    with counter:
        yield counter.get_total_flops


class _NoModules:
    parents = frozenset({"Global"})

    def __enter__(self) -> _NoModules:
        return self

    def __exit__(self, *_: object) -> None:
        return None
