"""What sweep files that are made for somebody have in common: how parameters are written, and how a script is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from whet import plugins
from whet.config import parameter_to_mapping, parse
from whet.config.write import written
from whet.project.flags import Flag
from whet.project.inject import Passing
from whet.project.invocation import command_for
from whet.project.pasted import Pasted
from whet.space import Choice, Float, Int, Parameter, Space, infer

__all__ = ["TRIALS", "Beginning", "believing", "called", "form_of", "inferred", "is_setting", "made", "named"]

TRIALS = 30
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
        "vocab",
        "samples",
        "limit",
    ]
)
"""Words of names whose numbers are settings of a training rather than something to be tuned."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A sweep file to begin with: its text (YAML), and sentences about what was guessed and left out."""

    text: str
    notices: tuple[str, ...]


def is_setting(name: str) -> bool:
    """Return whether a name is that of a setting (epochs, seed, num_workers) rather than of something to be tuned."""
    return not _FIXED.isdisjoint(re.split(r"[._\-]", name.lower()))


def inferred(name: str, value: object) -> Parameter:
    """Return the range that suits a value, by the last part of its name (`whet.space.infer`)."""
    return infer(name.rpartition(".")[2].replace("-", "_"), value)


def called(found: Pasted, parameters: Mapping[str, object]) -> dict[str, object]:
    """Return `program` and `command` of what was pasted; of what doesn't vary, flags that the command line had are arguments as they are.

    A parameter goes to the flag that has its name, be it written with `-` or with `_`.
    """
    form: dict[str, object] = {"program": found.program} if found.program else {}
    used = {name: found.flags.find(name) for name in parameters}
    varied = {flag.name for flag in used.values()}
    extra = list(found.extra)
    for name, flag in found.flags.items():
        if name in found.given and name not in varied:
            extra += _as_given(flag)
    space = Space({name: one if isinstance(one, Parameter) else Choice([0, 1]) for name, one in parameters.items()})
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


def believing(method: str, knobs: Mapping[str, object], believed: Mapping[str, object]) -> object:
    """Return `method` with these values as its `prior`, if it takes one."""
    takes = "prior" in plugins.knobs(plugins.find("searcher", method))
    found = {"name": method, **knobs, **({"prior": dict(believed)} if takes and believed else {})}
    return found if len(found) > 1 else method


def form_of(parameter: Parameter) -> object:
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


def made(form: Mapping[str, object], notices: Iterable[str]) -> Beginning:
    """Return the beginning whose keys stand in the order in which people read them."""
    first = ("description", "project", "program", "command", "method", "metric", "metrics", "parameters", "nested")
    ordered = {key: form[key] for key in (*first, *form) if key in form}
    text = written(ordered, brief=True)
    parse(text)
    return Beginning(text=text, notices=tuple(notices))


def named(names: list[str]) -> str:
    """Return the names as one text, those beyond a dozen counted."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
