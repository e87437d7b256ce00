"""Method and stopper as Optuna's users write them: `whet.samplers.TPESampler(seed=1)`, `whet.pruners.MedianPruner()`.

Each returns the plain value that a sweep file would hold. Samplers that Whet has itself are Whet's; the others run through the bridge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from whet.config import Plugin
from whet.errors import StudyError
from whet.space import Choice, Space

__all__ = ["Pruner", "Sampler", "as_method", "as_stopper", "for_several", "pruners", "samplers"]

_COUNTERPARTS = {"tpe": "motpe", "gp": "ehvi"}


def as_method(given: Any) -> tuple[Plugin, int | None]:
    """Return the method, and the seed if `given` holds one: a name, a mapping with one, a `Plugin`, or a sampler of Optuna's."""
    if isinstance(given, Sampler):
        return given.plugin, given.seed
    if (plugin := _plain("method", given)) is not None:
        return plugin, None
    if hasattr(given, "sample_relative"):  # an object of Optuna's own: its class by name
        own = getattr(samplers, type(given).__name__, None)
        return (own().plugin if own else Plugin(name="optuna", knobs={"sampler": type(given).__name__})), None
    raise StudyError(f"{given!r} is no method", 'give a name such as "tpe", {"name": "tpe", …} or one of whet.samplers')


def for_several(method: Plugin) -> Plugin:
    """Return `method`, or its counterpart that knows several metrics: `motpe` of `tpe`, `ehvi` of `gp`; they have the same knobs."""
    return replace(method, name=_COUNTERPARTS.get(method.name, method.name))


def as_stopper(given: Any) -> Plugin | None:
    """Return the stopper: from a name, a mapping with one, a `Plugin`, one of `pruners` or of Optuna's own; "none" and None: none."""
    if given is None or given == "none":
        return None
    if isinstance(given, Pruner):
        return given.plugin
    if (plugin := _plain("stopper", given)) is not None:
        return plugin
    if hasattr(given, "prune"):
        own = getattr(pruners, type(given).__name__, None)
        if own is not None:
            chosen: Pruner = own()
            return chosen.plugin
        raise StudyError(
            f"{type(given).__name__} has no counterpart", f"use one of whet.pruners: {', '.join(vars(pruners))}"
        )
    raise StudyError(
        f"{given!r} is no stopper", 'give a name such as "asha", {"name": "asha", …} or one of whet.pruners'
    )


def _plain(what: str, given: Any) -> Plugin | None:
    if isinstance(given, Plugin):
        return given
    if isinstance(given, str):
        return Plugin(name=given)
    if isinstance(given, Mapping):
        knobs = dict(given)
        name = knobs.pop("name", knobs.pop("type", None))
        if not isinstance(name, str):
            raise StudyError(f"{what}={given!r} has no name", f'give {{"name": …, knob: value}} for the {what}')
        return Plugin(name=name, knobs=knobs)
    return None


class Sampler:
    """A method with a seed, and the space if the sampler was given one."""

    def __init__(self, plugin: Plugin, seed: int | None, space: Space | None = None) -> None:
        self.plugin = plugin
        self.seed = seed
        self.space = space


class Pruner:
    """A stopper, or none."""

    def __init__(self, plugin: Plugin | None) -> None:
        self.plugin = plugin


def _tpe(*, seed: int | None = None, n_startup_trials: int = 10, n_ei_candidates: int = 24, **_: Any) -> Sampler:
    return Sampler(Plugin(name="tpe", knobs={"num_startup": n_startup_trials, "num_candidates": n_ei_candidates}), seed)


def _random(seed: int | None = None) -> Sampler:
    return Sampler(Plugin(name="random"), seed)


def _sobol(*, seed: int | None = None, **_: Any) -> Sampler:
    return Sampler(Plugin(name="sobol"), seed)


def _bridge(sampler: str) -> Any:
    def make(*, seed: int | None = None, **knobs: Any) -> Sampler:
        return Sampler(Plugin(name="optuna", knobs={"sampler": sampler, **knobs}), seed)

    return make


