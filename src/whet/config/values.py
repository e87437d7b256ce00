"""What a sweep is once it is read: values, no text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from whet.trial import Problem

__all__ = ["Plugin", "SweepConfig", "Termination"]

_NOTHING: Mapping[str, object] = MappingProxyType({})
_NO_BUDGETS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A plug-in by name, with the knobs the user gave it."""

    name: str
    knobs: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """When a sweep ends by itself, besides its cap and its metric's target; whichever comes first.

    Args:
        no_improvement: So many finished trials in a row without a better one.
        tolerance: What a better one must gain to count, relative to the value before, in [0, 1).
        wall_clock_s: Seconds since the first trial started.
        cost: Budgets by name: ``seconds`` of all trials, one of the sweep's metrics, or an attribute of the trials; each is summed.
    """

    no_improvement: int | None = None
    tolerance: float = 0.0
    wall_clock_s: float | None = None
    cost: Mapping[str, float] = field(default_factory=lambda: _NO_BUDGETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepConfig:
    """A sweep as written down: everything needed to run it.

    Args:
        problem: Space and metrics. Nested parameters have dotted names in the space.
        method: The searcher and its knobs.
        stopper: The `early_terminate` block, or None.
        name, project, description: As shown to people.
        program: The training script, or None for a sweep of Python functions.
        command: The command template with W&B's macros, or None for the default one.
        run_cap: The greatest number of trials, or None.
        terminate: When it ends by itself before that, or None.
        seed: The searcher's seed; None is drawn once, when the sweep is created.
        resources: What one trial needs: `cpus`, `gpus`, `mem_gb`, `timeout_s`.
        start_from: Names or ids of the earlier sweeps that it learns from; what it took from them is `problem.earlier`.
        define_by_run: The space is learned from what the objective asks for; it starts empty.
        extra: Keys of W&B's that Whet keeps but does not act on (entity, controller, …); `impute` by name of the metric.
        attrs: The user's own attributes of the study.
        nested: Names of the groups that were written as nested `parameters`: a program gets each as one nested value.
        notices: Sentences for the user about how the text was read. They are not kept.
    """

    problem: Problem
    method: Plugin = Plugin(name="bayes")
    stopper: Plugin | None = None
    name: str | None = None
    project: str | None = None
    description: str = ""
    program: str | None = None
    command: tuple[str, ...] | None = None
    run_cap: int | None = None
    terminate: Termination | None = None
    seed: int | None = None
    resources: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    start_from: tuple[str, ...] = ()
    define_by_run: bool = False
    extra: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    attrs: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    nested: frozenset[str] = frozenset()
    notices: tuple[str, ...] = field(default=(), compare=False)

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the values besides the metrics that limits and budgets go by; what a run logs under them becomes its trial's attributes."""
        named = [*(limit.name for limit in self.problem.limits), *(self.terminate.cost if self.terminate else ())]
        known = {"seconds", *(metric.name for metric in self.problem.metrics)}
        return tuple(dict.fromkeys(name for name in named if name not in known))

    @property
    def aims(self) -> tuple[object, ...]:
        """What decides when the sweep is over."""
        return self.problem.metrics, self.problem.limits, self.terminate
