from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from whet.cli.main import SECTIONS
from whet.errors import WhetError

Call = Callable[..., Any]

COMMANDS = [name for section in SECTIONS.values() for name in section]
HEAVY = ("torch", "numpy", "scipy", "sqlalchemy", "rich", "psutil", "yaml", "alembic", "importlib.metadata")


def test_help_loads_nothing_but_click() -> None:
    code = (
        "import sys; from whet.cli.main import cli\n"
        "try: cli.main(['--help'], prog_name='whet')\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], sorted(n for n in sys.modules if n[:5] == 'whet.'))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    last = output.splitlines()[-1]
    assert last == "[] ['whet.cli', 'whet.cli.main', 'whet.cli.session', 'whet.errors']"
    for name in COMMANDS:
        assert f"\n  {name} " in output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says_and_explains_itself(name: str, whet: Call) -> None:
    command = importlib.import_module(f"whet.cli.{name}").command
    assert isinstance(command, click.Command)
    result = whet(name, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert "--json" in result.output or name == "completion"


def test_a_first_call_says_how_to_begin(whet: Call) -> None:
    result = whet()
    assert result.exit_code == 0
    assert "whet run train.py lr=loguniform[1e-4:1e-1] --maximize accuracy" in result.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["lss"],
            "whet: unknown command 'lss'\n  → did you mean 'ls'? known: ls, logs, best, plot, show, sync, serve, sweep,",
        ),
        (["ls", "--jsn"], "whet: no such option --jsn\n  → did you mean --json? whet ls --help shows what there is\n"),
        (["show"], "whet: RUN|SWEEP is missing\n  → whet show --help shows what there is\n"),
        (["ls", "-n", "many"], "whet: invalid value for '-n': 'many' is not a valid integer range\n  → whet ls --help"),
        (["ls", "--state", "runing"], "whet: unknown state 'runing'\n  → did you mean 'running'? known: running,"),
        (["completion", "csh"], "whet: unknown shell 'csh'\n  → did you mean 'zsh'? known: zsh, bash, fish\n"),
    ],
)
def test_a_wrong_call_is_told_in_two_lines(args: list[str], said: str, whet: Call) -> None:
    result = whet(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(said)
    assert result.stderr.count("\n") == 2


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raising(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("whet.cli.session.store", raising)


def test_an_error_has_no_traceback_unless_it_is_asked_for(whet: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    error = WhetError("got this", "do that")
    error.exit_code = 7
    _failing(monkeypatch, error)
    result = whet("ls")
    assert (result.exit_code, result.stdout, result.stderr) == (7, "", "whet: got this\n  → do that\n")
    monkeypatch.setenv("WHET_DEBUG", "1")
    assert "Traceback" in whet("ls").stderr


def test_ctrl_c_is_130(whet: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, KeyboardInterrupt())
    result = whet("ls")
    assert (result.exit_code, result.stderr.strip()) == (130, "interrupted")


def test_a_bug_of_ours_is_not_dressed_up_as_the_users_mistake(whet: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, ZeroDivisionError("ours"))
    with pytest.raises(ZeroDivisionError):
        whet("ls")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_reader_that_leaves_is_no_error(digits: str) -> None:
    command = f"{sys.executable} -m whet.cli.main export digits --format json | head -c 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
    assert done.stdout == "{"
    assert done.stderr == ""


def test_the_options_before_the_command_choose_the_store_and_only_for_this_call(
    whet: Call, workspace: Path, digits: str
) -> None:
    before = dict(os.environ)
    there = json.loads(whet("--store", f"sqlite:///{workspace / 'other.db'}", "ls", "--json").stdout)
    assert there == []
    assert json.loads(whet("--dir", workspace / "elsewhere", "ls", "--json").stdout) == []
    assert len(json.loads(whet("--dir", workspace / ".whet", "ls", "--json").stdout)) == 6
    assert dict(os.environ) == before


def test_colours_only_on_a_terminal(as_process: Call, digits: str) -> None:
    for args in (["ls"], ["show", "digits"], ["show", "nope"], ["best"]):
        done = as_process(*args, env={**os.environ, "TERM": "xterm-256color"})
        assert "\x1b" not in done.stdout + done.stderr
        assert not set("─│┃━┏╭") & set(done.stdout)


def test_version(whet: Call) -> None:
    assert whet("--version").stdout.startswith("whet 0.")


def test_the_shell_completes_commands_runs_and_sweeps(whet: Call, digits: str, lone: str) -> None:
    from click.shell_completion import BashComplete

    from whet.cli.main import cli

    def offered(args: list[str], word: str) -> list[str]:
        return [item.value for item in BashComplete(cli, {}, "whet", "_WHET_COMPLETE").get_completions(args, word)]

    assert offered([], "s") == ["sweep", "show", "sync", "serve"]
    assert offered(["show"], "aaaa") == [lone]
    assert {digits, "digits"} <= set(offered(["best"], ""))
    assert offered(["ls", "--project"], "s") == ["solo"]
    assert "_WHET_COMPLETE=zsh_complete" in whet("completion", "zsh").stdout
