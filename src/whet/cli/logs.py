"""``whet logs``: what a run printed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whet.cli import output, session
from whet.cli.find import complete_runs
from whet.errors import NotFound
from whet.track.output import log_files

if TYPE_CHECKING:
    from whet.store.base import Run, Store

__all__ = ["command"]

_POLL_S = 0.2


@click.command("logs")
@click.argument("run", shell_complete=complete_runs)
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run ends.")
@click.option("--stderr", "of_errors", is_flag=True, help="Print its error output instead.")
@click.option("-n", "count", metavar="LINES", type=click.IntRange(min=0), help="Only the last LINES lines.")
@click.option("--project", help="Look in this project only.")
@output.json_option
def command(run: str, follow: bool, of_errors: bool, count: int | None, project: str | None, as_json: bool) -> None:
    """Print what a run printed. JSON: a line {stream, line} for each."""
    from whet.cli.describe import is_lost

    store = session.store(look=True)
    found = store.runs.find(run, project)
    stdout, stderr = log_files(found)
    path = stderr if of_errors else stdout
    if path is None or (not path.exists() and not follow):
        raise NotFound(
            f"run {found.id} has left no {'error ' if of_errors else ''}output here", _where(found, of_errors)
        )
    stream = "stderr" if of_errors else "stdout"

    def show(line: str) -> None:
        if as_json:
            output.print_json({"stream": stream, "line": line}, lines=True)
        else:
            output.say(line)

    for line in _follow(store, found, path, count) if follow else _lines(path, count):
        show(line)
    if follow and is_lost(store.runs.get(found.id)):
        output.tell("the run is lost: its process is gone without an end; whet doctor says what to do")
    if not of_errors and not as_json and stderr is not None and stderr != stdout and _size(stderr):
        output.tell(f"it wrote to stderr, too: whet logs {found.id} --stderr")


def _where(run: Run, of_errors: bool) -> str:
    host = run.owner.partition("|")[0]
    import socket

    if host and host != socket.gethostname():
        return f"it ran on {host}: look there"
    return "its output is kept once it is started by whet run, whet agent or whet.init()"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _lines(path: Path, count: int | None) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = (line.rstrip("\n") for line in file)
        yield from lines if count is None else deque(lines, maxlen=count)


def _follow(store: Store, run: Run, path: Path, count: int | None) -> Iterator[str]:
    """Yield the lines that are there, then those that come, until the run is over."""
    from whet.cli.describe import is_lost

    offset = 0
    rest = b""
    first = True
    while True:
        now = store.runs.get(run.id)  # asked before reading, so that nothing is missed
        over = now.phase.is_over or is_lost(now)
        if path.exists():
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
            offset += len(data)
            *whole, rest = (rest + data).split(b"\n")
            if over and rest:
                whole, rest = [*whole, rest], b""
            if first and count is not None:
                whole = whole[len(whole) - min(count, len(whole)) :]
            first = False
            yield from (line.decode("utf-8", "replace") for line in whole)
        if over:
            return
        time.sleep(_POLL_S)
