"""Where output goes: prose and tables for people, plain lines for a pipe, one JSON document for a program, the rest on stderr.

JSON holds no NaN and no infinity: they are null. Nothing else is ever printed to stdout beside a JSON document.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, final

import click

from whet.errors import WhetError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Line",
    "console",
    "fields",
    "json_option",
    "on_terminal",
    "plain",
    "print_json",
    "say",
    "table",
    "tell",
    "wrong_call",
]

_REDRAW_S = 0.1
_LEAST = 12  # columns that an elastic cell needs to say anything

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for programs.")
"""``--json``, which the command gets as `as_json`."""


def wrong_call(problem: str, fix: str) -> WhetError:
    """Return the error for options and arguments that don't go together; its exit status is 2, as for any wrong call."""
    error = WhetError(problem, fix)
    error.exit_code = 2
    return error


def on_terminal() -> bool:
    """Return whether stdout is a terminal (and not a dumb one)."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def console(*, stderr: bool = False) -> Console:
    """Return rich's console on the present stdout or stderr: no markup, no highlighting, words stay whole."""
    from rich.console import Console

    return Console(file=sys.stderr if stderr else sys.stdout, markup=False, highlight=False, emoji=False)


def say(text: str = "") -> None:
    """Print a line of the answer."""
    click.echo(text)


def tell(text: str) -> None:
    """Print a remark that is not the answer: on stderr, dimmed on a terminal."""
    click.secho(text, err=True, dim=True)


def print_json(document: object, *, lines: bool = False, file: TextIO | None = None) -> None:
    """Print `document` as JSON: indented, or with `lines` on one line, to `file` (default stdout)."""
    click.echo(json.dumps(plain(document), indent=None if lines else 2, ensure_ascii=False, allow_nan=False), file=file)


def plain(document: object) -> Any:
    """Return `document` as what JSON can hold: enums by value, paths as text, NaN and infinities as null."""
    if isinstance(document, float):
        return document if math.isfinite(document) else None
    if document is None or isinstance(document, (bool, int, str)):
        return document
    if isinstance(document, Enum):
        return document.value
    if isinstance(document, Path):
        return str(document)
    if isinstance(document, Mapping):
        return {str(k): plain(v) for k, v in document.items()}
    if isinstance(document, (list, tuple, set, frozenset)):
        return [plain(v) for v in document]
    return str(document)


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    keep: Sequence[str] = (),
    elastic: str = "",
    emphasis: Mapping[int, str] | None = None,
    more: str = "",
) -> None:
    """Print a table: on a terminal as wide as it is, in a pipe aligned lines with everything.

    Nothing is cut within a cell but those of `elastic`. On a terminal, columns that don't fit are left out from the right and
    named below.

    Args:
        header: Names of the columns.
        rows: Cells as text; an empty one is shown as ``-``.
        right: Columns aligned to the right (numbers).
        keep: Columns that are never left out.
        elastic: The column that is shortened where there is too little room, rather than left out.
        emphasis: Row index to a rich style.
        more: How to see the columns that were left out.
    """
    cells = [[cell or "-" for cell in row] for row in rows]
    widths = [max(len(name), *(_width(row[i]) for row in cells), 0) for i, name in enumerate(header)]
    if not on_terminal():
        for row in [header, *cells]:
            line = [
                cell.rjust(w) if name in right else cell.ljust(w)
                for name, cell, w in zip(header, row, widths, strict=True)
            ]
            say("  ".join(line).rstrip())
        return
    from rich.table import Table
    from rich.text import Text

    out = console()
    least = {n: max(len(elastic), min(widths[n], _LEAST)) for n, name in enumerate(header) if name == elastic}
    shown = _fitting(header, [least.get(n, w) for n, w in enumerate(widths)], keep, out.width)
    for n in least:
        rest = out.width - sum(widths[m] + 2 for m in shown if m != n)
        widths[n] = max(least[n], min(widths[n], rest))
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i in shown:
        justify: Any = "right" if header[i] in right else "left"
        overflow: Any = "ellipsis" if header[i] == elastic else "fold"
        grid.add_column(header[i], justify=justify, no_wrap=True, overflow=overflow, width=widths[i])
    for n, row in enumerate(cells):
        grid.add_row(*(Text(row[i]) for i in shown), style=(emphasis or {}).get(n))
    out.print(grid)
    hidden = [name for i, name in enumerate(header) if i not in shown]
    if hidden:
        how = f" ({more})" if more else ""
        out.print(f"not shown, for want of width: {', '.join(hidden)}{how}", style="dim")


def _fitting(header: Sequence[str], widths: Sequence[int], keep: Sequence[str], room: int) -> list[int]:
    shown = [i for i, name in enumerate(header) if name in keep]
    used = sum(widths[i] + 2 for i in shown)
    for i in range(len(header)):
        if i not in shown and used + widths[i] <= room:
            shown.append(i)
            used += widths[i] + 2
        elif i not in shown:
            break
    return sorted(shown)


def fields(pairs: Sequence[tuple[str, str]], *, indent: int = 0) -> None:
    """Print names and values in two columns; names dimmed on a terminal. A value may run over the line's end."""
    width = max((len(name) for name, _ in pairs), default=0)
    pad = " " * indent
    for name, text in pairs:
        label = name.ljust(width)
        say(f"{pad}{click.style(label, dim=True) if on_terminal() else label}  {text}".rstrip())


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


@final
class Line:
    """A line on the terminal that says what is being done; in a pipe there is none."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._last = 0.0

    def show(self, what: str) -> None:
        """Say what is done now."""
        now = time.monotonic()
        if self._on and now - self._last > _REDRAW_S:
            self._last = now
            click.echo(f"\r\033[K{''.join(c if c.isprintable() else ' ' for c in what)[:76]}", nl=False, err=True)

    def clear(self) -> None:
        """Leave nothing on the line."""
        if self._on:
            click.echo("\r\033[K", nl=False, err=True)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *error: object) -> None:
        self.clear()
