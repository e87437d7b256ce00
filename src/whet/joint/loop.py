"""One training, from a configuration to a model: by a plain loop, or by a hyper-optimizer; both run and report alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, final

from torch import Tensor, nn

from whet.errors import HypergradError, TrialPruned
from whet.hypergrad.hyperparameters import Hyperparameters
from whet.hypergrad.optimizers.base import StepResult
from whet.hypergrad.optimizers.inner import ByUpdate
from whet.hypergrad.optimizers.loaders import Cycle
from whet.hypergrad.problem import Bilevel, scalar
from whet.hypergrad.tensors import Hyper, detached
from whet.joint.algorithm import made
from whet.joint.assigned import Assigned
from whet.joint.constants import with_constants
from whet.joint.data import evaluating, kept_random, mean_loss, seeded
from whet.joint.split import numbers, split

if TYPE_CHECKING:
    from whet.joint.training import Training

__all__ = ["Plain", "Trained", "train"]

_CURVE = 200  # points of a hyperparameter's curve, about
_NUMBER = re.compile(r"[-+]?\d[\d.,]*(e[-+]?\d+)?")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training came to.

    Args:
        model: The trained model.
        value: The metric at the end; NaN where training diverged.
        params: The configuration it started from.
        tuned: The final values of the parameters that a gradient has moved; empty for methods that only search.
        steps: Weight steps made.
        notes: What the algorithm had to say, in words.
    """

    model: nn.Module
    value: float
    params: Mapping[str, Any]
    tuned: Mapping[str, float] = field(default_factory=dict)
    steps: int = 0
    notes: tuple[str, ...] = ()


class _Steps(Protocol):
    def step(self, train_batch: Any, val_batch: Any = None) -> StepResult: ...

    def finish(self) -> None: ...


@final
class Plain:
    """Trains as a hyper-optimizer does where no hyper-step is due.

    Args:
        problem: With a model.
        hyper: The values of what its losses, penalties and update name.
    """

    def __init__(self, problem: Bilevel, hyper: Hyper) -> None:
        self._problem = problem
        self._hyper = hyper
        model = problem.model
        assert model is not None
        self._model = model
        self._inner = ByUpdate(model, {n: p for n, p in model.named_parameters() if p.requires_grad}, problem.update)
        self._memory = detached(self._inner.weights)
        self._num_steps = 0

    def step(self, train_batch: Any, val_batch: Any = None) -> StepResult:
        """Make one weight step."""
        loss = scalar(self._problem.train_loss(self._model, train_batch, self._hyper), "the training loss")
        if not loss.requires_grad:
            raise HypergradError(
                "the training loss does not depend on the weights", "compute it from the model that is passed in"
            )
        self._inner.zero_grad()
        loss.backward()
        grads = {n: w.grad for n, w in self._inner.weights.items() if w.grad is not None}
        for penalty in self._problem.penalties:
            penalty.add_grad_(grads, self._memory, self._hyper)
        self._inner.step(self._hyper)
        self._num_steps += 1
        return StepResult(step=self._num_steps, train_loss=loss.detach())

    def finish(self) -> None:
        """No step is ever put off."""


def train(training: Training, given: Assigned) -> Trained:
    """Train what is assigned, and tell its desk.

    Raises:
        TrialPruned: a stopper ended it.
        HypergradError: the problem can't be trained so.
    """
    with seeded(given.seed):
        return _Run(training, given).result()


