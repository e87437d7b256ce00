"""What is shown before anything is run: a script's flags, the trials to be, the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from whet.cli import format as shown
from whet.cli import output

if TYPE_CHECKING:
    from whet.config import SweepConfig
    from whet.project.flags import Flags
    from whet.project.plan import Plan

__all__ = ["ask", "list_flags", "print_trials"]


def ask(target: str, config: SweepConfig, total: int) -> None:
    """Say what will be run, and ask whether it shall be.

    Raises:
        Abort: it shall not.
    """
    output.say(f"You are about to run {target} as a sweep of {shown.counted(total, 'trial')} ({config.method.name})")
    output.fields([(name, _in_words(parameter)) for name, parameter in config.problem.space.items()], indent=2)
    for metric in config.problem.metrics:
        output.say(f"  to {metric.goal.value} {metric.name}")
    for limit in config.problem.limits:
        output.say(f"  within {limit}")
    if not click.confirm("Continue?", default=True):
        raise click.Abort


def _in_words(parameter: Any) -> str:
    from whet.space import Choice

    if isinstance(parameter, Choice):
        values = [shown.value(option) for option in parameter.options]
        return values[0] if len(values) == 1 else f"[{', '.join(values[:12])}{', …' if len(values) > 12 else ''}]"
    return str(parameter)


def print_trials(config: SweepConfig, wanted: Plan, total: int, *, as_json: bool) -> None:
    """Print what would be tried: what a method says that has seen no result."""
    from whet.study.preview import guesses

    tried = guesses(config, total, wanted.first)
    if as_json:
        output.print_json([dict(params) for params in tried])
        return
    names = list(config.problem.space)
    rows = [
        [str(number), *(shown.value(params[n]) if n in params else "" for n in names)]
        for number, params in enumerate(tried)
    ]
    output.table(["trial", *names], rows, right=["trial"], keep=["trial"])
    if not wanted.finite and config.problem.metrics:
        output.tell(f"these are {config.method.name}'s first guesses: it changes its mind as results come in")


def list_flags(flags: Flags, *, as_json: bool) -> None:
    """Print a script's flags."""
    from whet.project.flags import UNKNOWN

    if as_json:
        output.print_json(
            [
                {
                    "name": f.name,
                    "interface": f.interface,
                    "type": f.kind,
                    "default": None if f.default is UNKNOWN else f.default,
                    "choices": f.choices,
                    "help": f.help,
                }
                for f in flags.values()
            ]
        )
        return
    if not flags:
        output.say(f"no flags are found in {flags.script}; any name=value is passed on as --name=value" if not flags.closed
                   else f"no flags are found in {flags.script}")  # fmt: skip
        return
    rows = [
        [f.name, f.kind.value, "?" if f.default is UNKNOWN else shown.value(f.default), f.interface.value,
         " | ".join(map(str, f.choices)) if f.choices else f.help]
        for f in flags.values()
    ]  # fmt: skip
    output.table(["flag", "type", "default", "from", "about"], rows, keep=["flag"], elastic="about")
