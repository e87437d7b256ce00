"""Making, finding and deleting studies and sweeps."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from whet.config import (
    Plugin,
    SweepConfig,
    limits_from,
    load,
    parameter_to_mapping,
    parse,
    space_from,
    termination_from,
    to_mapping,
)
from whet.errors import Conflict, NotFound, SpaceError, StudyError
from whet.plugins import build, find
from whet.space import Parameter, Space
from whet.store.base import Store, Sweep
from whet.store.open import open_store
from whet.store.rules import not_found
from whet.study.earlier import with_earlier
from whet.study.engine import Engine
from whet.study.samplers import Sampler, as_method, as_stopper, for_several
from whet.study.searching import check_method
from whet.study.study import Study
from whet.study.told import as_told
from whet.trial import Goal, Metric, Phase, Problem, Trial

__all__ = [
    "DEFAULT_PROJECT",
    "check",
    "check_edit",
    "create_study",
    "create_sweep",
    "delete_study",
    "edit_sweep",
    "finished_trials",
    "fits",
    "get_all_study_names",
    "load_study",
    "sweep",
]

DEFAULT_PROJECT = "default"


def create_study(*, name: str | None = None, study_name: str | None = None,
                 space: Space | Mapping[str, object] | None = None, method: str | Mapping[str, Any] | Plugin = "bayes",
                 direction: str | Goal | None = None, directions: Sequence[str | Goal] | None = None, storage: str | Store | None = None,
                 seed: int | None = None, load_if_exists: bool = False, stopper: str | Mapping[str, Any] | Plugin | None = None,
                 sampler: Any = None, pruner: Any = None, metrics: Sequence[str] | None = None, project: str = DEFAULT_PROJECT,
                 run_cap: int | None = None, terminate: Mapping[str, Any] | None = None,
                 limits: Mapping[str, Mapping[str, float]] | None = None,
                 start_from: Sequence[str | Study] | str | Study = ()) -> Study:  # fmt: skip
    """Make a study, or with `load_if_exists` go on with the one of that name.

    Args:
        name, study_name: One of them (they are the same); the sweep's id by default.
        space: A `Space`, or names with parameters or their plain forms (``{"lr": {"min": 1e-5, "max": 1e-1, "log": True}}``).
            None: the objective declares it as it runs (``trial.suggest_float`` …).
        method: A searcher's name, or ``{"name": "tpe", knob: value, …}``. With several directions "tpe" and "gp" are
            their counterparts "motpe" and "ehvi".
        direction, directions: "minimize" (default) or "maximize"; several make it multi-objective.
        storage: None: the local ``.whet/whet.db``. "memory" keeps nothing; else a URL (``sqlite:///…``, ``postgresql://…``).
        seed: With one, the same history gives the same suggestions; None draws one and keeps it.
        load_if_exists: Go on with the study of that name, whatever the other arguments say.
        stopper: As `method`. Default: "median" for studies whose objective asks `trial.should_prune()`; "none" for none. With several directions,
            and for methods whose trials go on from others (pbt), default "none".
        sampler, pruner: Optuna's way to say method and stopper: one of `whet.samplers`, `whet.pruners`, or of Optuna's own.
        metrics: Names of the values; default "value", or "value_0" ….
        project: The project that the sweep is listed under.
        run_cap: The greatest number of trials, over all processes.
        terminate: When the study ends by itself, as in a sweep file: ``{"no_improvement": 20, "wall_clock_s": 3600}``.
        limits: What a trial must keep to be the best, by name of a value that it reports (``trial.set_user_attr``, ``trial.log``, or a
            metric): ``{"latency_ms": {"max": 20}, "accuracy": {"min": 0.9}}``.
        start_from: Earlier studies, or their names or ids, that this one learns from: their trials are taken now and kept with it.

    Raises:
        Conflict: there is a study of that name.
        UnknownName, ConfigError, SpaceError: what is given makes no study.

    Example:
        >>> study = create_study(storage="memory", seed=1)
        >>> study.optimize(lambda trial: (trial.suggest_float("x", -1, 1) - 0.3) ** 2, n_trials=20)
        >>> study.best_value < 0.1
        True
    """
    if name is not None and study_name is not None and name != study_name:
        raise StudyError(f"name={name!r} and study_name={study_name!r} differ", "give one of them")
    if direction is not None and directions is not None:
        raise StudyError("both direction and directions are given", "give one of them")
    goals = [_goal(d) for d in (directions if directions is not None else [direction or Goal.MINIMIZE])]
    if not goals:
        raise StudyError("directions is empty", 'give at least one, such as ["minimize"]')
    titles = list(metrics or (["value"] if len(goals) == 1 else [f"value_{i}" for i in range(len(goals))]))
    if (other := next((one for one in titles if not isinstance(one, str)), None)) is not None:
        raise StudyError(
            f"a metric's name got {other!r}, wanted text", 'give metrics=["val_loss"], and its direction="minimize"'
        )
    if len(titles) != len(goals):
        raise StudyError(f"{len(titles)} metric names for {len(goals)} direction(s)", "give one each")
    how, sampler_seed = as_method(method if sampler is None else sampler)
    if len(goals) > 1:
        how = for_several(how)
    if space is None and isinstance(sampler, Sampler):
        space = sampler.space  # a grid's
    declared = Space() if space is None else _space(space)
    config = SweepConfig(
        problem=Problem(
            space=declared,
            metrics=tuple(Metric(name=n, goal=g) for n, g in zip(titles, goals, strict=True)),
            limits=limits_from(limits or {}, declared, source="create_study"),
        ),
        method=how,
        stopper=as_stopper(
            pruner if pruner is not None else _usual_stopper(how, goals) if stopper is None else stopper
        ),
        name=name or study_name,
        project=project,
        run_cap=run_cap,
        terminate=None if terminate is None else termination_from(terminate, source="create_study"),
        seed=next((s for s in (seed, sampler_seed) if s is not None), None),
        define_by_run=space is None,
    )
    store = open_store(storage)
    if load_if_exists and config.name is not None:
        try:
            return _load(store, config.name, project)
        except NotFound:
            pass
    try:
        return Study(store, Engine(store, create_sweep(store, config, start_from=_several(start_from))))
    except Conflict as error:
        if load_if_exists and config.name is not None:  # another process has just made it
            return _load(store, config.name, project)
        raise Conflict(f"{error.problem}", "give another name, or load_if_exists=True") from None


def check(config: SweepConfig) -> None:
    """See that a sweep can be: its space is not empty by its constraints, and its method and its stopper can be built.

    Raises:
        WhetError: they can't.
    """
    config.problem.space.check()
    check_method(config)
    if config.stopper is not None:
        build("stopper", config.stopper.name, config.problem, knobs_given=dict(config.stopper.knobs))


def create_sweep(
    store: Store,
    config: SweepConfig,
    *,
    project: str | None = None,
    start_from: Sequence[str | Study] = (),
    once: str | None = None,
) -> str:
    """Keep a sweep and return its id: method and stopper are built once to see that they can be, and a seed is drawn if there is none.

    What it learns from earlier sweeps (its own `start_from`, and more of them) is taken now and kept with it. With the same key `once` it is
    made once.
    """
    if config.seed is None:
        config = replace(config, seed=int.from_bytes(os.urandom(4), "big") >> 1)
    config = with_earlier(store, config, project or config.project or DEFAULT_PROJECT, start_from)
    check(config)
    return store.sweeps.create(
        project or config.project or DEFAULT_PROJECT,
        to_mapping(config),
        goals=[m.goal for m in config.problem.metrics],
        name=config.name,
        cap=config.run_cap,
        once=once,
    ).id


def edit_sweep(
    store: Store, id: str, *, version: int, config: SweepConfig | None = None, cap: int | None = None
) -> Sweep:
    """Change a stored sweep's configuration or its cap, if it still has this version; what is None stays.

    Raises:
        Conflict: somebody else changed it meanwhile, or the cap is below what was handed out.
        WhetError: as `check_edit`.
    """
    if config is None:
        return store.sweeps.edit(id, version=version, cap=cap)
    check_edit(store, store.sweeps.get(id), config)
    goals = [metric.goal for metric in config.problem.metrics]
    return store.sweeps.edit(id, version=version, config=to_mapping(config), goals=goals, cap=cap)


def check_edit(store: Store, sweep: Sweep, config: SweepConfig | None) -> None:
    """See that a stored sweep may have another configuration: one that can be, and in which its trials mean what they meant.

    Raises:
        StudyError: it has trials, and `config` has other metrics; or parameters that none of the finished ones has a value of.
        WhetError: the method or the stopper can't be built, or no configuration keeps the constraints.
    """
    if config is None:
        return
    check(config)
    if not sweep.next_number:
        return
    old = parse(dict(sweep.config))
    if _aims(config) != _aims(old):
        raise StudyError(
            f"sweep {sweep.name!r} has trials, whose results are of other metrics",
            "make a new sweep, with start_from",
        )
    new = [name for name in config.problem.space if name not in old.problem.space]
    if not new or old.define_by_run:
        return
    trials = finished_trials(store, sweep.id)
    if trials and not any(fits(trial, config.problem.space) for trial in trials):
        raise StudyError(
            f"no finished trial of sweep {sweep.name!r} has a value of {', '.join(new)}, so that nothing would be learnt from the {len(trials)} that it has",
            "make a new sweep, with start_from, which learns from what both have",
        )


def finished_trials(store: Store, id: str) -> list[Trial]:
    """Return the finished trials of a sweep, by number."""
    engine = Engine(store, id)
    engine.sync()
    return [trial for trial in engine.in_order() if trial.phase is Phase.FINISHED]


def fits(trial: Trial, space: Space) -> bool:
    """Return whether a finished trial has a place in `space`, so that a searcher may learn from it."""
    return as_told(trial, space).phase is Phase.FINISHED


def _aims(config: SweepConfig) -> list[tuple[str, Goal]]:
    return [(metric.name, metric.goal) for metric in config.problem.metrics]


def sweep(sweep: Mapping[str, Any] | str | os.PathLike[str] | SweepConfig, entity: str | None = None,
          project: str | None = None, prior_runs: Sequence[str] | None = None, *, storage: str | Store | None = None) -> str:  # fmt: skip
    """Create a sweep from its textual form (W&B's `wandb.sweep`) and return its id, for `whet.agent` and ``whet agent``.

    Args:
        sweep: The mapping (any W&B sweep configuration), the path of a YAML or JSON file, or a `SweepConfig`.
        entity, prior_runs: Accepted for W&B's sake; there are none here.
        project: The project it is listed under; default the configuration's.
        storage: As in `create_study`.
    """
    if isinstance(sweep, SweepConfig):
        config = sweep
    elif isinstance(sweep, Mapping):
        config = parse(sweep)
    else:
        config = load(Path(sweep))
    store = open_store(storage)
    return create_sweep(store, config, project=project)


def load_study(*, study_name: str | None = None, name: str | None = None, storage: str | Store | None = None,
               sampler: Any = None, pruner: Any = None, project: str | None = None) -> Study:  # fmt: skip
    """Return the study of that name, or the sweep of that id; method and stopper are the stored ones.

    Raises:
        NotFound: there is none.
    """
    wanted = study_name or name
    if wanted is None:
        raise StudyError("load_study needs a name", "give study_name=… (whet ls shows them)")
    return _load(open_store(storage), wanted, project)


def _load(store: Store, name: str, project: str | None) -> Study:
    return Study(store, Engine(store, _find(store, name, project)))


def _find(store: Store, name: str, project: str | None) -> Sweep:
    """Return the sweep of that name or id; the beginning of an id is for people at a terminal, in code it would be a mistake."""
    found = store.sweeps.find(name, project)
    if name not in (found.name, found.id):
        raise not_found("sweep", name, [sweep.name for sweep in store.sweeps.all(project)])
    return found


def delete_study(*, study_name: str, storage: str | Store | None = None, project: str | None = None) -> None:
    """Delete a study with its trials and runs."""
    store = open_store(storage)
    store.sweeps.delete(_find(store, study_name, project).id)


def get_all_study_names(storage: str | Store | None = None) -> list[str]:
    """Return the names of all studies and sweeps, newest first."""
    store = open_store(storage)
    return [sweep.name for sweep in store.sweeps.all()]


def _space(given: Space | Mapping[str, object]) -> Space:
    """Return a declared space: as it is, from parameters or their plain forms by name, or from a sweep file's `parameters`."""
    if isinstance(given, Space):
        space = given
    elif isinstance(given.get("parameters"), Mapping):
        space = space_from(given)
    elif given:
        plain = {n: parameter_to_mapping(p) if isinstance(p, Parameter) else p for n, p in given.items()}
        space = space_from({"parameters": plain}, source="space")
    else:
        space = Space()
    if not space:
        raise SpaceError(
            "the space is empty", "give at least one parameter, or leave space= out to declare it in the objective"
        )
    return space


def _usual_stopper(method: Plugin, goals: Sequence[Goal]) -> str:
    """Return the stopper where none is named: pieces of trainings can't be compared step by step, and several values differ in what matters."""
    return "none" if len(goals) > 1 or find("searcher", method.name).continues else "median"


def _several(start_from: Sequence[str | Study] | str | Study) -> Sequence[str | Study]:
    return (start_from,) if isinstance(start_from, (str, Study)) else tuple(start_from)


def _goal(direction: str | Goal) -> Goal:
    if isinstance(direction, Goal):
        return direction
    text = str(getattr(direction, "name", direction)).lower()  # Optuna's StudyDirection too
    try:
        return Goal(text)
    except ValueError:
        raise StudyError(f"direction={direction!r}", 'give "minimize" or "maximize"') from None
