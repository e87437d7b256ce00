"""`Hyperparameters`: all of a problem's hyperparameters by name, as the losses, the methods and the outer optimizer see them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from whet.errors import HypergradError, UnknownName
from whet.hypergrad.hyperparameter import Hyperparameter, bound
from whet.hypergrad.problem import Loss, plain
from whet.hypergrad.tensors import Hyper
from whet.hypergrad.transforms import Box, Identity, Log10, Transform, UnitInterval
from whet.space import Float, Parameter, Space

__all__ = ["Hyperparameters"]

_ONE = ""  # the key of the raw tensor of a hyperparameter that is one


@final
class Hyperparameters(Mapping[str, Hyperparameter]):
    """Hyperparameters by name. Like a dict of them, which never changes; their values do.

    Args:
        items: Name to `Hyperparameter`; a number or a tensor stands for one without transform or limits.
        more: The same, by keyword.

    Example:
        >>> hyper = Hyperparameters(lr=Hyperparameter(0.1, transform="log10"), l2=1e-3)
        >>> hyper.tensors()
        {'lr': tensor(0.1000), 'l2': tensor(0.0010)}
        >>> hyper.fill_({"lr": torch.tensor(1.0), "l2": torch.tensor(2.0)})
        >>> [raw.grad for raw in hyper.parameters()]  # d lr/d raw = lr·ln 10
        [tensor(0.2303), tensor(2.)]
    """

    def __init__(self, items: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        given = {**(items or {}), **more}
        self._items = {n: v if isinstance(v, Hyperparameter) else Hyperparameter(v) for n, v in given.items()}

    @classmethod
    def from_space(
        cls, space: Space, params: Mapping[str, object], names: Iterable[str] | None = None
    ) -> Hyperparameters:
        """Return the parameters of a search space that a gradient can move, starting from a configuration of it.

        A `Float` with ``log`` becomes `Log10`, one within [0, 1] `UnitInterval`, another one `Box`, or no transform where a bound is
        infinite; the bounds are the limits. A start on an end of a sigmoid's range is taken 1 % inside of it, since there is no slope
        on the end. A single-valued Float is a constant. Constraints over the space are not kept.

        Args:
            space: The search space.
            params: Values for its active parameters; others may be among them.
            names: Which ones; by default all active Floats without a step.

        Raises:
            UnknownName: the space has no such parameter.
            HypergradError: a named one is discrete or inactive, or an active one has no value.
            SpaceError: a value is not legal.

        Example:
            >>> space = Space({"lr": Float(1e-5, 1, log=True), "momentum": Float(0, 0.99)})
            >>> Hyperparameters.from_space(space, {"lr": 0.1, "momentum": 0.9})
            Hyperparameters(
                lr       = 0.1, Log10(), in [1e-05, 1]
                momentum = 0.9, UnitInterval(margin=0.0001), in [0, 0.99]
            )
        """
        wanted = list(space) if names is None else list(names)
        made: dict[str, Hyperparameter] = {}
        for name in wanted:
            if name not in space:
                raise UnknownName.of("parameter", name, space)
            reason = _unmoved(space[name])
            if not reason and not space.is_active(name, params):
                reason = f"is inactive here: {space[name]}"
            if not reason:
                if name not in params:
                    raise HypergradError(f"the parameter {name!r} has no value", f"give one that fits {space[name]}")
                made[name] = _from_float(name, space[name], params[name])
            elif names is not None:
                raise HypergradError(
                    f"the parameter {name!r} {reason}", "leave it to a search, and name only active Floats"
                )
        return cls(made)

    # -- a mapping ----------------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Hyperparameter:
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        lines = [f"    {name:{width}} = {h.line}" for name, h in self.items()]
        return "\n".join(["Hyperparameters(", *lines, ")"]) if lines else "Hyperparameters()"

    @property
    def tuned(self) -> tuple[str, ...]:
        """The names of those that are no constants."""
        return tuple(name for name, h in self.items() if h.tune)

    # -- what a model, a method and an outer optimizer need ---------------------------------------------------------------

    def bind(self, model: nn.Module) -> Hyperparameters:
        """Follow the model's device and dtype, make those ``per="layer"`` and ``"weight"`` for its trainable weights; idempotent.

        Do this before the outer optimizer is made: it makes new raw tensors. Half-precision weights have float32 hyperparameters.

        Raises:
            HypergradError: the model has no trainable weight, or one is bound to another model.
        """
        weights = {n: p for n, p in plain(model).named_parameters() if p.requires_grad}
        if not weights:
            raise HypergradError("the model has no trainable weight", "set requires_grad on some of its parameters")
        for name, hyperparameter in self.items():
            with _named(name):
                hyperparameter.bind(weights)
        return self

    def tensors(self) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return the values of the tuned ones, without a graph: the `hyper` of a `Hypergradient`. (Identity's are raw's memory.)"""
        return _values(h for h in self.items() if h[1].tune)

    def constants(self) -> dict[str, Tensor | dict[str, Tensor]]:
        """Return the values of the others."""
        return _values(h for h in self.items() if not h[1].tune)

    def parameters(self) -> list[Tensor]:
        """Return the raw tensors of the tuned ones, for an optimizer of `torch.optim`."""
        return [raw for name in self.tuned for raw in self[name].raw.values()]

    def bound(self, values: Hyper) -> contextlib.AbstractContextManager[None]:
        """Return a context within which these hyperparameters' values are `values`, in this thread.

        So a loss that reads a `Hyperparameter` object itself, not its `hyper` argument, is differentiated rightly.

        Example:
            >>> hyper, leaf = Hyperparameters(l2=1.0), torch.tensor(3.0, requires_grad=True)
            >>> with hyper.bound({"l2": leaf}):
            ...     loss = hyper["l2"] ** 2
            >>> torch.autograd.grad(loss, leaf)
            (tensor(6.),)
        """
        return bound((self[name], value) for name, value in values.items() if name in self)

    def wrapped(self, loss: Loss) -> Loss:
        """Return `loss` as a `Bilevel` should have it: constants are in its `hyper`, and it may read `Hyperparameter` objects."""

        def with_values(model: Any, batch: Any, hyper: Any) -> Tensor:
            with self.bound(hyper):
                return loss(model, batch, {**self.constants(), **hyper})

        return with_values

    def fill_(self, grads: Hyper, *, accumulate: bool = False) -> None:
        """Put derivatives by the values into each raw's ``.grad``, through the transforms (the chain rule, in closed form).

        Args:
            grads: dF/dvalue, as `HyperGrad.grads` has it; not changed. Names that are missing keep their ``.grad``.
            accumulate: Add to what is there.

        Raises:
            HypergradError: a name is that of a constant, or the shapes differ.
            UnknownName: nothing is called that.
        """
        for name, given in grads.items():
            if name not in self:
                raise UnknownName.of("hyperparameter", name, self)
            hyperparameter = self[name]
            if not hyperparameter.tune:
                raise HypergradError(f"{name!r} is a constant (tune=False)", "leave its derivative out")
            parts = given if isinstance(given, Mapping) else {_ONE: given}
            _check_like(name, parts, hyperparameter.raw, "the derivative by")
            for key, raw in hyperparameter.raw.items():
                kept = raw.grad if accumulate else None
                raw.grad = None  # freed before the next is made
                with torch.no_grad():
                    pulled = hyperparameter.transform.pullback(raw.detach(), parts[key].detach().to(raw.device))
                    raw.grad = pulled if kept is None else kept.add_(pulled)

    def clip_(self) -> None:
        """Bring every tuned value back into its limits."""
        for name in self.tuned:
            self[name].clip_()

    # -- kept and shown -----------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, float]:
        """Return numbers to log: the value itself, or ``name/mean``, ``name/min`` and ``name/max`` of several."""
        numbers: dict[str, float] = {}
        for name, h in self.items():
            if h.is_single and h.raw[_ONE].numel() == 1:
                numbers[name] = h.item()
            else:
                low, mean, high = h.spread()
                numbers |= {f"{name}/mean": mean, f"{name}/min": low, f"{name}/max": high}
        return numbers

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """Return the raw tensors (the same memory) and the transforms they belong to; `torch.load(weights_only=True)` reads it."""
        return {
            name: {"transform": repr(h.transform), "raw": {key: raw.detach() for key, raw in h.raw.items()}}
            for name, h in self.items()
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Put a `state_dict` back, in place; nothing is changed if anything does not fit.

        Raises:
            HypergradError: names are missing or unexpected, a shape or a transform is another, or a number is NaN.
        """
        missing, unexpected = [n for n in self if n not in state], [n for n in state if n not in self]
        if missing or unexpected:
            parts = [f"misses {', '.join(missing)}"] * bool(missing) + [f"has also {', '.join(unexpected)}"] * bool(unexpected)  # fmt: skip
            raise HypergradError(f"the state {' and '.join(parts)}", f"load the state of {', '.join(self) or 'none'}")
        for name, h in self.items():
            if state[name]["transform"] != repr(h.transform):
                raise HypergradError(
                    f"{name!r} was saved with {state[name]['transform']} and has {h.transform}", "give it the same"
                )
            _check_like(name, state[name]["raw"], h.raw, "the state of")
            if any(bool(torch.isnan(raw).any()) for raw in state[name]["raw"].values()):
                raise HypergradError(f"the state of {name!r} has NaN in it", "load one from before training diverged")
        for name, h in self.items():
            h.load(state[name]["raw"])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Hyperparameters:
        """Move all of them, and their gradients, in place; return itself."""
        for h in self.values():
            h.to(device, dtype)
        return self


def _values(items: Iterable[tuple[str, Hyperparameter]]) -> dict[str, Tensor | dict[str, Tensor]]:
    found: dict[str, Tensor | dict[str, Tensor]] = {}
    with torch.no_grad():
        for name, h in items:
            value = h.value()
            found[name] = value.detach() if isinstance(value, Tensor) else {n: v.detach() for n, v in value.items()}
    return found


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except HypergradError as error:
        raise HypergradError(f"hyperparameter {name!r}: {error.problem}", error.fix, **error.facts) from None


def _check_like(name: str, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    if given.keys() != wanted.keys():
        got, want = (", ".join(list(k)[:5]) if _ONE not in k else "one tensor" for k in (given, wanted))
        raise HypergradError(f"{what} {name!r} is of {got}, not of {want}", "bind(model) first, if it is one a weight")
    for key, tensor in wanted.items():
        if given[key].shape != tensor.shape:
            where = f"{name}/{key}" if key else name
            raise HypergradError(
                f"{what} {where!r} has shape {tuple(given[key].shape)}, not {tuple(tensor.shape)}", "give it that shape"
            )


def _unmoved(parameter: Parameter) -> str:
    """Return why no gradient moves this parameter, or nothing."""
    if not isinstance(parameter, Float):
        return f"is discrete, {parameter}: no gradient flows through it"
    return f"has steps, {parameter}: no gradient flows through them" if parameter.step is not None else ""


def _from_float(name: str, parameter: Parameter, given: object) -> Hyperparameter:
    assert isinstance(parameter, Float)
    value, low, high = float(str(parameter.clean(name, given))), parameter.low, parameter.high
    least, greatest = low if math.isfinite(low) else None, high if math.isfinite(high) else None
    if low == high:
        return Hyperparameter(value, tune=False)
    transform: Transform = Identity()
    if parameter.log:
        transform = Log10()
    elif low >= 0 and high <= 1:
        transform = UnitInterval()
    elif least is not None and greatest is not None:
        transform = Box(low, high)
    first, last = transform.domain
    if isinstance(transform, Box | UnitInterval) and value in (first, last):
        inset = 0.01 * (high - low)
        value = value + inset if value == first else value - inset
    return Hyperparameter(value, transform=transform, low=least, high=greatest)
