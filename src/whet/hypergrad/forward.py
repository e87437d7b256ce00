"""Forward mode: carry d(weights, state)/dλ along with training, one tangent a scalar hyperparameter. Memory does not grow with the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient, finished
from whet.hypergrad.counts import is_count
from whet.hypergrad.linear import HyperGrads, Meter, ValGrad, add_into_, second_derivatives
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.tensors import Hyper, Weights, apart, leaves, unflatten
from whet.hypergrad.updates.base import State

__all__ = ["Forward", "Tangents", "forward_step", "hypergradient_of"]

Path = tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Tangents:
    """Z = d(w, s)/dλ after some steps: what `forward_step` carries from step to step.

    Args:
        weights: dw/dλ by weight, each of shape (P, \\*weight.shape), where P counts the scalars of all hyperparameters.
        slots: The same for the optimizer's tensors.
        hyper: The hyperparameters of the last step by path, in the order of the P directions.
        reached: The names of those that the training loss or the update has depended on so far.
        batched: Whether several directions may go through the graph at once; found out at the first step.
    """

    weights: dict[str, Tensor]
    slots: dict[str, dict[str, Tensor]]
    hyper: dict[Path, Tensor]
    reached: frozenset[str]
    batched: bool = True


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Forward(Hypergradient):
    """Z ← A Z + B at every step, dF/dλ = ∂F/∂w · Z + ∂F/∂λ at the end: exact, for few hyperparameters and any number of steps.

    A step costs one product with the Hessian for every scalar hyperparameter, and the memory is that many copies of the weights,
    however long the run is. Two passes over one graph give a product, so every model with second derivatives will do.
    With BatchNorm it is exact for ``eval_mode=False`` only, since no derivative goes through running statistics.

    Args:
        chunk: Hyperparameters that go through the graph at once, >= 1: more is faster and takes that many times a batch's activations.
        limit: The greatest number of scalar hyperparameters that it accepts, lest the tangents fill the memory.

    Example:
        >>> import torch
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> problem = Bilevel(train_loss=lambda w, x, h: x * w["w"], val_loss=lambda w, _, h: w["w"] ** 2, update=SGD(lr="lr"))
        >>> batches = Batches(train=[torch.tensor(1.0), torch.tensor(2.0)], val=None)
        >>> found = Forward()(problem, {"w": torch.tensor(5.0)}, {"lr": torch.tensor(1.0)}, batches)
        >>> found.weights, found.grads  # w = 5 - 3 lr, F = w²
        ({'w': tensor(2.)}, {'lr': tensor(-12.)})

    Source: Franceschi et al., Forward and Reverse Gradient-Based Hyperparameter Optimization, ICML 2017.
    """

    chunk: int = 16
    limit: int = 1000

    def __post_init__(self) -> None:
        if not (is_count(self.chunk) and is_count(self.limit)):
            raise HypergradError(f"{self!r}: chunk and limit count hyperparameters", "give whole numbers of at least 1")

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        count = sum(t.numel() for t in leaves(hyper).values())
        if count > self.limit:
            raise HypergradError(
                f"Forward() was given {count:,} scalar hyperparameters and its limit is {self.limit:,}",
                "use an unrolled or an implicit method: their cost does not grow with that number",
                count=count,
            )
        meter, tangents, given = Meter(), None, [*weights.values(), *state.tensors()]
        for batch in batches.train:
            weights, state, tangents = forward_step(
                problem, weights, hyper, batch, state, tangents, chunk=self.chunk, meter=meter
            )
        assert tangents is not None
        val = ValGrad(
            problem,
            weights,
            hyper,
            batches.val,
            buffers=state.own_buffers(),
            meter=meter,
        )
        # An update may leave a weight as it is, in the memory of the model.
        end = [t for t in apart([*weights.values(), *state.tensors()], given) if t is not None]
        return finished(
            hyper, hypergradient_of(tangents, val), what="the training loss or the update", loss=val.loss, meter=meter,
            steps=len(batches.train), weights=dict(zip(weights, end, strict=False)), state=state.with_tensors(end[len(weights) :]),
        )  # fmt: skip


def forward_step(problem: Bilevel, weights: Weights, hyper: Hyper, batch: Any, state: State, tangents: Tangents | None = None, *,
                 chunk: int = 16, meter: Meter | None = None) -> tuple[dict[str, Tensor], State, Tangents]:  # fmt: skip
    """Return weights, state and tangents after one update; nothing that is given is changed.

    Args:
        problem: What is trained.
        weights, hyper, batch, state: Before the step.
        tangents: Before the step; None: zeros, the weights do not depend on the hyperparameters yet.
        chunk: Hyperparameters that go through the graph at once.
        meter: Counts.
    """
    meter = meter or Meter()
    flat = {path: t.detach() for path, t in leaves(hyper).items()}
    if tangents and {p: t.shape for p, t in tangents.hyper.items()} != {p: t.shape for p, t in flat.items()}:
        raise HypergradError("the tangents are those of other hyperparameters", "begin anew, with tangents=None")
    at = _Gradient(problem, weights, flat, batch, state, tangents, meter)
    count = sum(t.numel() for t in flat.values())
    pushed = []
    for low in range(0, count, chunk):
        high = min(low + chunk, count)
        into = tangents and (
            {n: tangents.weights[n][low:high] for n in weights},
            {s: {n: tangents.slots[s][n][low:high] for n in group} for s, group in state.slots.items()},
        )
        pushed.append(at.push(into, _units(at.hyper, low, high), last=high == count))
    new, after = at.after()
    moved = Tangents(
        weights={n: _joined([w[n] for w, _ in pushed]) for n in new},
        slots={s: {n: _joined([slots[s][n] for _, slots in pushed]) for n in group} for s, group in after.slots.items()},
        hyper=flat,
        reached=at.reached | (tangents.reached if tangents else frozenset()),
        batched=at.batched,
    )  # fmt: skip
    return new, after, moved


def hypergradient_of(tangents: Tangents, val: ValGrad) -> HyperGrads:
    """Return dF/dλ = ∂F/∂w · Z + ∂F/∂λ by path; hyperparameters that nothing has depended on are missing."""
    total: Any = sum(z.reshape(len(z), -1) @ val.weights[n].reshape(-1) for n, z in tangents.weights.items())
    pieces = total.split([t.numel() for t in tangents.hyper.values()])
    found = {
        path: piece.reshape(t.shape).to(t)
        for (path, t), piece in zip(tangents.hyper.items(), pieces, strict=True)
        if path[0] in tangents.reached
    }
    add_into_(found, val.hyper)
    return found


class _Gradient:
    """∇f at one point, and what one update makes of tangents there.

    (∂²f/∂w²) z + (∂²f/∂w∂λ) e is the w part of a Hessian times (z, e), and a Hessian is its own transpose: so it is had by sending
    (z, e) backward through (∂f/∂w, ∂f/∂λ), which needs no forward-mode rules and costs a product with the Hessian. A backward pass
    written by hand (`torch.autograd.Function`) need not be the gradient of anything, though; then J z is the derivative of u ↦ Jᵀu
    along z, at the price of a longer graph.
    """

    def __init__(self, problem: Bilevel, weights: Weights, hyper: Mapping[Path, Tensor], batch: Any, state: State,
                 tangents: Tangents | None, meter: Meter) -> None:  # fmt: skip
        self.problem, self.before, self.meter = problem, state, meter
        self.batched = tangents is None or tangents.batched
        self.weights = {n: _dense(w.detach()) for n, w in weights.items()}
        # vmap makes vectors of scalars, which, unlike those, must be where the weights are.
        self.hyper = {path: _dense(t.to(next(iter(self.weights.values())).device)) for path, t in hyper.items()}
        self._buffers = state.own_buffers()
        own = {n: w.detach().requires_grad_() for n, w in weights.items()}
        flat = {path: t.detach().requires_grad_() for path, t in self.hyper.items()}
        ends = [*own.values(), *flat.values()]
        with torch.enable_grad():
            loss = problem.train(own, unflatten(flat), batch, self._buffers)
            symmetric = not _by_hand(loss)
            wanted = ends if symmetric else list(own.values())
            outs: tuple[Tensor | None, ...] = (None,) * len(wanted)
            if loss.requires_grad:
                outs = torch.autograd.grad(loss, wanted, create_graph=True, allow_unused=True)
            grads = dict(zip(own, outs, strict=False))
            if all(g is None for g in grads.values()):
                raise HypergradError(
                    "the training loss does not depend on the weights", "compute it from the model that is passed in"
                )
            self._inputs: dict[str, Tensor] = own
            if not symmetric:
                smooth = {n: g for n, g in grads.items() if g is not None and g.requires_grad}
                self._inputs = {n: torch.zeros_like(g, requires_grad=True) for n, g in smooth.items()}
                outs = (None,) * len(ends) if not smooth else torch.autograd.grad(
                    list(smooth.values()), ends, list(self._inputs.values()), create_graph=True, allow_unused=True
                )  # fmt: skip
        meter.grads += 1
        keys: list[str | Path] = [*own, *flat]
        self._outs = {k: out for k, out in zip(keys, outs, strict=True) if out is not None and out.requires_grad}
        self.grads = {n: torch.zeros_like(w) if (g := grads[n]) is None else _dense(g.detach()) for n, w in own.items()}
        if problem.reduce:  # in place, while the graph may hold the gradients themselves
            self.grads = {n: g.clone() for n, g in self.grads.items()}
            problem.reduce(list(self.grads.values()))
        named = problem.update.hyper_names | {p.strength for p in problem.penalties if isinstance(p.strength, str)}
        self.reached = frozenset(path[0] for path in self.hyper if path in self._outs or path[0] in named)

    def after(self) -> tuple[dict[str, Tensor], State]:
        """Return weights and state after the update, without a graph."""
        with torch.no_grad():
            new, state = self._moved(self.weights, self.grads, self.before.slots, self.hyper)
        return new, replace(state.detached(), buffers={n: t.detach() for n, t in self._buffers.items()})

    def push(self, into: tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]] | None, units: dict[Path, Tensor], *,
             last: bool) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:  # fmt: skip
        """Return A z + B e for some directions: tangents of the weights and the slots (None: zeros), units of the hyperparameters."""
        count = next(iter(units.values())).shape[0]

        def still(t: Tensor) -> Tensor:
            return t.new_zeros(()).expand(count, *t.shape)

        from_w, from_s = into or (
            {n: still(w) for n, w in self.weights.items()},
            {s: {n: still(t) for n, t in group.items()} for s, group in self.before.slots.items()},
        )
        cots: dict[Any, Tensor] = {**(from_w if into else {}), **units}
        ends = [(out, cots[k]) for k, out in self._outs.items() if k in cots]
        products = self._through(ends, count, last=last) if ends else {}
        from_g = {n: still(w) if (p := products.get(n)) is None else p for n, w in self.weights.items()}
        if self.problem.reduce:  # in place, while autograd may return what it was given
            from_g = {n: p.clone(memory_format=torch.contiguous_format) for n, p in from_g.items()}
            self.problem.reduce(list(from_g.values()))

        slots = {s: {n: _dense(t) for n, t in group.items()} for s, group in self.before.slots.items()}
        at = (self.weights, self.grads, slots, self.hyper)

        def pushed(*along: Any) -> Any:
            return torch.func.jvp(lambda *x: _parts(self._moved(*x)), at, along)[1]

        moved: tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]] = torch.func.vmap(pushed)(
            from_w, from_g, from_s, units
        )
        return moved

    def _moved(self, weights: Any, grads: Any, slots: Any, flat: Any) -> tuple[dict[str, Tensor], State]:
        hyper = unflatten(flat)
        if self.problem.penalties:
            grads = {n: g.clone() for n, g in grads.items()}
            for penalty in self.problem.penalties:
                penalty.add_grad_(grads, weights, hyper)
        return self.problem.update(weights, grads, replace(self.before, slots=slots), hyper)

    def _through(self, ends: Sequence[tuple[Tensor, Tensor]], count: int, *, last: bool) -> dict[str, Tensor | None]:
        outs, cots = [out for out, _ in ends], [cot for _, cot in ends]
        inputs = list(self._inputs.values())
        self.meter.hvps += count
        if self.batched and count > 1:
            try:
                found = torch.autograd.grad(
                    outs, inputs, cots, retain_graph=True, allow_unused=True, is_grads_batched=True
                )
                return dict(zip(self._inputs, found, strict=True))
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:  # an operation that vmap does not know: one by one
                self.batched = False
        with second_derivatives():
            rows = [
                torch.autograd.grad(
                    outs, inputs, [c[i] for c in cots], retain_graph=not last or i < count - 1, allow_unused=True
                )
                for i in range(count)
            ]
        return {
            n: None if column[0] is None else torch.stack(column)
            for n, column in zip(self._inputs, zip(*rows, strict=True), strict=True)
        }


def _parts(moved: tuple[dict[str, Tensor], State]) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    return moved[0], {s: dict(g) for s, g in moved[1].slots.items()}


def _units(hyper: Mapping[Path, Tensor], low: int, high: int) -> dict[Path, Tensor]:
    """Return, by path, the unit vectors low … high − 1 of the space of all hyperparameters, as (high − low, *shape)."""
    units, offset = {}, 0
    for path, t in hyper.items():
        unit = torch.zeros(high - low, t.numel(), dtype=t.dtype, device=t.device)
        first, end = max(low, offset), min(high, offset + t.numel())
        if first < end:
            unit[first - low : end - low, first - offset : end - offset].fill_diagonal_(1)
        units[path] = unit.reshape(-1, *t.shape)
        offset += t.numel()
    return units


def _dense(tensor: Tensor) -> Tensor:
    """Return a tensor that forward mode takes: none whose elements share memory, as those of an expanded one do."""
    return tensor.contiguous() if 0 in tensor.stride() else tensor


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _by_hand(loss: Tensor) -> bool:
    """Return whether a backward pass written in Python is in the graph."""
    seen, todo = set(), [loss.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        seen.add(node)
        todo.extend(following for following, _ in node.next_functions)
    return False
