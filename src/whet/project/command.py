"""The command line of one trial: W&B's macros, filled in.

====================================  ================================================================================
``${env}``                            ``/usr/bin/env``; nothing on Windows
``${interpreter}``                    the running Python; a shell or nothing for a program that is no Python
``${program}``                        the sweep's `program`
``${args}``                           ``--lr=0.1 --flag=True``
``${args_no_equals}``                 ``--lr 0.1 --flag True``
``${args_no_hyphens}``                ``lr=0.1 flag=True``
``${args_no_boolean_flags}``          ``--lr=0.1 --flag``; nothing for a false one
``${args_append_hydra}``              ``+lr=0.1``
``${args_override_hydra}``            ``++lr=0.1``
``${args_json}``                      ``{"lr": 0.1, "flag": true}``, one word
``${args_json_file}``                 the name of a file with that
``${envvar:NAME}``                    the environment variable NAME
====================================  ================================================================================

As in W&B, values are written as Python prints them, and nested `parameters` are one value (``--optimizer={'lr': 0.1}``,
nested in JSON), while a parameter whose own name has a dot keeps it (``--optimizer.lr=0.1``). Hydra's two macros always
use dotted names, which Hydra can read. Macros of one word may stand within a word (``--config=${args_json_file}``).
No shell is involved. Unlike in W&B, an unset environment variable and an unknown macro are errors.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from whet.config import SweepConfig, nest
from whet.errors import ConfigError, UnknownName

__all__ = ["DEFAULT", "MACROS", "expand"]

DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
"""W&B's command for a sweep that gives none."""

MACROS = (
    "env", "interpreter", "program", "args", "args_no_equals", "args_no_hyphens", "args_no_boolean_flags",
    "args_append_hydra", "args_override_hydra", "args_json", "args_json_file", "envvar:NAME",
)  # fmt: skip
_ONE_WORD = frozenset({"program", "args_json", "args_json_file"})
_MACRO = re.compile(r"\$\{([A-Za-z_]+)(?::([^}]*))?\}")
_ENV = "/usr/bin/env"
_SHELLS = {".sh": "sh", ".bash": "bash", ".zsh": "zsh"}
_PYTHON = frozenset({".py", ".pyw", ".pyz"})


def expand(
    config: SweepConfig,
    params: Mapping[str, object],
    *,
    interpreter: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    cwd: Path | None = None,
) -> list[str]:
    """Return the command that runs one trial.

    Args:
        config: Gives `program`, `command` and which parameters are `nested`.
        params: The trial's values by dotted name.
        interpreter: What runs Python; default the running one.
        environ: Where ``${envvar:NAME}`` looks; default this process's.
        folder: Where ``${args_json_file}`` puts its file, one folder a trial; made if need be.
        cwd: Where the command will run, so where a program without a folder in its name is looked for.

    Raises:
        ConfigError: there is nothing to run, or a macro can't be filled in.

    Example:
        >>> from whet.config import parse
        >>> config = parse({"program": "train.py", "method": "random", "parameters": {"lr": [0.1]}})
        >>> expand(config, {"lr": 0.1}, interpreter="python")
        ['/usr/bin/env', 'python', 'train.py', '--lr=0.1']

    Source:
        https://docs.wandb.ai/guides/sweeps/sweep-config-keys#command
    """
    if config.program is None and config.command is None:
        raise ConfigError("the sweep has neither a program nor a command", "add program: train.py", path="program")
    macros = _macros(config, params, interpreter or sys.executable, folder, cwd or Path())
    environ = os.environ if environ is None else environ
    words: list[str] = []
    for i, word in enumerate(config.command or DEFAULT):
        words += _fill(word, f"command[{i}]", macros, environ)
    started = [*macros["interpreter"](), *(macros["program"]() if config.program is not None else [])]
    if words[:1] == [_ENV] and len(words) > 1 and words[1] in started and "=" in words[1]:
        del words[0]  # env would take its name for a variable
    return words


def _fill(word: str, path: str, macros: Mapping[str, Callable[[], list[str]]], environ: Mapping[str, str]) -> list[str]:
    """Return the words that `word` stands for. What is filled in is not looked at again."""
    whole = _MACRO.fullmatch(word)
    if whole and whole[1] != "envvar":
        if whole[1] not in macros or whole[2] is not None:
            fix = UnknownName.of("macro", whole[0][2:-1], MACROS).fix
            raise ConfigError(f"{path}: unknown macro {word}", f"{fix}; ${{envvar:NAME}} is a variable", path=path)
        return macros[whole[1]]()

    def fill(match: re.Match[str]) -> str:
        name, variable = match[1], match[2]
        if name == "envvar":
            if variable not in environ:
                raise ConfigError(
                    f"{path}: {match[0]} names an environment variable that is not set", "set it", path=path
                )
            return environ[variable]
        if name in _ONE_WORD and variable is None:
            return " ".join(macros[name]())
        if name in macros:
            raise ConfigError(f"{path}: {match[0]} stands for several words", "give it an item of its own", path=path)
        return match[0]  # somebody else's, such as Hydra's ${oc.env:HOME}

    return [_MACRO.sub(fill, word)]


def _macros(
    config: SweepConfig, params: Mapping[str, object], interpreter: str, folder: Path | None, cwd: Path
) -> dict[str, Callable[[], list[str]]]:
    values = nest(params, config.nested)

    def program() -> list[str]:
        if config.program is None:
            raise ConfigError("command names ${program}, and there is none", "add program: train.py", path="program")
        return _program(config.program, cwd)

    def file() -> list[str]:
        if folder is None:
            raise ConfigError("${args_json_file} needs a folder to write to", "run the trial in one", path="command")
        folder.mkdir(parents=True, exist_ok=True)
        path = (folder / "args.json").resolve()
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
        return [str(path)]

    return {
        "env": lambda: [] if os.name == "nt" else [_ENV],
        "interpreter": lambda: _interpreter(config.program, interpreter, cwd),
        "program": program,
        "args": lambda: [f"--{name}={value}" for name, value in values.items()],
        "args_no_equals": lambda: [word for name, value in values.items() for word in (f"--{name}", str(value))],
        "args_no_hyphens": lambda: [f"{name}={value}" for name, value in values.items()],
        "args_no_boolean_flags": lambda: [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in values.items()
            if value is not False
        ],
        "args_append_hydra": lambda: [f"+{name}={value}" for name, value in params.items()],
        "args_override_hydra": lambda: [f"++{name}={value}" for name, value in params.items()],
        "args_json": lambda: [json.dumps(values)],
        "args_json_file": file,
    }


def _interpreter(program: str | None, python: str, cwd: Path) -> list[str]:
    """Return what runs `program`: Python, a shell for a script that is not executable, nothing for what runs by itself."""
    if program is None or program.startswith("-m "):
        return [python]
    path = cwd / program
    suffix = path.suffix.lower()
    if suffix in _PYTHON or path.is_dir():
        return [python]
    if not path.is_file() or os.access(path, os.X_OK):
        return []
    return [_SHELLS.get(suffix, python)]


def _program(program: str, cwd: Path) -> list[str]:
    if program.startswith("-m "):
        return shlex.split(program)
    bare = not os.path.dirname(program) and (cwd / program).is_file() and not _interpreter(program, "python", cwd)
    return [os.path.join(os.curdir, program) if bare else program]  # a bare name would be looked for along PATH only
