"""The bar of ``Study.optimize(show_progress_bar=True)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(num_trials: int | None) -> Iterator[Callable[[tuple[int, float] | None], None]]:
    """Show a bar on stderr while inside; what is given is to be called after each trial, with number and value of the best one so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("no result yet", total=num_trials)

        def advance(best: tuple[int, float] | None) -> None:
            shown = {} if best is None else {"description": f"best {best[1]:.6g} (trial {best[0]})"}
            bar.update(task, advance=1, **shown)  # type: ignore[arg-type]

        yield advance
