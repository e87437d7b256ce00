"""Reversible training: SGD with momentum in exact integer arithmetic runs backward to the very bits that it started from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, Hypergradient, finished
from whet.hypergrad.linear import Curvature, HyperGrads, Meter, ValGrad, add_direct_, add_into_
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.replay import Replay
from whet.hypergrad.tensors import Hyper, Weights, leaves, unflatten
from whet.hypergrad.updates.base import State, setting
from whet.hypergrad.updates.sgd import SGD

__all__ = ["Reversible"]

_BUFFER = "momentum_buffer"
_DENOMINATOR = (
    4096  # of the fraction that stands for the momentum: its error is below 1e-7, and it blurs the last 12 bits at most
)
_WORD = 32


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reversible(Hypergradient):
    """Reverse unrolling whose states are found again by running training backward: exact, in memory that hardly grows.

    w and m are integers of 2⁻ᵇⁱᵗˢ. Then w ← w − ηm and m ← m + g are undone by their opposites, to the bit; only m ← μm loses
    something, log₂(1/μ) bits a weight, which go to a store: 0.15 bits a step and weight with μ = 0.9, 0.014 with 0.99. The run is
    that of the update but for rounding, and its hypergradient is exact.

    For SGD with momentum above 0, weight decay and dampening, without Nesterov's form. The model must compute the same gradient twice,
    to the bit: with CUDA kernels that do not, call ``torch.use_deterministic_algorithms(True)``. It is noticed if it did not.

    Args:
        bits: After the binary point, from 8 to 52: numbers are exact to 2⁻ᵇⁱᵗˢ, and must stay below 2⁶²⁻ᵇⁱᵗˢ.

    Example:
        >>> import torch
        >>> problem = Bilevel(train_loss=lambda w, x, h: x * w["w"], val_loss=lambda w, _, h: w["w"] ** 2, update=SGD(lr="lr", momentum=0.5))
        >>> batches = Batches(train=[torch.tensor(1.0), torch.tensor(2.0)], val=None)
        >>> found = Reversible()(problem, {"w": torch.tensor(5.0)}, {"lr": torch.tensor(1.0)}, batches)
        >>> found.weights, found.grads  # w = 5 - 3.5 lr, F = w²
        ({'w': tensor(1.5000)}, {'lr': tensor(-10.5000)})

    Source: Maclaurin, Duvenaud, Adams, Gradient-based Hyperparameter Optimization through Reversible Learning, ICML 2015.
    """

    bits: int = 40

    def __post_init__(self) -> None:
        if not 8 <= self.bits <= 52:
            raise HypergradError(f"Reversible(bits={self.bits}): it must be from 8 to 52", "leave it at 40")

    def _compute(
        self, problem: Bilevel, weights: Weights, hyper: Hyper, batches: Batches, *, state: State, warm: Weights | None
    ) -> HyperGrad:
        update, hyper, ratios = _rational(problem.update, weights, hyper)
        problem = replace(problem, update=update)
        meter, replay, buffers = Meter(), Replay(weights), state.own_buffers()
        run = _Run(update, weights, hyper, state, ratios, self.bits)
        for i, batch in enumerate(batches.train):
            with replay.at(i):
                # With a graph, although none is needed: some kernels give other bits without.
                at = Curvature(problem, run.weights(), hyper, batch, buffers=buffers, meter=meter)
            run.step(at.weights, at.grads)
        end = run.weights()
        state = State(step=run.steps, slots={_BUFFER: run.momenta()}, buffers=buffers)
        val = ValGrad(problem, end, hyper, batches.val, buffers=state.own_buffers(), meter=meter)
        if run.in_range():
            found = self._back(problem, run, hyper, batches, val, replay, state, meter)
        else:  # training diverged: there is no way back
            found = {path: torch.full_like(t, math.nan) for path, t in leaves(hyper).items()}
        return finished(
            hyper, found, what="the training loss or the update", loss=val.loss, meter=meter,
            steps=len(batches.train), weights=end, state=state,
        )  # fmt: skip

    def _back(self, problem: Bilevel, run: _Run, hyper: Hyper, batches: Batches, val: ValGrad, replay: Replay,
              end: State, meter: Meter) -> HyperGrads:  # fmt: skip
        found: HyperGrads = dict(val.hyper)
        adjoint, slots = val.weights, None
        for i in reversed(range(len(batches.train))):
            run.unmove()
            with replay.at(i):
                at = Curvature(problem, run.weights(), hyper, batches.train[i], buffers=end.own_buffers(), meter=meter)
            run.unturn(at.weights, at.grads)
            before = State(step=run.steps, slots={_BUFFER: run.momenta()})
            weights = {n: w.detach() for n, w in at.weights.items()}
            through = problem.update.vjp(weights, at.grads, before, hyper, adjoint, slots, lean=True)
            at.grads = {}
            adjoint, cross = at.vjp(through.grads, retain=False)
            add_direct_(adjoint, through)
            slots = through.slots
            add_into_(found, cross)
            add_into_(found, through.hyper)
        run.check()
        return found


@final
class _Run:
    """Weights and momenta as integers of 2⁻ᵇⁱᵗˢ, and a step there and back."""

    def __init__(self, update: SGD, weights: Weights, hyper: Hyper, state: State, ratios: Mapping[str, Fraction], bits: int) -> None:  # fmt: skip
        self.steps = state.step
        self._update, self._ratios, self._bits = update, ratios, bits
        self._begin = {n: w.detach() for n, w in weights.items()}, state.slots.get(_BUFFER, {})
        self._peak = torch.zeros((), dtype=torch.float64, device=next(iter(weights.values())).device)
        self._lr = {n: _double(setting(update.lr, n, hyper, w)) for n, w in weights.items()}
        self._decay = {n: setting(update.weight_decay, n, hyper, w) for n, w in weights.items()}
        self._w, self._m = ({n: self._whole(t) for n, t in group.items()} for group in self._begin)
        for name, w in self._w.items():
            self._m.setdefault(name, torch.zeros_like(w))
        self.lost = {n: _Lost(w, ratios[n]) for n, w in self._w.items()}

    def weights(self) -> dict[str, Tensor]:
        """Return the weights as floating-point numbers."""
        return {n: self._real(t, n) for n, t in self._w.items()}

    def momenta(self) -> dict[str, Tensor]:
        """Return the momenta as floating-point numbers."""
        return {n: self._real(self._m[n], n) for n in self._w}

    def step(self, weights: Weights, grads: Weights) -> None:
        """m ← μm + d, w ← w − ηm, for the weights as `weights` said and the gradient there."""
        for name, w in self._w.items():
            self.lost[name].times_(self._m[name])
            self._m[name].add_(self._direction(name, weights, grads))
            w.sub_(self._move(name))
            for t in (self._m[name], w):
                self._saw(t.to(torch.float64))
        self.steps += 1

    def unmove(self) -> None:
        """w ← w + ηm: the weights before the last step, at which the gradient is needed again."""
        self.steps -= 1
        for name, w in self._w.items():
            w.add_(self._move(name))

    def unturn(self, weights: Weights, grads: Weights) -> None:
        """m ← (m − d)/μ, after `unmove`."""
        for name, m in self._m.items():
            m.sub_(self._direction(name, weights, grads))
            self.lost[name].over_(m)

    def in_range(self) -> bool:
        """Return whether all numbers of the run were small enough; False: some were not finite.

        Raises:
            HypergradError: they were finite and too large.
        """
        peak = float(self._peak)
        if peak < 2**62 or not math.isfinite(peak):
            return math.isfinite(peak)
        raise HypergradError(
            f"a weight, momentum or gradient came to {math.ldexp(peak, -self._bits):.3g}, and Reversible(bits={self._bits}) "
            f"holds numbers below {math.ldexp(1.0, 62 - self._bits):.3g}",
            "has training diverged? if not, give fewer bits",
            peak=math.ldexp(peak, -self._bits),
        )

    def check(self) -> None:
        """Raise where running backward did not lead to the beginning.

        Raises:
            HypergradError: a gradient was not computed the same twice.
        """
        weights, momenta = self._begin
        for name, w in self._w.items():
            first = self._whole(momenta[name]) if name in momenta else torch.zeros_like(w)
            if not (torch.equal(w, self._whole(weights[name])) and torch.equal(self._m[name], first)):
                raise HypergradError(
                    "training run backward did not arrive at the weights it began with: a gradient was not the same to the bit "
                    "when it was computed again",
                    "call torch.use_deterministic_algorithms(True); keep the loss from random numbers that torch does not draw and "
                    "from buffers that training changes; or take Unrolled()",
                    name=name,
                )

    def _direction(self, name: str, weights: Weights, grads: Weights) -> Tensor:
        d, decay = grads[name], self._decay[name]
        d = -d if self._update.maximize else d
        if isinstance(decay, Tensor) or decay != 0:
            d = d + decay * weights[name].detach()
        if self.steps > 0 and self._update.dampening != 0:
            d = d * (1 - self._update.dampening)
        return self._whole(d)

    def _move(self, name: str) -> Tensor:
        return self._m[name].to(torch.float64).mul_(self._lr[name]).round_().to(torch.int64)

    def _whole(self, t: Tensor) -> Tensor:
        scaled = t.detach().to(torch.float64) * 2.0**self._bits
        self._saw(scaled)
        return scaled.round_().to(torch.int64)

    def _real(self, t: Tensor, name: str) -> Tensor:
        return t.to(torch.float64).mul_(2.0**-self._bits).to(self._begin[0][name].dtype)

    def _saw(self, t: Tensor) -> None:
        if t.numel():
            self._peak = torch.maximum(self._peak, torch.linalg.vector_norm(t, ord=math.inf))


@final
class _Lost:
    """The bits that multiplying integers by n/d would lose: a stack, one number a weight, written to in base d and read in base n.

    v = qd + r becomes qn + e: the remainder r is put on the stack, and e is taken off it, which is where the stack ends up only
    log₂(d/n) bits longer. All elements' stacks are equally long, so that words which are full move to a list together.

    Args:
        like: The integers to come, for their shape and device.
        ratio: n/d.
    """

    def __init__(self, like: Tensor, ratio: Fraction) -> None:
        self._n, self._d = ratio.numerator, ratio.denominator
        self._top = torch.zeros_like(like)
        self._sizes = [1]  # what the top was below, before each multiplication and after the last
        self._words: list[Tensor] = []

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return sum(t.numel() * t.element_size() for t in (self._top, *self._words))

    def times_(self, v: Tensor) -> None:
        """v ← v·n/d."""
        size = self._sizes[-1]
        if self._full(size):
            # The cast to 32 bits drops the upper half of each number, which is what stays.
            self._words.append(self._top.to(torch.int32))
            self._top.bitwise_right_shift_(_WORD)
            size = (size - 1 >> _WORD) + 1
        quotient = torch.div(v, self._d, rounding_mode="floor")
        self._top.mul_(self._d).add_(v).sub_(quotient, alpha=self._d)
        rest = torch.div(self._top, self._n, rounding_mode="floor")
        torch.sub(self._top, rest, alpha=self._n, out=v)
        v.add_(quotient, alpha=self._n)
        self._top = rest
        self._sizes.append((size * self._d - 1) // self._n + 1)

    def over_(self, v: Tensor) -> None:
        """v ← v·d/n, the last multiplication undone."""
        self._sizes.pop()
        quotient = torch.div(v, self._n, rounding_mode="floor")
        self._top.mul_(self._n).add_(v).sub_(quotient, alpha=self._n)
        rest = torch.div(self._top, self._d, rounding_mode="floor")
        torch.sub(self._top, rest, alpha=self._d, out=v)
        v.add_(quotient, alpha=self._d)
        self._top = rest
        if self._full(self._sizes[-1]):
            low = self._words.pop().to(torch.int64).bitwise_and_(2**_WORD - 1)
            self._top.bitwise_left_shift_(_WORD).bitwise_or_(low)

    def _full(self, size: int) -> bool:
        return size * self._d > 2**62


def _rational(update: Any, weights: Weights, hyper: Hyper) -> tuple[SGD, Hyper, dict[str, Fraction]]:
    """Return update and hyperparameters with momentum by a fraction that is near it, and the fraction for each weight.

    Raises:
        HypergradError: the update can't be run backward.
    """
    if not isinstance(update, SGD) or update.nesterov or update.momentum == 0:
        kind = (
            type(update).__name__
            if not isinstance(update, SGD)
            else "Nesterov's form"
            if update.nesterov
            else "SGD without momentum"
        )
        raise HypergradError(
            f"{kind} can't be run backward: Reversible needs SGD with momentum, whose buffer says where a step came from",
            "give SGD(lr=..., momentum=...), or take Unrolled() or Forward()",
        )
    flat = {path: t.detach() for path, t in leaves(hyper).items()}
    ratios = {}
    for name in weights:
        value = setting(update.momentum, name, unflatten(flat))
        if isinstance(value, Tensor) and value.numel() != 1:
            raise HypergradError(
                f"the momentum of weight {name!r} has shape {tuple(value.shape)}: Reversible needs one number a weight tensor",
                "give it as a scalar, or one by weight name",
            )
        ratios[name] = Fraction(float(value)).limit_denominator(_DENOMINATOR) if 0 < float(value) < 1 else Fraction(0)
        if ratios[name] in (0, 1):
            raise HypergradError(
                f"the momentum of weight {name!r} is {float(value):.6g}: Reversible needs one within (0, 1), by 1/{_DENOMINATOR} at least",
                "clip it, or take Unrolled()",
            )
    for path, t in flat.items():
        if path[0] == update.momentum and (len(path) == 1 or path[1] in ratios):
            ratio = ratios[path[1]] if len(path) > 1 else next(iter(ratios.values()))
            flat[path] = torch.full_like(t, float(ratio))
    if isinstance(update.momentum, float):
        update = replace(update, momentum=float(next(iter(ratios.values()))))
    return update, unflatten(flat), ratios


def _double(value: Tensor | float) -> Tensor | float:
    return value.to(torch.float64) if isinstance(value, Tensor) else value
