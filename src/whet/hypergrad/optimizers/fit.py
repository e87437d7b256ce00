"""`fit`: a whole training run over loaders, shown, logged, saved, and resumed to the last bit."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from whet.errors import HypergradError
from whet.hypergrad.base import kept_rng
from whet.hypergrad.optimizers import checkpoint as files
from whet.hypergrad.optimizers.loaders import Cycle, random_state, set_random_state
from whet.hypergrad.optimizers.progress import shown
from whet.hypergrad.problem import plain

if TYPE_CHECKING:
    from whet.hypergrad.optimizers.base import HyperOptimizer

__all__ = ["FitResult", "fit"]

Evaluate = Callable[[nn.Module], "float | Mapping[str, float]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """Where a fit ended.

    Args:
        steps, epochs: Steps and whole epochs, those before a resumed checkpoint included.
        train_loss: Mean training loss since the last log before.
        val_loss: Mean validation loss of the hyper-steps since then; None if there was none.
        evaluated: What `evaluate` returned at the end.
        hyper: The hyperparameters, as ``hyper.summary()`` says them.
        num_skipped: Hypergradients that were not finite.
        resumed: Whether it went on from a checkpoint.
    """

    steps: int
    epochs: int
    train_loss: float
    val_loss: float | None
    evaluated: dict[str, float]
    hyper: dict[str, float]
    num_skipped: int
    resumed: bool


def fit(
    optimizer: HyperOptimizer, train_loader: Any, val_loader: Any = None, *, epochs: int | None = None, steps: int | None = None,
    log: Callable[[dict[str, float]], object] | None = None, log_every: int = 50, checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000, resume: bool = True, progress: bool | None = None, evaluate: Evaluate | None = None,
    evaluate_every: int | None = None,
) -> FitResult:  # fmt: skip
    """Call ``optimizer.step`` for each batch of `train_loader`, epoch after epoch, with validation batches in turn.

    Batches are moved to the model's device. Validation batches are drawn with a random state of their own, so that the training data
    come as they would in a plain loop. A run that was interrupted or killed and is started again with the same arguments ends with the
    same weights, bit for bit, if the loaders can be replayed: see `whet.hypergrad.optimizers.loaders.Cycle` for what that needs.
    Ctrl-C ends it between two steps, with a checkpoint. With several processes, the first one logs, shows and saves.

    Args:
        optimizer: Which hyper-optimizer.
        train_loader: Gives training batches.
        val_loader: Gives validation batches; may be None if the algorithm takes none.
        epochs: Passes over `train_loader`, in all.
        steps: Weight steps, in all; with both, what comes first.
        log: Called with a dictionary of numbers: `whet.log`, ``run.log``, ``print`` …
        log_every: Steps between two logs.
        checkpoint: A file; None: nothing is saved.
        checkpoint_every: Steps between two checkpoints.
        resume: Whether to go on from `checkpoint` if it exists.
        progress: True: a bar; False: nothing; None: a bar on a terminal, a few lines elsewhere.
        evaluate: ``evaluate(model)``, a number or several by name, logged as ``eval`` or under those names; at the end too.
        evaluate_every: Steps between two evaluations; None: at the end alone.

    Raises:
        HypergradError: a loader is empty, an argument is missing, or the checkpoint is of another run.
        KeyboardInterrupt: Ctrl-C; the checkpoint is saved.
    """
    if steps is None and epochs is None:
        raise HypergradError("neither steps nor epochs is given", "say how long to train: fit(..., epochs=10)")
    for name, value in (("steps", steps), ("epochs", epochs), ("log_every", log_every),
                        ("checkpoint_every", checkpoint_every), ("evaluate_every", evaluate_every)):  # fmt: skip
        if value is not None and not value >= 1:
            raise HypergradError(f"{name}={value!r} is no number of steps", f"give {name} >= 1")
    if val_loader is None and optimizer.needs_val:
        raise HypergradError(
            f"{type(optimizer).__name__} needs validation data", "give val_loader, beside train_loader"
        )
    run = _Run(optimizer, train_loader, val_loader, evaluate, None if checkpoint is None else Path(checkpoint))
    if resume:
        run.load()
    with (
        shown(progress if run.is_first else False, name=type(optimizer).__name__, total=_total(train_loader, epochs, steps)) as show,
        _asked_to_stop() as asked,
    ):  # fmt: skip
        try:
            while (steps is None or run.done < steps) and run.advance(epochs):
                evaluating = evaluate_every is not None and run.done % evaluate_every == 0
                metrics = run.metrics(evaluating) if evaluating or run.done % log_every == 0 else None
                if metrics:
                    run.tell(log, metrics)
                show(run.done, metrics)
                if run.done % checkpoint_every == 0:
                    run.save()
                if asked():
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if run.is_whole and run.world == 1:  # several processes are not interrupted at the same step
                run.save()
            raise
        if run.ended_at != run.done:
            optimizer.finish()
            already = run.evaluated_at if evaluate is not None else run.done
            metrics = run.metrics(evaluate is not None)
            if already != run.done or run.logged_at != run.done:
                run.tell(log, metrics)
            show(run.done, metrics)
            run.ended_at = run.done
            run.save()
    return run.result()


@final
class _Run:
    """A fit on its way, and what a checkpoint has of it."""

    def __init__(self, optimizer: HyperOptimizer, train_loader: Any, val_loader: Any, evaluate: Evaluate | None, path: Path | None) -> None:  # fmt: skip
        self.optimizer, self.evaluate, self.path = optimizer, evaluate, path
        self.model = plain(optimizer.model)
        device = next(self.model.parameters()).device
        self.train = Cycle(train_loader, name="the training loader", device=device)
        self.val = None if val_loader is None else Cycle(val_loader, name="the validation loader", device=device, seed=torch.initial_seed() + 1)  # fmt: skip
        parallel = optimizer.problem.reduce is not None
        self.rank = torch.distributed.get_rank() if parallel else 0
        self.world = torch.distributed.get_world_size() if parallel else 1
        self.is_first = self.rank == 0
        self.is_whole = True  # between two steps
        self.resumed = False
        self.done = 0
        self.ended_at: int | None = None
        self.logged_at: int | None = None
        self.sums: dict[str, tuple[Tensor, int]] = {}
        self.means: dict[str, float] = {}
        self.evaluated: dict[str, float] = {}
        self.evaluated_at: int | None = None

    def advance(self, epochs: int | None) -> bool:
        """Make a step; return whether there was a batch for it."""
        self.is_whole = False  # a loader that is interrupted may have lost a batch
        try:
            batch = self.train.next(epochs)
        except StopIteration:
            self.is_whole = True
            return False
        result = self.optimizer.step(batch, None if self.val is None else self.val.next)
        self.done += 1
        if result.train_loss is not None:
            self._add("train_loss", result.train_loss)
        if result.hypergrad is not None and self.optimizer.needs_val:
            self._add("val_loss", result.hypergrad.loss)
        self.is_whole = True
        return True

    def metrics(self, evaluated: bool) -> dict[str, float]:
        """Return what is logged: losses are means since the last time."""
        for name, (total, count) in self.sums.items():
            self.means[name] = float(total) / count
        self.sums = {}
        found: dict[str, float] = {"step": self.done, "epoch": self.train.epoch, **self.means}
        if evaluated and self.evaluate is not None:
            if self.evaluated_at != self.done:
                training = [m for m in self.model.modules() if m.training]
                with kept_rng(dict(self.model.named_parameters())):
                    value = self.evaluate(self.optimizer.model)
                for module in training:
                    module.training = True
                pairs = value.items() if isinstance(value, Mapping) else [("eval", value)]
                self.evaluated, self.evaluated_at = (
                    {k: float(v.detach() if isinstance(v, Tensor) else v) for k, v in pairs},
                    self.done,
                )
            found |= self.evaluated
        found |= {f"hyper/{k}": v for k, v in self.optimizer.hyper.summary().items()}
        if self.optimizer.num_skipped:
            found["skipped"] = self.optimizer.num_skipped
        return found

    def tell(self, log: Callable[[dict[str, float]], object] | None, metrics: dict[str, float]) -> None:
        """Log, in the first process."""
        self.logged_at = self.done
        if log and self.is_first:
            log(metrics)

    def save(self) -> None:
        """Write the checkpoint; with several processes, all must call it."""
        if self.path is None:
            return
        mine = {"random": random_state(), "train": self.train.state_dict(), "val": self.val and self.val.state_dict()}
        ranks: list[Any] = [mine]
        if self.world > 1:
            ranks = [None] * self.world
            torch.distributed.all_gather_object(ranks, mine)
        if self.is_first:
            own = {k: getattr(self, k) for k in _SAVED}
            files.save(self.path, {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "ranks": ranks, "fit": own})  # fmt: skip

    def load(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        content = files.load(self.path)
        if len(content["ranks"]) != self.world:
            raise HypergradError(f"the checkpoint is of {len(content['ranks'])} processes, and this run has {self.world}",
                                 "start as many, or give resume=False")  # fmt: skip
        try:
            self.model.load_state_dict(content["model"])
        except RuntimeError as error:
            raise HypergradError(f"{self.path} is of another model ({str(error).splitlines()[-1].strip()})",
                                 "make the model as it was made then, or give resume=False") from error  # fmt: skip
        self.optimizer.load_state_dict(content["optimizer"])
        mine = content["ranks"][self.rank]
        self.train.load_state_dict(mine["train"])
        if self.val is not None and mine["val"] is not None:
            self.val.load_state_dict(mine["val"])
        for key in _SAVED:
            setattr(self, key, content["fit"][key])
        set_random_state(mine["random"])
        self.resumed = True

    def result(self) -> FitResult:
        """Return where it ended."""
        return FitResult(
            steps=self.done, epochs=self.train.epoch, train_loss=self.means.get("train_loss", float("nan")),
            val_loss=self.means.get("val_loss"), evaluated=self.evaluated, hyper=self.optimizer.hyper.summary(),
            num_skipped=self.optimizer.num_skipped, resumed=self.resumed,
        )  # fmt: skip

    def _add(self, name: str, loss: Tensor) -> None:
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = (total + loss, count + 1)


_SAVED = ("done", "ended_at", "logged_at", "sums", "means", "evaluated", "evaluated_at")


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Keep Ctrl-C for the end of the step at hand; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = False

    def note(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)


def _total(loader: Any, epochs: int | None, steps: int | None) -> int | None:
    """Return the steps in all, or None where the loader does not know its length."""
    if epochs is None:
        return steps
    try:
        found = epochs * len(loader)
    except TypeError:
        return None
    return found if steps is None else min(found, steps)
