"""What every hyper-optimizer is: a training loop's optimizer that moves hyperparameters too, while the weights train."""

from __future__ import annotations

import math
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypedDict

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.base import HyperGrad, check, kept_rng
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.implicit import implicit_through
from whet.hypergrad.linear import Meter, Step, ValGrad
from whet.hypergrad.optimizers.arguments import (
    fixed,
    guards,
    knobs,
    mean_over_processes,
    mover,
    number,
    three_arguments,
    whole,
)
from whet.hypergrad.optimizers.inner import ByOptimizer, ByUpdate, Inner
from whet.hypergrad.penalties import Penalty
from whet.hypergrad.problem import Batches, Bilevel, plain, scalar
from whet.hypergrad.solve.base import Solver
from whet.hypergrad.tensors import Hyper, detached, is_finite
from whet.hypergrad.updates.base import Update
from whet.hypergrad.updates.sgd import SGD

if TYPE_CHECKING:
    from whet.hypergrad.optimizers.fit import FitResult

__all__ = ["Common", "HyperOptimizer", "HypergradWarning", "Outer", "StepResult"]

Outer: TypeAlias = "torch.optim.Optimizer | Callable[[list[Tensor]], torch.optim.Optimizer]"
"""What moves the hyperparameters: an optimizer over ``hyper.parameters()``, or what makes one of them."""


class HypergradWarning(UserWarning):
    """Something about a hypergradient that the user should know; each is said once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one step did.

    Args:
        step: How many steps were made, this one included.
        train_loss: The training loss of the batch, before the step and without `penalty`, on the model's device; of a whole run, its
            mean; None where the weight step is put off until the batches of a run are there (`Unrolled`, `DrMAD`).
        hypergrad: The hypergradient, if one was computed.
        notes: What the user should know of it, in words.
    """

    step: int
    train_loss: Tensor | None
    hypergrad: HyperGrad | None = None
    notes: tuple[str, ...] = ()


class Common(TypedDict, total=False):
    """What every hyper-optimizer may be given: see `HyperOptimizer`."""

    outer: Outer | None
    penalty: Penalty | tuple[Penalty, ...]
    tune: Mapping[str, str] | Iterable[str] | None
    clip_norm: float | None
    max_grad_norm: float | None
    eval_mode: bool
    max_skipped: int


