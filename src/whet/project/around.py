"""A sweep file that searches around a run."""

from __future__ import annotations

import math
import re

from whet import plugins
from whet.analysis.compare import goal_by_name
from whet.config import SweepConfig, flatten, to_mapping
from whet.errors import ConfigError, WhetError
from whet.project._drafting import TRIALS, Beginning, believing, called, form_of, inferred, is_setting, made, named
from whet.project.pasted import read_command
from whet.space import Choice, Float, Int, Parameter
from whet.store.base import Run
from whet.trial import Goal

__all__ = ["around_run", "near"]

_REACH = 0.25  # of the old range, to each side


def around_run(run: Run, sweep: SweepConfig | None) -> Beginning:
    """Return a sweep that searches around the configuration of a run.

    Of a sweep's trial the parameters keep their kind, scale, choices and conditions, in half of their range (on its scale), and metric, command and
    the rest of the sweep stay. Of any other run the ranges are those that suit the values (`whet.space.infer`). The run's own values are
    what the method believes in (`prior`), so that the first trial has them.

    Args:
        run: Which.
        sweep: Its sweep's configuration, or None.

    Raises:
        ConfigError: there is nothing in its configuration that could vary.
    """
    if sweep is not None and sweep.problem.space:
        return _around_trial(run, sweep)
    return _around_config(run, sweep)


def near(parameter: Parameter, value: object) -> Parameter:
    """Return the half of a number's range that is nearest to `value`, on the parameter's own scale and within its bounds; a choice stays as it is.

    Example:
        >>> near(Float(1e-5, 1e-1, log=True), 1e-3), near(Int(0, 100), 90)
        (Float(0.0001, 0.01, log), Int(65, 100))
    """
    if not isinstance(parameter, (Float, Int)) or parameter.shape is not None:
        return parameter
    unit = parameter.encode(value)
    assert isinstance(value, (int, float))

    def end(side: int) -> float:
        there = parameter.decode(min(1.0, max(0.0, unit + side * _REACH)))
        assert isinstance(there, (int, float))
        return _rounded(there, parameter) if 0 < unit + side * _REACH < 1 else there

    low, high = min(end(-1), value), max(end(1), value)
    if low == high:
        low, high = parameter.low, parameter.high
    if isinstance(parameter, Int):
        step = 1 if parameter.step is None else int(parameter.step)
        return Int(int(low), int(high), log=parameter.log, step=step, when=parameter.when)
    return Float(float(low), float(high), log=parameter.log, step=parameter.step, when=parameter.when)


def _rounded(end: float, parameter: Float | Int) -> float:
    if isinstance(parameter, Int) or parameter.step is not None:
        return end
    short = float(f"{end:.3g}")
    return min(parameter.high, max(parameter.low, short))


def _around_trial(run: Run, sweep: SweepConfig) -> Beginning:
    space = sweep.problem.space
    notices: list[str] = []
    kept = {name: value for name, value in run.params.items() if name in space}
    form = to_mapping(sweep)
    ranges: dict[str, object] = {}
    believed: dict[str, object] = {}
    edges = []
    for name, parameter in space.items():
        try:
            value = parameter.clean(name, kept[name]) if name in kept else None
        except WhetError:
            value = None  # the sweep was given other bounds since
        ranges[name] = form_of(parameter if value is None else near(parameter, value))
        if value is not None and parameter.size != 1:
            believed[name] = value
            if isinstance(parameter, (Float, Int)) and parameter.shape is None:
                edges += [f"{name} = {_short(value)}"] if not 0.03 < parameter.encode(value) < 0.97 else []
    if edges:
        notices.append(
            f"At the end of what was searched: {named(edges)}. The ranges go no further; widen them if better may lie beyond."
        )
    form["parameters"] = ranges
    left = ("name", "seed", "earlier", "start_from", "attrs", "define_by_run", "nested")
    for key in left:
        form.pop(key, None)
    if sweep.nested:
        form["nested"] = sorted(sweep.nested)
    method = sweep.method.name
    knobs = {name: value for name, value in sweep.method.knobs.items() if name != "prior"}
    if not plugins.find("searcher", method).learns:
        notices.append(
            f"The method was {method}, which learns nothing from results: it is bayes now, which begins at the run's values."
        )
        method, knobs = "bayes", {}
    form["method"] = believing(method, knobs, believed)
    form["description"] = f"Around {_place(run)}{f' of {sweep.name}' if sweep.name else ''}"
    form.setdefault("run_cap", TRIALS)
    return made(form, notices)


def _around_config(run: Run, sweep: SweepConfig | None) -> Beginning:
    values = flatten(run.config or run.params)
    notices: list[str] = []
    ranges: dict[str, object] = {}
    believed: dict[str, object] = {}
    left: list[str] = []
    for name, value in values.items():
        if (
            value is None
            or not isinstance(value, (bool, int, float, str))
            or (isinstance(value, float) and not math.isfinite(value))
        ):
            left.append(name)
            continue
        parameter = Choice([value]) if is_setting(name) else inferred(name, value)
        ranges[name] = form_of(parameter)
        if parameter.size != 1:
            believed[name] = value
    if not believed:
        raise ConfigError(
            f"nothing in the configuration of {_place(run)} is a number or a truth value that could vary",
            "begin from a template, or write the parameters yourself",
        )
    if left:
        notices.append(f"Left out, since they are lists or have no value: {named(left)}.")
    nested = sorted({".".join(name.split(".")[:i]) for name in ranges for i in range(1, name.count(".") + 1)})
    command = run.meta.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else []
    form: dict[str, object] = {"description": f"Around {_place(run)}", "project": run.project}
    if words:
        form |= called(read_command(words), ranges)
        notices.append(
            "A trial gets its values as flags (--name=value): see that the script takes them under these names."
        )
    else:
        notices.append(
            "What started the run is not known: write its program, or have a Python function work on the sweep."
        )
    form["method"] = believing("bayes", {}, believed)
    if sweep is None:
        form["metric"] = _metric(run, notices)
    else:
        form |= {key: value for key, value in to_mapping(sweep).items() if key in ("metric", "metrics")}
    form |= {"parameters": ranges, **({"nested": nested} if nested else {}), "run_cap": TRIALS}
    notices.insert(0, f"The ranges of {named(list(believed))} were guessed from the run's values: see that they suit.")
    return made(form, notices)


def _metric(run: Run, notices: list[str]) -> dict[str, object]:
    names = [name for name in run.stats if not name.startswith("system/")] or [
        name for name, value in run.summary.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    if not names:
        notices.append("It logged no metric: name the one that is to be optimised.")
        return {"name": "val_loss", "goal": "minimize"}
    rank = {name: (not re.search(r"val|eval|test|dev", name), goal_by_name(name) is None) for name in names}
    name = min(names, key=lambda one: rank[one])
    goal = (goal_by_name(name) or Goal.MINIMIZE).value
    notices.append(f"Its metric was guessed: {goal} {name}.")
    return {"name": name, "goal": goal}


def _place(run: Run) -> str:
    return f"trial {run.number}" if run.number is not None else f"run {run.name[:80]}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