@final
class _Run:
    """A training on its way."""

    def __init__(self, training: Training, given: Assigned) -> None:
        self.training, self.params, self.desk = training, given.params, given.desk
        problem = training.at(given.params)
        assert problem.model is not None
        if problem.reduce is not None:
            raise HypergradError(
                "a Training runs in one process, and this problem averages over several (reduce)",
                "wrap the model in DistributedDataParallel and give it to a HyperOptimizer in a loop of your own",
            )
        self.model = problem.model
        self.model.train()
        self.device = next(iter(problem.weights().values())).device
        self.val_data = training.val_data(given.params)
        self.train = Cycle(training.train_data(given.params), name="the training data", device=self.device)
        self.val = Cycle(self.val_data, name="the validation data", device=self.device, seed=given.seed + 1)
        for cycle, seed in ((self.train, given.seed), (self.val, given.seed + 1)):
            cycle.seed(seed)
        self.first: list[Any] = []  # batches that were looked at already
        self.tuned: Hyperparameters | None = None
        self.notes: dict[str, str] = {}  # the first of each kind, whatever the numbers in it
        self.steps: _Steps
        self.solves = False
        own = dict(training.hyper(given.params)) if training.hyper is not None else {}
        found = given.gradient()
        if found is not None:
            method, settings = found
            self.first = [self.train.next()]
            problem, self.hyper = split(
                problem, given.params, space=given.space, settings=settings, reach=method.reach, batch=self.first[0], own=own,
                spares_rates=method.spares_rates,
            )  # fmt: skip
            if self.hyper:
                self.tuned = self.hyper
                self.steps = made(method, settings, problem, self.hyper)
                self.solves = method.solves
        else:
            problem = with_constants(problem, {n: v for n, v in numbers(given.params).items() if n not in own})
            self.hyper = Hyperparameters(own)
            if own:
                self.hyper.bind(self.model)
        if self.tuned is None:
            self.steps = Plain(problem, self.values())
        self.problem = problem

    def values(self) -> Hyper:
        """Return the values of what is no constant of the problem."""
        return {**self.hyper.constants(), **self.hyper.tensors()}

    def result(self) -> Trained:
        """Train to the end."""
        try:
            done, value = self.go()
        except TrialPruned:
            self.keep()
            raise
        self.keep()
        return Trained(
            model=self.model, value=value, params=dict(self.params), tuned=self.final(), steps=done, notes=tuple(self.notes.values())
        )  # fmt: skip

    def go(self) -> tuple[int, float]:
        """Make all steps, or as many as there is a use in, and return how many and the metric."""
        total, every = self.training.steps, self.training.every
        between = max(1, total // _CURVE)
        done = shown = since = 0
        losses: Tensor | float = 0.0
        value, due = math.nan, False
        self.show(0)
        while done < total:
            batch = self.first.pop() if self.first else self.train.next()
            try:
                found = self.steps.step(batch, self.val.next)
            except HypergradError:
                if math.isfinite(float(losses)):
                    raise
                return done, math.nan  # diverged: that is a result of the search, no mistake of the user's
            before = done
            if found.train_loss is not None:
                losses, since = losses + found.train_loss, since + 1
            done = min(done + self.cost(found), total)
            due = due or done // every > before // every or done == total
            if done == total:
                self.steps.finish()
            elif found.train_loss is None:
                continue  # the weight step is put off: there is nothing new to be seen yet
            if found.hypergrad is not None:
                self.notes = {**{_NUMBER.sub("#", note): note for note in found.notes}, **self.notes}
            if due or (found.hypergrad is not None and done - shown >= between):
                self.show(done)
                shown = done
            if due:
                value = self.evaluate()
                if since:
                    self.desk.log({"train_loss": float(losses) / since}, done)
                self.desk.report(value, done, last=done == total)
                if math.isnan(value):
                    break  # the weights are, and stay so
                losses, since, due = 0.0, 0, False
        return done, value

    def cost(self, found: StepResult) -> int:
        """Return how many weight steps a step was."""
        return max(1, found.hypergrad.spent.grads) if self.solves and found.hypergrad is not None else 1

    def evaluate(self) -> float:
        """Return the metric."""
        with kept_random(), evaluating(self.model):
            if self.training.metric is not None:
                return float(self.training.metric(self.model))
            return mean_loss(self.problem, self.values(), self.val_data, self.device)

    def show(self, step: int) -> None:
        """Log where the tuned hyperparameters are."""
        if self.tuned is not None:
            self.desk.log({f"hyper/{name}": value for name, value in self.tuned.summary().items()}, step)

    def final(self) -> dict[str, float]:
        """Return the values of the tuned ones, as numbers."""
        return {} if self.tuned is None else self.tuned.summary()

    def keep(self) -> None:
        """Keep the answer with the trial."""
        if self.tuned is not None:
            every = getattr(self.steps, "every", 1)
            if every > self.training.steps:
                self.notes["none"] = (
                    f"nothing was tuned: a hyper-step is due every {every} steps, and there were {self.training.steps}"
                )
            notes = {"notes": list(self.notes.values())} if self.notes else {}
            self.desk.keep({"tuned": self.final(), **notes})