def _grid(search_space: Mapping[str, Sequence[Any]] | None = None, seed: int | None = None) -> Sampler:
    options = {name: Choice(values) for name, values in (search_space or {}).items()}
    return Sampler(Plugin(name="grid"), seed, Space(options) if options else None)


samplers = SimpleNamespace(
    TPESampler=_tpe,
    RandomSampler=_random,
    QMCSampler=_sobol,
    GridSampler=_grid,
    CmaEsSampler=_bridge("CmaEsSampler"),
    GPSampler=_bridge("GPSampler"),
    NSGAIISampler=_bridge("NSGAIISampler"),
    NSGAIIISampler=_bridge("NSGAIIISampler"),
    BruteForceSampler=_bridge("BruteForceSampler"),
)
"""Optuna's samplers by their names."""


def _median(n_startup_trials: int = 5, n_warmup_steps: int = 0, interval_steps: int = 1, **_: Any) -> Pruner:
    knobs = {"startup_trials": n_startup_trials, "warmup_steps": n_warmup_steps, "interval_steps": interval_steps}
    return Pruner(Plugin(name="median", knobs=knobs))


def _percentile(
    percentile: float, n_startup_trials: int = 5, n_warmup_steps: int = 0, interval_steps: int = 1, **_: Any
) -> Pruner:
    knobs = {
        "percentile": percentile, "startup_trials": n_startup_trials, "warmup_steps": n_warmup_steps,
        "interval_steps": interval_steps,
    }  # fmt: skip
    return Pruner(Plugin(name="median", knobs=knobs))


def _halving(
    min_resource: int | str = 1, reduction_factor: int = 4, min_early_stopping_rate: int = 0, **_: Any
) -> Pruner:
    first = 1 if isinstance(min_resource, str) else min_resource
    return Pruner(
        Plugin(
            name="asha", knobs={"min_steps": first * reduction_factor**min_early_stopping_rate, "eta": reduction_factor}
        )
    )


def _hyperband(min_resource: int = 1, max_resource: int | str = "auto", reduction_factor: int = 3, **_: Any) -> Pruner:
    if isinstance(max_resource, str):
        return Pruner(Plugin(name="hyperband", knobs={"min_iter": min_resource, "eta": reduction_factor}))
    brackets = 1
    while min_resource * reduction_factor**brackets < max_resource:
        brackets += 1
    return Pruner(Plugin(name="hyperband", knobs={"max_iter": max_resource, "s": brackets, "eta": reduction_factor}))


def _threshold(
    lower: float | None = None, upper: float | None = None, n_warmup_steps: int = 0, interval_steps: int = 1
) -> Pruner:
    bounds = {name: bound for name, bound in (("lower", lower), ("upper", upper)) if bound is not None}
    return Pruner(
        Plugin(name="threshold", knobs={**bounds, "warmup_steps": n_warmup_steps, "interval_steps": interval_steps})
    )


def _patient(wrapped_pruner: Any, patience: int, min_delta: float = 0.0) -> Pruner:
    wrapped = as_stopper(wrapped_pruner)
    inner = {} if wrapped is None else {"stopper": {"type": wrapped.name, **wrapped.knobs}}
    return Pruner(Plugin(name="patience", knobs={"patience_steps": patience + 1, "min_delta": min_delta, **inner}))


def _wilcoxon(*, p_threshold: float = 0.1, n_startup_steps: int = 2) -> Pruner:
    return Pruner(Plugin(name="wilcoxon", knobs={"p_threshold": p_threshold, "startup_steps": n_startup_steps}))


pruners = SimpleNamespace(
    MedianPruner=_median,
    PercentilePruner=_percentile,
    SuccessiveHalvingPruner=_halving,
    HyperbandPruner=_hyperband,
    ThresholdPruner=_threshold,
    PatientPruner=_patient,
    WilcoxonPruner=_wilcoxon,
    NopPruner=lambda: Pruner(None),
)
"""Optuna's pruners by their names."""
