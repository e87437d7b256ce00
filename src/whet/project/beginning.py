"""A sweep file of a script's flags, as they are pasted."""

from __future__ import annotations

import math

from whet.errors import ConfigError, WhetError
from whet.project._drafting import TRIALS, Beginning, believing, called, form_of, inferred, is_setting, made, named
from whet.project.flags import UNKNOWN, Flag, Kind
from whet.project.pasted import read_pasted
from whet.space import Choice, Parameter

__all__ = ["Beginning", "from_pasted"]


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
            f"{named(list(found.flags))}: none of these flags has a number, choices or a switch that could vary",
            "paste a command line with values (python train.py --lr 0.1), or help that names the defaults",
        )
    notices = []
    if unknown:
        notices.append(f"Left out, since no value of theirs is known: {named(unknown)}. Add those that matter.")
    if fixed:
        notices.append(f"Left as the script has them: {named(fixed)}.")
    if not found.program:
        notices.append("The text does not name the script: write it under program.")
    notices.append("Its metric is not known: name what the script logs or prints, such as val_loss.")
    form: dict[str, object] = {**called(found, parameters), "method": believing("bayes", {}, believed)}
    form["metric"] = {"name": "val_loss", "goal": "minimize"}
    form |= {"parameters": {name: form_of(parameter) for name, parameter in parameters.items()}, "run_cap": TRIALS}
    return made(form, notices)


def _suits(name: str, flag: Flag) -> Parameter | None:
    """Return the parameter that suits a flag, or None where it should not vary or can't be known."""
    if flag.choices:
        return Choice(list(flag.choices)) if len(flag.choices) > 1 else None
    if flag.kind is Kind.BOOL:
        return Choice([False, True])
    if flag.default is UNKNOWN or flag.kind not in (Kind.INT, Kind.FLOAT, Kind.ANY) or is_setting(name):
        return None
    if not isinstance(flag.default, (int, float)) or not math.isfinite(flag.default):
        return None
    value = float(flag.default) if flag.kind is Kind.FLOAT else flag.default
    found = inferred(name, value)
    return None if found.size == 1 else found


def _believe(believed: dict[str, object], name: str, parameter: Parameter, value: object) -> None:
    try:
        believed[name] = parameter.clean(name, value)
    except WhetError:
        return  # no value is known, or it is none of the choices
