"""How a fit shows where it is: a bar on a terminal, a few plain lines in a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping

__all__ = ["Show", "shown"]

Show = Callable[[int, "Mapping[str, float] | None"], None]
"""``show(done, metrics)`` after every step; metrics where there are new ones."""


@contextlib.contextmanager
def shown(wanted: bool | None, *, name: str, total: int | None) -> Iterator[Show]:
    """Show on standard error how far a fit is.

    Args:
        wanted: None: a bar on a terminal and about ten lines elsewhere; True: a bar anywhere; False: nothing.
        name: What runs.
        total: Steps in all, if known.
    """
    if wanted is False:
        yield lambda done, metrics: None
    elif wanted or sys.stderr.isatty():
        with _bar(name, total) as show:
            yield show
    else:
        yield _lines(name, total)


@contextlib.contextmanager
def _bar(name: str, total: int | None) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[said]}"))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total, said="")

        def show(done: int, metrics: Mapping[str, float] | None) -> None:
            if metrics is not None:
                bar.update(task, completed=done, said=_said(metrics))
            elif done % 16 == 0:  # a bar's update costs as much as a small step
                bar.update(task, completed=done)

        yield show


def _lines(name: str, total: int | None) -> Show:
    due = 0.0

    def show(done: int, metrics: Mapping[str, float] | None) -> None:
        nonlocal due
        if metrics is not None and (total is None or done >= min(due, total)):
            place = f"{done}" if total is None else f"{done}/{total}"
            print(f"{name}: step {place} · {_said(metrics)}", file=sys.stderr, flush=True)
            due = done + (total or 0) / 10

    return show


def _said(metrics: Mapping[str, float]) -> str:
    parts = [(k.removeprefix("hyper/"), v) for k, v in metrics.items() if k not in ("step", "epoch")]
    return " · ".join(f"{k} {v:.4g}" for k, v in parts[:6]) + (" · …" if len(parts) > 6 else "")
