"""`Training`: a bilevel problem with its data and its length, which every method of a study can optimize."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any, final

from torch import nn

from whet.errors import StudyError
from whet.hypergrad.problem import Bilevel
from whet.joint.assigned import METRIC, Assigned, by_run, by_trial, seed_of
from whet.joint.desk import Silent
from whet.joint.loop import Trained, train
from whet.space import Space
from whet.study.samplers import as_method

if TYPE_CHECKING:
    from whet.study.live import LiveTrial
    from whet.study.study import Study
    from whet.trial import Trial

__all__ = ["Config", "Training"]

Config = Mapping[str, Any]
"""A configuration: the active parameters of a space by name; nested ones have dotted names."""

_EVALUATIONS = 20


@final
@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What a study optimizes where Whet does the training: one and the same for `random`, `tpe`, ASHA … and `one_pass`, `neumann` ….

    A parameter of the space that is a number is found by its name: in the losses' third argument (``hyper["l1"]``), in a penalty
    (``L2(strength="decay")``), in the update (``SGD(lr="lr")``); widths, choices and the rest are in the configuration that the model
    is made from. Methods that search keep all of them constant. A hypergradient method starts from what was proposed and moves those
    that it can differentiate, continuous ones, within their bounds, while the weights train.

    Each trial has a seed of its own, which comes from the study's seed and the trial's number: the model's weights and the order of the batches
    are then the same whenever it is run again, and whatever the method. (Threads share torch's random state: with ``n_jobs`` above 1
    that is no longer so.) It reports the metric as it goes, so that stoppers can end it; a step of a report is a weight step.

    The trial's run has curves of the metric, of ``train_loss`` and of the tuned hyperparameters (``hyper/lr``); the trial's
    ``user_attrs["tuned"]`` has their final values, which together with the other parameters are the answer. `replay` gives the model.

    Args:
        problem: A `Bilevel` problem with a model, or a function of the configuration that makes one. If it is the problem itself,
            each trial trains a copy of its model, from the weights that it has.
        train: Training batches: anything that can be iterated again and again, such as a `DataLoader` or a list; or a function of the
            configuration that returns such a thing, or an endless generator.
        val: Validation batches, the same way, but never endless. The metric is computed from all of them, hypergradients take one at a time.
        steps: Weight steps of a trial, >= 1.
        evaluate_every: Weight steps between two evaluations; default: 20 evaluations a trial.
        metric: A function of the model (in eval mode, without gradients) that returns what the study optimizes. Default: the mean of the
            problem's validation loss.
        hyper: A function of the configuration that returns hyperparameters besides those of the space, or in the place of
            some, by name: ``{"decay": Hyperparameter(config["decay"], transform="log10", per="weight")}``.

    Raises:
        StudyError: an argument is not what it should be.

    Example:
        >>> import torch, whet
        >>> from whet.hypergrad.updates.sgd import SGD
        >>> x = torch.linspace(-1, 1, 32)[:, None]
        >>> def loss(model, batch, hyper):
        ...     return ((model(batch[0]) - batch[1]) ** 2).mean()
        >>> def problem(config):
        ...     return Bilevel(model=nn.Linear(1, 1), train_loss=loss, val_loss=loss, update=SGD(lr="lr"))
        >>> training = Training(problem, train=[(x[::2], 3 * x[::2])], val=[(x[1::2], 3 * x[1::2])], steps=20)
        >>> space = {"lr": {"min": 0.001, "max": 1.0, "log": True}}
        >>> study = whet.create_study(space=space, method="random", seed=0, storage="memory")
        >>> study.optimize(training, n_trials=3)
        >>> study.best_value < 1
        True
    """

    problem: Bilevel | Callable[[Config], Bilevel]
    _: KW_ONLY
    train: Iterable[Any] | Callable[[Config], Iterable[Any]]
    val: Iterable[Any] | Callable[[Config], Iterable[Any]]
    steps: int
    evaluate_every: int | None = None
    metric: Callable[[nn.Module], float] | None = None
    hyper: Callable[[Config], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.problem, Bilevel) and not callable(self.problem):
            raise StudyError(
                f"problem={self.problem!r:.100}", "give a Bilevel, or a function of the configuration that makes one"
            )
        for name, value in (("steps", self.steps), ("evaluate_every", self.evaluate_every)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise StudyError(f"{name}={value!r} is no number of weight steps", "give an integer >= 1")
        for name, data in (("train", self.train), ("val", self.val)):
            if not callable(data) and not isinstance(data, Iterable):
                raise StudyError(
                    f"{name}={data!r:.100} gives no batches", "give a DataLoader, a list of batches, or a function"
                )
        if isinstance(self.val, Iterator):
            raise StudyError(
                "val can be iterated once only",
                "give a list or a DataLoader: all of it is looked at at every evaluation",
            )
        if isinstance(self.train, Iterator):
            raise StudyError(
                "train goes on from trial to trial, so that no trial could be run again",
                "give a list, a DataLoader, or a function of the configuration that returns the generator",
            )
        for name, function in (("metric", self.metric), ("hyper", self.hyper)):
            if function is not None and not callable(function):
                raise StudyError(f"{name}={function!r:.100} can't be called", "give a function")

    # -- what a trial is made of ----------------------------------------------------------------------------------------

    def at(self, config: Config) -> Bilevel:
        """Return the problem at a configuration, with a model of its own.

        Raises:
            StudyError: `problem` makes something else, or there is no model.
        """
        if isinstance(self.problem, Bilevel):
            made: Any = replace(self.problem, model=copy.deepcopy(self.problem.model))
        else:
            made = self.problem(config)
        if not isinstance(made, Bilevel):
            raise StudyError(f"the problem of a configuration is {made!r:.100}", "return a Bilevel from the function")
        if made.model is None:
            raise StudyError("the problem has no model", "give Bilevel(model=…): a training needs a module")
        return made

    def train_data(self, config: Config) -> Iterable[Any]:
        """Return the training batches of a configuration."""
        return self.train(config) if callable(self.train) else self.train

    def val_data(self, config: Config) -> Iterable[Any]:
        """Return the validation batches of a configuration."""
        found = self.val(config) if callable(self.val) else self.val
        return list(found) if isinstance(found, Iterator) else found

    @property
    def every(self) -> int:
        """The weight steps between two evaluations."""
        return self.evaluate_every or max(1, self.steps // _EVALUATIONS)

    # -- trained --------------------------------------------------------------------------------------------------------

    def __call__(self, trial: LiveTrial) -> float:
        """Train a trial of a study with a declared space and return its metric; ``study.optimize(training)`` calls it."""
        return train(self, by_trial(trial)).value

    def fit(self, params: Config, *, method: Any = "random", space: Space | None = None, seed: int = 0,
            log: Callable[[Mapping[str, float], int], object] | None = None) -> Trained:  # fmt: skip
        """Train once, outside any study, and return the model with its metric.

        Args:
            params: The configuration.
            method: As for `create_study`. What only searches trains with constant hyperparameters.
            space: Needed by a hypergradient method, for bounds and scales.
            seed: Of the weights and the batches.
            log: Called with numbers by name, and the step.
        """
        plugin, _ = as_method(method)
        given = Assigned(params=params, method=plugin, space=space or Space(), seed=seed, desk=Silent(log, METRIC))
        if space is None and given.gradient() is not None:
            raise StudyError(
                f"{plugin.name} needs the space", "give space=…: it says what is continuous, and its bounds"
            )
        return train(self, given)

    def replay(self, study: Study, trial: Trial | None = None) -> Trained:
        """Train a trial of a study once more, exactly as it was trained there, and return its model.

        Args:
            study: Which study.
            trial: Default: the best one.
        """
        trial = study.best_trial if trial is None else trial
        seed = seed_of(study.seed, trial.number)
        return self.fit(trial.params, method=study.method, space=study.problem.space, seed=seed)

    def run(self) -> Trained:
        """Train in the run at hand, or in a new one: for scripts and functions that ``whet agent`` or `whet.agent` starts.

        In a sweep, configuration, method, space and metric are the sweep's, and its stopper may end the training by `TrialPruned`.
        Outside any, it trains with the run's config, ``whet.init(config={"lr": 0.1, "width": 32})``, as constants.
        """
        with by_run() as given:
            return train(self, given)