class HyperOptimizer(ABC):
    """Trains a model and moves its hyperparameters against dF/dλ, in one run.

    Where no hyper-step is due, a step is that of a plain training loop, to the last bit: one gradient, and the optimizer's own step.
    Work on hypergradients leaves no trace in weights, buffers, random state or `.grad`.

    Args:
        model: What trains; `torch.compile`d and `DistributedDataParallel` ones too. Plain steps run it as it is, hypergradients the
            module inside. With data in parallel, each process is given its own batches, and hypergradients are averaged.
        optimizer: Of `torch.optim`, over the model's weights; or an `Update`.
        train_loss: f(model, batch, hyper), a scalar; or f(model, batch).
        val_loss: F(model, batch, hyper), a scalar; or F(model, batch). No penalty belongs in it.
        hyper: The hyperparameters. One named like a knob of the optimizer (lr, momentum, weight_decay, beta1 …) is that knob; the
            others are in the losses or in `penalty`. A learning rate without `low` or `high` of its own stays in [1e-10, 1], momentum
            and betas in [0, 0.9999], weight decay above 0 (or where they start, if that is beyond).
        every: Weight steps for one hyper-step; `math.inf` for none.
        outer: Moves the raw values of the hyperparameters; by default Adam with learning rate 0.05.
        penalty: Penalties on the weights that f has besides `train_loss`.
        tune: Which knobs of the optimizer are which hyperparameters, where names don't say so: ``{"lr": "my_lr"}``; ``()`` for none.
        clip_norm: The hypergradient's greatest norm, over all raw values; None: no limit.
        max_grad_norm: The training gradient's greatest norm, as by `torch.nn.utils.clip_grad_norm_`; None: no limit.
        eval_mode: Whether F sees the model in eval mode.
        max_skipped: Hypergradients in a row that may be NaN or infinite. Such a one is left out and counted in `num_skipped`.

    Raises:
        HypergradError: an argument does not fit the others; the optimizer is one that Whet can't differentiate.
    """

    needs_val: ClassVar[bool] = True
    """Whether it looks at validation data."""
    _uses_update: ClassVar[bool] = True
    """Whether the hypergradient goes through the weight update, not through the training loss alone."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer | Update, *, train_loss: Any, val_loss: Any,
        hyper: Hyperparameters | Mapping[str, Any], every: float = 10, outer: Outer | None = None,
        penalty: Penalty | tuple[Penalty, ...] = (), tune: Mapping[str, str] | Iterable[str] | None = None,
        clip_norm: float | None = None, max_grad_norm: float | None = None, eval_mode: bool = True, max_skipped: int = 10,
    ) -> None:  # fmt: skip
        self.model = model
        self.every: float = every if every == math.inf else whole("every", every, 1, also=", or math.inf")
        self.clip_norm = None if clip_norm is None else number("clip_norm", clip_norm)
        self.max_skipped = whole("max_skipped", max_skipped, 1)
        max_grad_norm = None if max_grad_norm is None else number("max_grad_norm", max_grad_norm)
        self.num_steps = self.num_hyper_steps = self.num_skipped = 0
        self._in_row = 0
        self._told: set[str] = set()

        self._plain = plain(model)
        self.hyper = hyper if isinstance(hyper, Hyperparameters) else Hyperparameters(hyper)
        self.hyper.bind(self._plain)
        self._raws = list(self.hyper.parameters())
        if not self._raws:
            raise HypergradError("there is no hyperparameter to tune", "give hyper= at least one")
        self.outer = mover(outer, self._raws)

        self._train_loss = self.hyper.wrapped(three_arguments(train_loss, "train_loss"))
        self._bilevel = Bilevel(
            train_loss=self._train_loss, val_loss=self.hyper.wrapped(three_arguments(val_loss, "val_loss")),
            penalty=fixed(penalty, self.hyper), model=model, eval_mode=eval_mode, reduce=mean_over_processes(model),
        )  # fmt: skip
        self._values: Hyper = self.hyper.tensors()
        self._limits: list[tuple[list[Tensor], tuple[float | None, float | None]]] = []
        self._inner = self._made_inner(optimizer, tune, max_grad_norm)
        self._memory = detached(self._inner.weights)
        check(self.problem, self._memory, self._values, Batches(train=[None], val=None))
        if self._bilevel.reduce:
            for raw in self._raws:
                torch.distributed.broadcast(raw.detach(), src=0)
        self._seen: list[int] | None = None

    # -- the user's side ------------------------------------------------------------------------------------------------

    @property
    def problem(self) -> Bilevel:
        """The bilevel problem as it stands, with the optimizer as a differentiable update where the method needs one."""
        # A method that does not need it may still take SGD's learning rate for a scale.
        update = self._inner.update() if self._uses_update else SGD(lr=self._inner.sgd_lr() or "")
        return replace(self._bilevel, update=update)

    def step(self, train_batch: Any, val_batch: Any = None) -> StepResult:
        """Make one weight step, and a hyper-step where one is due.

        Args:
            train_batch: What `train_loss` takes, on the model's device.
            val_batch: What `val_loss` takes; or a function that returns it, called only when it is needed.

        Raises:
            HypergradError: a loss can't be differentiated, or hypergradients were not finite too often in a row.
        """
        self._refresh()
        found = None
        if self._due():
            loss, found = self._hyper_step(train_batch, val_batch)
        else:
            loss = self._weight_step(train_batch)
        self.num_steps += 1
        return StepResult(step=self.num_steps, train_loss=loss, hypergrad=found, notes=found.notes if found else ())

    def fit(self, train_loader: Any, val_loader: Any = None, *, epochs: int | None = None, steps: int | None = None,
            log: Callable[[dict[str, float]], object] | None = None, log_every: int = 50, checkpoint: str | Path | None = None,
            checkpoint_every: int = 1000, resume: bool = True, progress: bool | None = None,
            evaluate: Callable[[nn.Module], float | Mapping[str, float]] | None = None, evaluate_every: int | None = None) -> FitResult:  # fmt: skip
        """Train over loaders: `step` for each batch. See `whet.hypergrad.optimizers.fit.fit` for the arguments."""
        from whet.hypergrad.optimizers.fit import fit

        return fit(self, train_loader, val_loader, epochs=epochs, steps=steps, log=log, log_every=log_every, checkpoint=checkpoint,
                   checkpoint_every=checkpoint_every, resume=resume, progress=progress, evaluate=evaluate, evaluate_every=evaluate_every)  # fmt: skip

    def finish(self) -> None:  # noqa: B027 (most put nothing off)
        """Make the weight steps that were put off, if the last run was not completed. `fit` does it."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to go on, but for the model, which has a `state_dict` of its own."""
        return {
            "algorithm": type(self).__name__,
            "counts": [self.num_steps, self.num_hyper_steps, self.num_skipped, self._in_row],
            "hyper": self.hyper.state_dict(),
            "outer": self.outer.state_dict(),
            "inner": self._inner.state_dict(),
            "own": self._own_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there. Load the model first.

        Raises:
            HypergradError: it is the state of another algorithm.
        """
        name = type(self).__name__
        if state.get("algorithm") != name:
            raise HypergradError(f"this is the state of {state.get('algorithm') or 'something else'}, not of {name}",
                                 "load it into the algorithm that it was saved from")  # fmt: skip
        self.num_steps, self.num_hyper_steps, self.num_skipped, self._in_row = state["counts"]
        self.hyper.load_state_dict(state["hyper"])
        self.outer.load_state_dict(state["outer"])
        self._inner.load_state_dict(state["inner"])
        self._seen = None
        self._refresh()
        self._load_own_state(state["own"])

    # -- what an algorithm says -----------------------------------------------------------------------------------------

    @abstractmethod
    def _hyper_step(self, train_batch: Any, val_batch: Any) -> tuple[Tensor, HyperGrad | None]:
        """Make a weight step, move the hyperparameters, and return the step's loss and what `_move_hyper` returned."""

    def _due(self) -> bool:
        return self.every != math.inf and (self.num_steps + 1) % self.every == 0

    def _own_state(self) -> dict[str, Any]:
        return {}

    def _load_own_state(self, state: Mapping[str, Any]) -> None:
        assert not state

    # -- what algorithms are made of ------------------------------------------------------------------------------------

    def _weight_step(self, batch: Any) -> Tensor | None:
        """Do what a plain training loop does."""
        loss = self._gradient(batch)
        self._inner.step(self._values)
        return loss

    def _gradient(self, batch: Any) -> Tensor:
        """Put ∇f into the weights' `.grad`, as a plain training loop does, and return the loss."""
        loss = scalar(self._train_loss(self.model, batch, self._values), "the training loss")
        if not loss.requires_grad:
            raise HypergradError("the training loss does not depend on the weights",
                                 "compute it from the model that is passed in")  # fmt: skip
        self._inner.zero_grad()
        loss.backward()
        if self._bilevel.penalties:
            grads = {n: w.grad for n, w in self._inner.weights.items() if w.grad is not None}
            for penalty in self._bilevel.penalties:
                penalty.add_grad_(grads, self._memory, self._values)
        return loss.detach()

    def _tracked_step(self, batch: Any, meter: Meter) -> Step:
        """Make a weight step and return it linearised, at a copy of the weights as they were: moving them would spoil the graph."""
        problem = self.problem
        state = self._inner.state(problem.update, copy=problem.update.reads_grads)  # who reads these reads the state
        step = Step(problem, detached(self._memory, copy=True), self._values, batch, state, meter=meter)
        self._apply(step.curvature.grads)
        with torch.no_grad():
            for name, buffer in self._plain.named_buffers():
                buffer.copy_(step.buffers[name])
        return step

    def _apply(self, grads: Mapping[str, Tensor]) -> None:
        """Move the weights by these gradients, which are left as they are."""
        self._inner.zero_grad()
        for name, weight in self._inner.weights.items():
            weight.grad = grads[name].clone() if self._spoils_grads else grads[name]
        self._inner.step(self._values)
        self._inner.zero_grad()

    @property
    def _spoils_grads(self) -> bool:
        """Whether a weight step changes the gradients: clipping does, and PyTorch's fused steps with Nesterov's momentum."""
        groups = getattr(getattr(self._inner, "optimizer", None), "param_groups", ())
        return self._inner.max_grad_norm is not None or any(group.get("nesterov") for group in groups)

    def _through_update(self, batch: Any, val_batch: Any, solve: Solver) -> tuple[Tensor, HyperGrad]:
        """Make a weight step, and a hyper-step by the implicit hypergradient through it, F being looked at after the step."""
        val_batch = self._taken(val_batch)
        meter = Meter()
        step = self._tracked_step(batch, meter)
        with kept_rng(self._memory):
            val = ValGrad(step.problem, self._memory, self._values, val_batch, meter=meter)
            found = implicit_through(step, val, solve, self._values, meter=meter)
        # A sum that is cut short on purpose, in the middle of training, has no need to converge; another scale is another formula.
        notes = tuple(note for note in found.notes if note.startswith("Neumann's scale"))
        return step.curvature.loss, self._move_hyper(replace(found, notes=notes))

    def _taken(self, val_batch: Any) -> Any:
        batch = val_batch() if callable(val_batch) else val_batch
        if batch is None:
            raise HypergradError("a hyper-step is due and there is no validation batch",
                                 "give step() a batch, or a function that returns one")  # fmt: skip
        return batch

    def _move_hyper(self, found: HyperGrad) -> HyperGrad:
        """Move the hyperparameters, unless the hypergradient is not finite; return it with what is to be said of that."""
        notes = found.notes
        self._fill(found)
        if is_finite([found.loss, *(r.grad for r in self._raws if r.grad is not None)]):
            self._in_row = 0
            self.num_hyper_steps += 1
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(self._raws, self.clip_norm)
            self._outer_step()
        else:
            self._in_row += 1
            self.num_skipped += 1
            notes = (*notes, f"the hypergradient was not finite and was left out ({self.num_skipped} so far)")
        self.outer.zero_grad(set_to_none=True)
        self._tell(notes)
        if self._in_row >= self.max_skipped:
            raise HypergradError(
                f"{self._in_row} hypergradients in a row were not finite: training has diverged",
                "start from a smaller learning rate, bound it (high=), or give clip_norm= and max_grad_norm=",
            )
        # What is as large as the model is of no use outside.
        return replace(found, notes=notes, solution=None, weights=None, state=None)

    def _fill(self, found: HyperGrad) -> None:
        self.hyper.fill_(found.grads)

    def _outer_step(self) -> None:
        self.outer.step()
        for raws, (low, high) in self._limits:
            for raw in raws:
                raw.detach().clamp_(low, high)
        self.hyper.clip_()

    def _refresh(self) -> None:
        """Take over the hyperparameters' values if they changed, whoever changed them."""
        self._inner.check_knobs()
        versions = [raw._version for raw in self._raws]
        if versions != self._seen:
            self._values = self.hyper.tensors()
            self._inner.set_knobs(self._values)
            self._seen = versions

    def _tell(self, notes: Iterable[str]) -> None:
        for note in notes:
            kind = re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?", "#", note)
            if kind not in self._told:
                self._told.add(kind)
                warnings.warn(f"{type(self).__name__}: {note}", HypergradWarning, stacklevel=4)

    def _made_inner(self, optimizer: Any, tune: Any, max_grad_norm: float | None) -> Inner:
        free = {n: p for n, p in self._plain.named_parameters() if p.requires_grad}
        inner: Inner
        if isinstance(optimizer, Update):
            if not free:
                self._bilevel.weights()  # says so
            tuned = {f.name: v for f in fields(optimizer) if isinstance(v := getattr(optimizer, f.name), str)}
            names = set(optimizer.hyper_names)
            inner = ByUpdate(self.model, free, optimizer, max_grad_norm=max_grad_norm)
        elif isinstance(optimizer, torch.optim.Optimizer):
            held = {id(p) for group in optimizer.param_groups for p in group["params"]}
            weights = {n: p for n, p in free.items() if id(p) in held}
            if not weights:
                raise HypergradError("the optimizer holds none of the model's trainable weights",
                                     "make it from model.parameters(), and set requires_grad on some of them")  # fmt: skip
            tuned = knobs(optimizer, self.hyper, self._bilevel.penalties, tune)
            names = set(tuned.values())
            if all(isinstance(v := self._values[n], Tensor) and v.dim() == 0 for n in names):
                inner = ByOptimizer(self.model, weights, optimizer, tune=tuned, max_grad_norm=max_grad_norm)
            else:
                inner = ByUpdate.of(self.model, weights, optimizer, tune=tuned, max_grad_norm=max_grad_norm)
        else:
            raise HypergradError(
                f"the optimizer is {type(optimizer).__name__}", "give one of torch.optim, or an Update"
            )
        self._limits = guards(tuned, self.hyper)
        if self._uses_update:
            inner.update()  # an optimizer that can't be differentiated is refused now, not after the first hundred steps
        elif names:
            raise HypergradError(
                f"{type(self).__name__} differentiates the training loss, and {', '.join(sorted(names))} is in the weight update",
                "tune it by OnePass, DiffThroughOpt or Unrolled; or give tune=() if it is in the loss after all",
            )
        return inner
