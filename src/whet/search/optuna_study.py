"""Optuna's studies out and in: `to_optuna` for code that reads a study, `from_optuna` for sweeps that began there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from whet.errors import MissingDependency
from whet.parameters import Choice, Float, Int, Parameter, identity
from whet.space import Space
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial

__all__ = ["from_optuna", "to_optuna"]

_OURS = "whet"  # the system attribute with what Optuna has no place for


def to_optuna(problem: Problem, trials: Sequence[Trial]) -> Any:
    """Return an in-memory `optuna.Study` with `trials`.

    Parameters become Optuna's distributions as far as those exist: shapes, weights and conditions are lost (inactive parameters
    are simply absent), infinite bounds become the extreme quantiles, and options that are no number, text, bool or None become
    text. A trial without a number as its result is FAIL there. `from_optuna` brings the trials back as they were.

    Raises:
        MissingDependency: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingDependency.of("optuna", "optuna", "exporting to Optuna") from error
    from whet.search.optuna import quiet

    with quiet():
        ranges = {
            name: _distribution(p, [t.params[name] for t in trials if name in t.params])
            for name, p in problem.space.items()
        }
        study = optuna.create_study(directions=[m.goal.value for m in problem.metrics])
        study.set_metric_names([m.name for m in problem.metrics])
        for trial in sorted(trials, key=lambda t: t.number):
            study.add_trial(_outwards(trial, ranges, len(problem.metrics)))
    return study


def from_optuna(study: Any) -> tuple[Problem, list[Trial]]:
    """Return the problem and the trials of an `optuna.Study`.

    The space is that of all distributions seen; a range that changed is widened to hold all of them. A parameter that only some
    trials have gets a condition on a categorical one, if one tells the trials with it from those without.

    Example:
        >>> import optuna
        >>> study = optuna.create_study()
        >>> study.optimize(lambda t: t.suggest_float("x", 0, 1) ** 2, n_trials=3)
        >>> problem, trials = from_optuna(study)
        >>> problem.space, len(trials), trials[0].complete
        (Space({'x': Float(0, 1)}), 3, True)
    """
    frozen = study.get_trials(deepcopy=False)
    seen: dict[str, list[Any]] = {}
    for trial in frozen:
        for name, distribution in trial.distributions.items():
            if distribution not in seen.setdefault(name, []):
                seen[name].append(distribution)
    parameters = {name: _parameter(found) for name, found in seen.items()}
    told = [trial for trial in frozen if trial.state.is_finished() and trial.params]
    for name in parameters:
        when = _condition(name, parameters, [trial.params for trial in told])
        if when is not None:
            parameters[name] = _parameter(seen[name], when)
    count = len(study.directions)
    names = study.metric_names or (["value"] if count == 1 else [f"value_{i}" for i in range(count)])
    metrics = tuple(
        Metric(name=name, goal=Goal.MAXIMIZE if d.name == "MAXIMIZE" else Goal.MINIMIZE)
        for name, d in zip(names, study.directions, strict=True)
    )
    return Problem(space=Space(parameters), metrics=metrics), [_inwards(trial) for trial in frozen]


# --- parameters


