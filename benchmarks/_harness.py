"""What every benchmark shares: paired repeats, median with spread, ratio tables, and bounds that `--check` enforces.

A benchmark measures its peers in the same run, turn by turn (A B C, A B C, …), so that a machine that is busy for a while hurts all
of them alike; ratios are taken within a turn, and the median of the turns is shown with the least and the greatest.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "Bound",
    "Report",
    "Served",
    "Spread",
    "arguments",
    "dispatch",
    "number",
    "paired",
    "quantile",
    "ratio",
    "ratios",
    "served",
    "spread",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Several measurements of one thing: median, least, greatest, how many."""

    median: float
    low: float
    high: float
    count: int

    def text(self, digits: int = 3) -> str:
        """Return ``median [low … high]``."""
        if self.count == 1:
            return number(self.median, digits)
        return f"{number(self.median, digits)} [{number(self.low, digits)} … {number(self.high, digits)}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a benchmark promises, and whether it was kept."""

    text: str
    got: float
    kept: bool


def number(value: float, digits: int = 3) -> str:
    """Return `value` with so many significant digits, thousands marked."""
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def spread(values: Iterable[float]) -> Spread:
    """Return median, least and greatest of `values` (at least one)."""
    listed = list(values)
    return Spread(median=statistics.median(listed), low=min(listed), high=max(listed), count=len(listed))


def quantile(values: Iterable[float], share: float) -> float:
    """Return the value below which lies that share of `values`; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan


def paired(
    cases: Mapping[str, Callable[[], Mapping[str, float]]], repeats: int
) -> dict[str, list[Mapping[str, float]]]:
    """Run every case once a turn, `repeats` turns, and return each case's measurements in the order of the turns."""
    results: dict[str, list[Mapping[str, float]]] = {name: [] for name in cases}
    for turn in range(repeats):
        for name, case in cases.items():
            began = time.perf_counter()
            results[name].append(case())
            print(
                f"  turn {turn + 1}/{repeats}  {name}  {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True
            )
    return results


def ratio(results: Mapping[str, Sequence[Mapping[str, float]]], key: str, name: str, *, to: str) -> Spread:
    """Return how many times as much of `key` the case `name` has as the case `to`, turn by turn."""
    return spread(mine[key] / other[key] for mine, other in zip(results[name], results[to], strict=True))


def ratios(results: Mapping[str, Sequence[Mapping[str, float]]], key: str, *, to: str) -> dict[str, Spread]:
    """Return the same for each case but `to` itself."""
    return {name: ratio(results, key, name, to=to) for name in results if name != to}


def arguments(
    description: str,
    *,
    repeats: int,
    quick_repeats: int = 1,
    data: bool = False,
    flags: Mapping[str, str] | None = None,
    more: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse.Namespace:
    """Return the command line: `quick`, `json`, `check`, `repeats` (fewer with ``--quick``), `data` if it reads a data set, own arguments."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements there")
    parser.add_argument("--check", action="store_true", help="name each bound that was missed, and exit with 1")
    parser.add_argument(
        "--repeats", type=int, metavar="N", help=f"turns (default {repeats}, with --quick {quick_repeats})"
    )
    if data:
        parser.add_argument(
            "--data", type=Path, metavar="DIR", help="where the data set is (default $WHET_DATA, then its usual places)"
        )
    for flag, meaning in (flags or {}).items():
        parser.add_argument(f"--{flag}", action="store_true", help=meaning)
    if more is not None:
        more(parser)
    given = parser.parse_args()
    given.repeats = given.repeats or (quick_repeats if given.quick else repeats)
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server at work: its address, its process, and the seconds from the start of the process to its first answer."""

    url: str
    pid: int
    start_s: float


@contextmanager
def served(path: Path, *options: str) -> Iterator[Served]:
    """Start ``whet serve`` over the store at `path`, as users do, and end it afterwards."""
    command = [sys.executable, "-m", "whet.cli.main", "serve", "--port", "0", "--json", *options]
    env = {**os.environ, "WHET_STORE": f"sqlite:///{path}"}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        try:
            url = str(json.loads(process.stdout.readline())["url"])
            with urllib.request.urlopen(f"{url}/api/v1/runs?limit=1") as answer:
                answer.read()
            yield Served(url=url, pid=process.pid, start_s=time.perf_counter() - began)
        finally:
            process.terminate()


def dispatch(usage: str, package: str, commands: Sequence[str]) -> int:
    """Run the `main` of the module of `package` that the first argument names, or say how a package of benchmarks is used."""
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        asked = len(sys.argv) > 1 and sys.argv[1] in ("-h", "--help")
        print(usage, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    status: int = importlib.import_module(f"{package}.{sys.argv.pop(1)}").main()
    return status


@dataclass(slots=True, kw_only=True)
class Report:
    """What a benchmark found: tables, remarks, bounds. Rich on a terminal, plain lines in a pipe."""

    title: str
    tables: list[tuple[str, list[str], list[list[str]]]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table."""
        self.tables.append((title, list(columns), [list(row) for row in rows]))

    def remark(self, text: str) -> None:
        """Add a sentence below the tables."""
        self.remarks.append(text)

    def bound(self, text: str, got: float, kept: bool) -> None:
        """Add a bound."""
        self.bounds.append(Bound(text=text, got=got, kept=kept))

    def finish(self, given: argparse.Namespace) -> int:
        """Print, write the JSON, and return the exit status."""
        self._print()
        if given.json:
            machine = {
                "python": platform.python_version(),
                "platform": platform.platform(),
                "cpus": os.cpu_count(),
                "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            }
            content = {
                "title": self.title, "machine": machine, "quick": given.quick, "repeats": given.repeats, "data": self.data,
                "bounds": [asdict(bound) for bound in self.bounds],
            }  # fmt: skip
            given.json.write_text(json.dumps(content, indent=1, default=_plain) + "\n")
        missed = [bound for bound in self.bounds if not bound.kept]
        if given.check:
            for bound in missed:
                print(f"missed: {bound.text} (got {number(bound.got)})", file=sys.stderr)
        return 1 if given.check and missed else 0

    def _print(self) -> None:
        if sys.stdout.isatty():
            from rich.console import Console
            from rich.table import Table

            console = Console()
            console.rule(self.title)
            for title, columns, rows in self.tables:
                table = Table(title=title, title_justify="left")
                for i, column in enumerate(columns):
                    table.add_column(column, justify="left" if i == 0 else "right")
                for row in rows:
                    table.add_row(*row)
                console.print(table)
        else:
            print(self.title)
            for title, columns, rows in self.tables:
                widths = [max(len(line[i]) for line in [columns, *rows]) for i in range(len(columns))]
                print(f"\n{title}")
                for line in [columns, *rows]:
                    cells = [
                        c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
                    ]
                    print("  ".join(cells).rstrip())
        for remark in self.remarks:
            print(remark)
        for bound in self.bounds:
            print(f"{'kept  ' if bound.kept else 'MISSED'}  {bound.text} (got {number(bound.got)})")


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Spread) else str(value)
