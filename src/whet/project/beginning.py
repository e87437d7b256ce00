"""Sweep files to begin with, made from what is there: a run, around which to search, or the flags of a script."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from whet import plugins
from whet.config import SweepConfig, flatten, parameter_to_mapping, parse, to_mapping
from whet.config.write import written
from whet.errors import ConfigError, WhetError
from whet.project.flags import UNKNOWN, Flag, Kind
from whet.project.inject import Passing
from whet.project.invocation import command_for
from whet.project.pasted import Pasted, read_command, read_pasted
from whet.space import Choice, Float, Int, Parameter, Space, infer
from whet.store.base import Run

__all__ = ["Beginning", "around_run", "from_pasted", "near"]

TRIALS = 30
_REACH = 0.25  # of the old range, to each side
_MOST_NAMED = 12
_FIXED = frozenset(
    [
        "epoch",
        "epochs",
        "step",
        "steps",
        "iteration",
        "iterations",
        "iter",
        "iters",
        "worker",
        "workers",
        "thread",
        "threads",
        "port",
        "rank",
        "gpu",
        "gpus",
        "cpu",
        "cpus",
        "device",
        "devices",
        "verbose",
        "log",
        "logging",
        "interval",
        "every",
        "freq",
        "frequency",
        "save",
        "checkpoint",
        "version",
        "year",
        "fold",
        "folds",
        "class",
        "classes",
        "seed",
        "seeds",
        "world",
        "node",
        "nodes",
        "local",
        "timeout",
        "dim_in",
        "dim_out",
        "vocab",
        "samples",
        "limit",
    ]
)
"""Words of names whose numbers are settings of a training rather than something to be tuned."""
_UP = re.compile(
    r"acc|auc|f1|score|reward|return|precision|recall|bleu|rouge|r2|map|iou|dice|psnr|ssim|throughput|fps",
    re.IGNORECASE,
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A sweep file to begin with: its text (YAML), and sentences about what was guessed and left out."""

    text: str
    notices: tuple[str, ...]


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
        ranges[name] = _form(parameter if value is None else near(parameter, value))
        if value is not None and parameter.size != 1:
            believed[name] = value
            if isinstance(parameter, (Float, Int)) and parameter.shape is None:
                edges += [f"{name} = {_short(value)}"] if not 0.03 < parameter.encode(value) < 0.97 else []
    if edges:
        notices.append(
            f"At the end of what was searched: {_named(edges)}. The ranges go no further; widen them if better may lie beyond."
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
    form["method"] = _believing(method, knobs, believed)
    form["description"] = f"Around {_place(run)}{f' of {sweep.name}' if sweep.name else ''}"
    form.setdefault("run_cap", TRIALS)
    return _made(form, notices)


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
        parameter = Choice([value]) if _is_setting(name) else _inferred(name, value)
        ranges[name] = _form(parameter)
        if parameter.size != 1:
            believed[name] = value
    if not believed:
        raise ConfigError(
            f"nothing in the configuration of {_place(run)} is a number or a truth value that could vary",
            "begin from a template, or write the parameters yourself",
        )
    if left:
        notices.append(f"Left out, since they are lists or have no value: {_named(left)}.")
    nested = sorted({".".join(name.split(".")[:i]) for name in ranges for i in range(1, name.count(".") + 1)})
    command = run.meta.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else []
    form: dict[str, object] = {"description": f"Around {_place(run)}", "project": run.project}
    if words:
        form |= _called(read_command(words), ranges)
        notices.append(
            "A trial gets its values as flags (--name=value): see that the script takes them under these names."
        )
    else:
        notices.append(
            "What started the run is not known: write its program, or have a Python function work on the sweep."
        )
    form["method"] = _believing("bayes", {}, believed)
    if sweep is None:
        form["metric"] = _metric(run, notices)
    else:
        form |= {key: value for key, value in to_mapping(sweep).items() if key in ("metric", "metrics")}
    form |= {"parameters": ranges, **({"nested": nested} if nested else {}), "run_cap": TRIALS}
    notices.insert(0, f"The ranges of {_named(list(believed))} were guessed from the run's values: see that they suit.")
    return _made(form, notices)


def from_pasted(text: str) -> Beginning:
    """Return a sweep of the flags in a command line, the output of ``--help`` or a script's text, none of which is run.

    Numbers vary around their values, flags with choices over these, switches are tried both ways. What has no known value, text without choices,
    and settings such as epochs and seeds are left out, or passed on as they are where a command line gives them.

    Raises:
        ConfigError: no flags are found, or none that could vary.

    Example:
        >>> print(from_pasted("python train.py --lr 0.1 --epochs 3").text.splitlines()[-2])
          epochs: 3
    """
    found = read_pasted(text)
    parameters: dict[str, Parameter] = {}
    believed: dict[str, object] = {}
    unknown: list[str] = []
    fixed: list[str] = []
    for name, flag in found.flags.items():
        if name in found.ranges:
            parameters[name] = found.ranges[name]
            if flag.default is not UNKNOWN and parameters[name].size != 1:
                _believe(believed, name, parameters[name], flag.default)
            continue
        parameter = _suits(name, flag)
        if parameter is None and flag.default is UNKNOWN:
            unknown.append(name)
        elif parameter is None and name in found.given:
            parameters[name] = Choice([flag.default])
        elif parameter is None:
            fixed.append(name)
        else:
            parameters[name] = parameter
            _believe(believed, name, parameter, flag.default)
    if all(parameter.size == 1 for parameter in parameters.values()):
        raise ConfigError(
            f"{_named(list(found.flags))}: none of these flags has a number, choices or a switch that could vary",
            "paste a command line with values (python train.py --lr 0.1), or help that names the defaults",
        )
    notices = []
    if unknown:
        notices.append(f"Left out, since no value of theirs is known: {_named(unknown)}. Add those that matter.")
    if fixed:
        notices.append(f"Left as the script has them: {_named(fixed)}.")
    if not found.program:
        notices.append("The text does not name the script: write it under program.")
    notices.append("Its metric is not known: name what the script logs or prints, such as val_loss.")
    form: dict[str, object] = {**_called(found, parameters), "method": _believing("bayes", {}, believed)}
    form["metric"] = {"name": "val_loss", "goal": "minimize"}
    form |= {"parameters": {name: _form(parameter) for name, parameter in parameters.items()}, "run_cap": TRIALS}
    return _made(form, notices)


def _suits(name: str, flag: Flag) -> Parameter | None:
    """Return the parameter that suits a flag, or None where it should not vary or can't be known."""
    if flag.choices:
        return Choice(list(flag.choices)) if len(flag.choices) > 1 else None
    if flag.kind is Kind.BOOL:
        return Choice([False, True])
    if flag.default is UNKNOWN or flag.kind not in (Kind.INT, Kind.FLOAT, Kind.ANY) or _is_setting(name):
        return None
    if not isinstance(flag.default, (int, float)) or not math.isfinite(flag.default):
        return None
    value = float(flag.default) if flag.kind is Kind.FLOAT else flag.default
    found = _inferred(name, value)
    return None if found.size == 1 else found


def _inferred(name: str, value: object) -> Parameter:
    found = infer(name.rpartition(".")[2].replace("-", "_"), value)
    if isinstance(found, Float):  # 1e-05, not 9.999999999999999e-06
        low, high = float(f"{found.low:.12g}"), float(f"{found.high:.12g}")
        return Float(low, high, log=found.log)
    return found


def _believe(believed: dict[str, object], name: str, parameter: Parameter, value: object) -> None:
    try:
        believed[name] = parameter.clean(name, value)
    except WhetError:
        return  # no value is known, or it is none of the choices


def _is_setting(name: str) -> bool:
    return not _FIXED.isdisjoint(re.split(r"[._\-]", name.lower()))


def _called(found: Pasted, parameters: Mapping[str, object]) -> dict[str, object]:
    """Return `program` and `command` of what was pasted; of what doesn't vary, flags that the command line had are arguments as they are."""
    form: dict[str, object] = {"program": found.program} if found.program else {}
    used = {name: flag for name, flag in found.flags.items() if name in parameters}
    extra = list(found.extra)
    for name, flag in found.flags.items():
        if name in found.given and name not in parameters:
            extra += _as_given(flag)
    space = Space(
        {
            name: one if isinstance(one, Parameter) else Choice([0, 1])
            for name, one in parameters.items()
            if name in used
        }
    )
    command = list(command_for(found.flags, used, space, extra=extra))
    if found.bare:
        command = ["${interpreter}", "${program}", *extra, "${args_no_hyphens}"]
    if found.before:
        command = [*found.before, *command[1:]]
    return form if command == ["${interpreter}", "${program}", "${args}"] else {**form, "command": command}


def _as_given(flag: Flag) -> list[str]:
    option = flag.options[0]
    if flag.passing is Passing.SWITCH:
        return [option]
    if isinstance(flag.default, list):
        return [f"{option}=[{','.join(map(str, flag.default))}]"]
    return [f"{option}={flag.default}"]


def _believing(method: str, knobs: Mapping[str, object], believed: Mapping[str, object]) -> object:
    takes = "prior" in plugins.knobs(plugins.find("searcher", method))
    found = {"name": method, **knobs, **({"prior": dict(believed)} if takes and believed else {})}
    return found if len(found) > 1 else method


def _metric(run: Run, notices: list[str]) -> dict[str, object]:
    names = [name for name in run.stats if not name.startswith("system/")] or [
        name for name, value in run.summary.items() if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]
    if not names:
        notices.append("It logged no metric: name the one that is to be optimised.")
        return {"name": "val_loss", "goal": "minimize"}
    rank = {
        name: (not re.search(r"val|eval|test|dev", name), "loss" not in name and not _UP.search(name)) for name in names
    }
    name = min(names, key=lambda one: rank[one])
    goal = "maximize" if _UP.search(name) and "loss" not in name else "minimize"
    notices.append(f"Its metric was guessed: {goal} {name}.")
    return {"name": name, "goal": goal}


def _form(parameter: Parameter) -> object:
    """Return a parameter as people write it: a constant by itself; bounds, `log` and `step` rather than the names of distributions."""
    if isinstance(parameter, Choice) and parameter.size == 1 and parameter.when is None:
        value = parameter.options[0]
        return {"value": value} if isinstance(value, (list, dict, type(None))) else value
    if not isinstance(parameter, (Float, Int)) or parameter.shape is not None:
        return parameter_to_mapping(parameter)
    form: dict[str, object] = {"min": parameter.low, "max": parameter.high}
    if parameter.log:
        form["log"] = True
    if parameter.step is not None and not (isinstance(parameter, Int) and parameter.step == 1):
        form["step"] = parameter.step
    return form if parameter.when is None else {**form, "when": parameter.when.source}


def _made(form: Mapping[str, object], notices: Iterable[str]) -> Beginning:
    """Return the beginning whose keys stand in the order in which people read them."""
    first = ("description", "project", "program", "command", "method", "metric", "metrics", "parameters", "nested")
    ordered = {key: form[key] for key in (*first, *form) if key in form}
    text = written(ordered, brief=True)
    parse(text)
    return Beginning(text=text, notices=tuple(notices))


def _place(run: Run) -> str:
    return f"trial {run.number}" if run.number is not None else f"run {run.name[:80]}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _named(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