def _distribution(parameter: Parameter, values: Sequence[object]) -> Any:
    from optuna import distributions as there

    match parameter:
        case Choice(options=options):
            return there.CategoricalDistribution([_plain(option) for option in options])
        case Float() | Int():
            seen = [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
            low, high = parameter.low, parameter.high
            if not math.isfinite(low):
                low = min([_decoded(parameter, 0.0), *seen])
            if not math.isfinite(high):
                high = max([_decoded(parameter, 1.0), *seen])
            log = parameter.log and low > 0
            if isinstance(parameter, Int):
                step = 1 if log else int(parameter.step or 1)
                return there.IntDistribution(int(low), int(high), log=log, step=step)
            found = there.FloatDistribution(low, high, log=log, step=None if log else parameter.step)
            # It rounds in decimals, so that now and then the last step falls off: then all of the range is better.
            return found if found.high >= high else there.FloatDistribution(low, high)
    raise AssertionError(parameter)


def _decoded(parameter: Parameter, u: float) -> float:
    value = parameter.decode(u)
    assert isinstance(value, (int, float))
    return float(value)


def _parameter(found: Sequence[Any], when: str | None = None) -> Parameter:
    """Return the parameter that holds what all the distributions `found` hold."""
    if any(hasattr(d, "choices") for d in found):
        options = [option for distribution in found for option in getattr(distribution, "choices", ())]
        return Choice(list({identity(option): option for option in options}.values()), when=when)
    low, high = min(d.low for d in found), max(d.high for d in found)
    log = all(d.log for d in found)
    alike = len(found) == 1
    if all(isinstance(d.low, int) for d in found):
        return Int(low, high, log=log, step=found[0].step if alike else 1, when=when)
    return Float(low, high, log=log, step=found[0].step if alike else None, when=when)


def _condition(name: str, parameters: Mapping[str, Parameter], told: Sequence[Mapping[str, object]]) -> str | None:
    having, lacking = [p for p in told if name in p], [p for p in told if name not in p]
    if not lacking:
        return None
    for parent, parameter in parameters.items():
        if parent == name or not isinstance(parameter, Choice) or parameter.when is not None:
            continue
        if not all(parent in params for params in told):
            continue
        yes = {repr(p[parent]): p[parent] for p in having}
        if yes.keys().isdisjoint(repr(p[parent]) for p in lacking):
            return f"params[{parent!r}] in [{', '.join(yes)}]"
    return None


def _plain(option: object) -> object:
    return option if option is None or isinstance(option, (bool, int, float, str)) else repr(option)


# --- trials


def _outwards(trial: Trial, ranges: Mapping[str, Any], num_metrics: int) -> Any:
    from optuna.trial import FrozenTrial
    from optuna.trial import TrialState as State

    complete = trial.complete
    if complete:
        state = State.COMPLETE
    elif trial.phase is Phase.FINISHED and trial.stopped:
        state = State.PRUNED
    elif trial.phase.is_over:
        state = State.FAIL
    else:
        state = State.WAITING if trial.phase is Phase.PENDING else State.RUNNING
    params, lost = {}, {}
    for name, value in trial.params.items():
        if name in ranges and ranges[name]._contains(_internal(ranges[name], _plain(value))):
            params[name] = _plain(value)
        if params.get(name, ...) is not value:
            lost[name] = value
    # What Optuna refuses or has no word for.
    ours: dict[str, object] = {
        "phase": trial.phase.value, "values": trial.values, "stopped": trial.stopped, "reason": trial.reason, "note": trial.note,
        "attempt": trial.attempt, "parent": trial.parent, "started": trial.started, "ended": trial.ended, "lost": lost, "order": list(trial.params),
    }  # fmt: skip
    if num_metrics > 1:
        ours["reports"] = [[report.step, list(report.values)] for report in trial.reports]
    started = datetime.fromtimestamp(trial.started or 0.0)
    values = list(trial.values) if complete and trial.values else None
    if state is State.PRUNED and trial.values and num_metrics == 1 and not math.isnan(trial.values[0]):
        values = list(trial.values)
    return FrozenTrial(
        number=-1,
        trial_id=-1,
        state=state,
        value=None,
        values=values,
        datetime_start=None if state is State.WAITING else started,
        datetime_complete=datetime.fromtimestamp(trial.ended or trial.started or 0.0) if state.is_finished() else None,
        params=params,
        distributions={name: ranges[name] for name in params},
        user_attrs=dict(trial.attrs),
        system_attrs={_OURS: ours, **({"fixed_params": params} if state is State.WAITING else {})},
        intermediate_values={report.step: report.values[0] for report in trial.reports},
    )


def _internal(distribution: Any, value: object) -> Any:
    try:
        return distribution.to_internal_repr(value)
    except ValueError:
        return math.nan


def _inwards(frozen: Any) -> Trial:
    state = frozen.state.name
    phase = {"COMPLETE": Phase.FINISHED, "PRUNED": Phase.FINISHED, "FAIL": Phase.FAILED, "RUNNING": Phase.RUNNING}.get(
        state, Phase.PENDING
    )
    reports = tuple(Report(step=step, values=(value,)) for step, value in sorted(frozen.intermediate_values.items()))
    values = None if frozen.values is None else tuple(frozen.values)
    if state == "PRUNED" and values is None and reports:
        values = reports[-1].values
    params = dict(frozen.params) if frozen.params else dict(frozen.system_attrs.get("fixed_params", {}))
    trial = Trial(
        number=frozen.number,
        params=params,
        phase=phase,
        values=values,
        reports=reports,
        stopped=state == "PRUNED",
        attrs=dict(frozen.user_attrs),
        started=frozen.datetime_start.timestamp() if frozen.datetime_start else None,
        ended=frozen.datetime_complete.timestamp() if frozen.datetime_complete else None,
    )
    ours = frozen.system_attrs.get(_OURS)
    if not isinstance(ours, dict):
        return trial
    if "reports" in ours:
        reports = tuple(Report(step=step, values=tuple(found)) for step, found in ours["reports"])
    return replace(
        trial,
        params={name: {**params, **ours["lost"]}[name] for name in ours["order"]},
        phase=Phase(ours["phase"]),
        values=None if ours["values"] is None else tuple(ours["values"]),
        reports=reports,
        **{key: ours[key] for key in ("stopped", "reason", "note", "attempt", "parent", "started", "ended")},
    )
