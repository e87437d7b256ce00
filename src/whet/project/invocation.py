"""How a script is called with its flags: a command template, so that every agent and executor runs the same thing.

A script whose flags are all plain ``--name=value`` options gets W&B's own template, ``${interpreter} ${program} ${args}``, which
anybody can read and repeat. What that can't say goes through `whet.project.inject`: module-level constants, keys of a
configuration file, lists, pairs of switches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from whet.project.flags import Flag, Flags
from whet.project.inject import Passing
from whet.space import Choice, Parameter, Space

__all__ = ["command_for"]


def command_for(flags: Flags, used: Mapping[str, Flag], space: Space, *, extra: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the command template of a script (`SweepConfig.command`; its `program` is the script, or ``-m module``).

    Args:
        flags: The script's.
        used: Those that are given, by the name of their parameter.
        space: What they may be.
        extra: Further arguments, passed as they are before the flags.

    Example:
        >>> command_for(find_flags(Path("train.py")), {}, Space())  # doctest: +SKIP
        ('${interpreter}', '${program}', '${args}')
    """
    if all(_is_plain(name, flag) for name, flag in used.items()):
        return ("${interpreter}", "${program}", *extra, "${args}")
    if all(
        (_is_plain(name, flag) and not _has_truth(space[name])) or _is_switch(name, flag) for name, flag in used.items()
    ):
        return ("${interpreter}", "${program}", *extra, "${args_no_boolean_flags}")
    passing = {name: _passing(flag) for name, flag in used.items() if flag.passing is not Passing.GLOBAL}
    words = ["-m", "whet.project.inject", "--whet-set", "${args_json}"]
    if passing:
        words += ["--whet-pass", json.dumps(passing)]
    if any(flag.passing is Passing.CONFIG for flag in used.values()):
        words += ["--whet-config", str(flags.config)]
        words += ["--whet-config-option", flags.config_option] if flags.config_option else []
    return (_python(flags.script), *words, "${program}", *extra)


def _is_plain(name: str, flag: Flag) -> bool:
    return flag.passing is Passing.VALUE and flag.options[:1] == (f"--{name}",)


def _is_switch(name: str, flag: Flag) -> bool:
    return flag.passing is Passing.SWITCH and flag.options[:1] == (f"--{name}",)


def _has_truth(parameter: Parameter) -> bool:
    return isinstance(parameter, Choice) and any(isinstance(option, bool) for option in parameter.options)


def _passing(flag: Flag) -> list[str]:
    return [flag.passing.value, *flag.options]


def _python(script: Path) -> str:
    # ${interpreter} is empty for an executable file without the suffix, which runs by its own first line.
    return "${interpreter}" if script.suffix in (".py", ".pyw") else "python3"
