"""What is to be started, looked at before anything is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whet.errors import LaunchError
from whet.launch.base import Resources

__all__ = ["check", "program", "workplace"]


def workplace(cwd: Path | None) -> Path:
    """Return the folder in which a command runs.

    Raises:
        LaunchError: there is none.
    """
    where = Path(cwd).absolute() if cwd is not None else Path.cwd()
    if not where.is_dir():
        problem = "is not a folder" if where.exists() else "does not exist"
        raise LaunchError(f"the working directory {str(where)!r} {problem}", "create it, or give another cwd")
    return where


def program(command: Sequence[str], path: str | None, cwd: Path) -> str:
    """Return the file that `command` executes.

    Raises:
        LaunchError: there is none, or it can't be executed.
    """
    if isinstance(command, str) or not command:
        raise LaunchError(
            f"{command!r} is not a command", 'give a list of program and arguments: ["python", "train.py"]'
        )
    program = command[0]
    if os.path.dirname(program):
        whole = cwd / program
        if whole.is_dir():
            raise LaunchError(f"{program!r} is a folder", "give the program inside it")
        if not whole.exists():
            raise LaunchError(f"there is no program {program!r} in {str(cwd)!r}", "check the path and the cwd")
        if not os.access(whole, os.X_OK):
            fix = f"chmod +x {program}, or start it with its interpreter: python {program}"
            raise LaunchError(f"{program!r} is not executable", fix)
        return str(whole)
    found = shutil.which(program, path=path) if program else None
    if found is None:
        fix = "install it, or give its path"
        raise LaunchError(f"there is no program {program!r} on the PATH ({path})", fix, program=program)
    return os.path.abspath(found)


def check(resources: Resources, command: Sequence[str], env: Mapping[str, str]) -> None:
    """Raise LaunchError where resources make no sense, or no system would pass a text on."""
    given: dict[str, Any] = {"mem_gb": resources.mem_gb, "timeout_s": resources.timeout_s, "cpus": resources.cpus}
    for key, value in given.items():
        if value is not None and not value > 0:
            raise LaunchError(f"{key}={value!r} is not positive", f"give {key} > 0")
    if resources.gpus < 0:
        raise LaunchError(f"gpus={resources.gpus} is negative", "give gpus >= 0")
    for text in [*command, *env, *env.values()]:
        if "\0" in text:
            raise LaunchError(f"{text!r} has a NUL character, which no system passes on", "remove it")
    for key in env:
        if not key or "=" in key:
            raise LaunchError(f"{key!r} can't name an environment variable", "give a name without '='")
