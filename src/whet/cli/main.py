"""``whet``: the commands by name, and what happens when one goes wrong.

A command `name` is `whet.cli.<name>:command`. Its line in the help stands here, so that ``whet --help`` imports none of them.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, final

import click

from whet.cli import session
from whet.errors import UnknownName, WhetError

__all__ = ["SECTIONS", "cli", "main"]

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Tune": {
        "run": "Tune a script as it is: whet run train.py lr=[1e-4:1e-1]",
        "sweep": "Create a sweep from a YAML file; pause, resume or end one",
        "edit": "Change a sweep: ranges, options, cap … while it runs",
        "agent": "Work on a sweep until there is nothing left to do",
        "retry": "Run the failed trials of a sweep again",
    },
    "Look": {
        "ls": "List runs, or sweeps with --sweeps",
        "show": "Show a run or a sweep in full",
        "best": "Show the best run and how to reproduce it",
        "compare": "Compare runs side by side",
        "importance": "Show which parameters of a sweep matter",
        "plot": "Draw a sweep: on the terminal, or as PNG, SVG or PDF",
        "logs": "Print what a run printed",
        "artifacts": "List the files that a run keeps, and get them",
    },
    "Keep": {
        "export": "Write a sweep or project as CSV, JSON, Parquet or TensorBoard",
        "rm": "Remove runs or a sweep",
        "replay": "Make a sweep's suggestions again from its history, and compare",
        "index": "Take in runs that other tools wrote: TensorBoard, MLflow, W&B, CSV …",
        "sync": "Bring runs that were logged while the store was away into it",
        "db": "Look after the store: upgrade, check, vacuum, gc, export, import, move",
    },
    "Share": {
        "ui": "Open the web page: runs, sweeps, curves, as they happen",
        "serve": "Serve the store over HTTP: to other machines and programs",
        "token": "Make, list and revoke the tokens that a server asks for",
    },
    "Help": {
        "doctor": "Check the installation and the store, and say what to mend",
        "completion": "Print the completion script of a shell",
    },
}
"""The commands by section, with their line in the help."""

_HELP = """Tune models: search their hyperparameters, keep every run, see what helped.

\b
Begin with a script that prints or logs a metric:
  whet run train.py lr=loguniform[1e-4:1e-1] --maximize accuracy
then look at what came out:
  whet ls
  whet best
"""


@final
class _Commands(click.Group):
    """Loads commands when they are called, and turns errors into two lines."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"whet.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.list_commands(ctx) and not ctx.resilient_parsing and not name.startswith("-"):
            raise UnknownName.of("command", name, self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.list_commands(ctx))
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        sys.exit(_guarded(lambda: super(_Commands, self).main(*args, **kwargs)))


@click.group("whet", cls=_Commands, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False, invoke_without_command=True)  # fmt: skip
@click.option(
    "--store",
    "store_url",
    metavar="URL",
    help="Where runs are kept: sqlite:///…, postgresql://…, http://… (or WHET_STORE).",
)
@click.option("--dir", "folder", metavar="PATH", help="Whet's folder; default .whet (or WHET_DIR).")
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def cli(context: click.Context, store_url: str | None, folder: str | None, version: bool) -> None:
    """Do what every command has in common."""
    if os.environ.get("NO_COLOR"):
        context.color = False
    session.apply(context, store_url=store_url, folder=folder)
    if version:
        from importlib.metadata import version as installed

        click.echo(f"whet {installed('whet')}")
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run ``whet`` with `args` (default: the process's) and exit: 0, an error's `exit_code`, 2 for a wrong call, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that has no → must not end the command
    cli.main(args=None if args is None else list(args), prog_name="whet")


def _guarded(call: Any) -> int:
    """Call, and return the exit status; what went wrong is said on stderr."""
    try:
        code = call()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except WhetError as error:
        return _failed(error, error.problem, error.fix, error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return _failed(error, *_usage(error), error.exit_code)
    except click.Abort as error:
        interrupted = isinstance(error.__context__, KeyboardInterrupt)
        click.echo("interrupted" if interrupted else "stopped: nothing was answered", err=True)
        return 130 if interrupted else 1
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        _silence()
        return 0
    except SystemExit as error:  # click's own way out for a broken pipe and for completion
        return error.code if isinstance(error.code, int) else 1
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] == "whet":
            raise
        return _failed(error, f"the package {error.name!r} is not installed", f"pip install {error.name}", 1)


def _failed(error: BaseException, problem: str, fix: str, exit_code: int) -> int:
    if os.environ.get("WHET_DEBUG", "") not in ("", "0"):
        import traceback

        traceback.print_exception(error)
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    click.echo((click.style("whet:", fg="red", bold=True) if colours else "whet:") + f" {problem}", err=True)
    if fix:
        click.echo((click.style("  →", fg="green") if colours else "  →") + f" {fix}", err=True)
    return exit_code


def _usage(error: click.ClickException) -> tuple[str, str]:
    """Return problem and fix of a call that click refuses."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "whet"
    fix = f"{path} --help shows what there is"
    problem = error.format_message().rstrip(".").split("\n")[0]
    if isinstance(error, click.NoSuchOption) and context is not None:
        known = [name for p in context.command.get_params(context) for name in p.opts if name.startswith("--")]
        problem = f"no such option {error.option_name}"
        close = difflib.get_close_matches(error.option_name, [*known, "--help"], n=1)
        fix = f"did you mean {close[0]}? {fix}" if close else fix
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        problem = f"{error.param.make_metavar(context) if context else error.param.name} is missing"
    return problem if problem[1:2].isupper() else problem[:1].lower() + problem[1:], fix


def _silence() -> None:
    """Let nothing more be flushed into a pipe that is closed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
