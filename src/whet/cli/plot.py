"""``whet plot``: figures of a sweep, on the terminal or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_sweeps
from whet.cli.output import wrong_call
from whet.errors import NotFound, StoreUnavailable, StudyError

if TYPE_CHECKING:
    from whet.figures.base import Chart
    from whet.figures.sheet import Sheet
    from whet.store.base import Store, Sweep

__all__ = ["command"]

_ENDINGS = (".png", ".svg", ".pdf")
_WIDEST = 100


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from whet.figures.base import FIGURES

    return [CompletionItem(n, help=about) for n, about in FIGURES.items() if n.startswith(incomplete)]


@click.command("plot")
@click.argument("sweep", metavar="SWEEP", shell_complete=complete_sweeps)
@click.argument("figure", metavar="[FIGURE]", default="history", shell_complete=_complete)
@click.option("-o", "--output", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file, .png, .svg or .pdf, instead.")  # fmt: skip
@click.option("--metric", metavar="NAME", help="Of several metrics this one; default the first.")
@click.option("--params", metavar="A,B,…", help="These parameters; default the most important ones.")
@click.option("--project", help="Look in this project only.")
@output.json_option
def command(
    sweep: str,
    figure: str,
    path: Path | None,
    metric: str | None,
    params: str | None,
    project: str | None,
    as_json: bool,
) -> None:
    """Draw a sweep: on the terminal, or with -o as a file (pip install "whet[plot]").

    \b
    history      every trial's result, and the best so far
    importance   how much each parameter matters
    parallel     parameters side by side, a line a trial
    response     the metric along each parameter, averaged over the others
    contour      the metric over two parameters
    correlation  what rises and falls together (ranks)
    edf          what share of the trials reached which value
    pareto       two metrics or more against each other, with the front
    hypervolume  how much the front covers, trial by trial
    regret       the best so far beside what random search would have found
    stopping     the trials' curves, and where they were stopped
    timeline     when each trial ran

    A file that is there is written anew. JSON: {sweep, figure, metric, data}, the plain data of the figure.
    """
    from whet.figures.base import FIGURES, chart

    if path is not None and path.suffix.lower() not in _ENDINGS:
        raise wrong_call(
            f"{path} does not end in {', '.join(_ENDINGS)}", f"name it {path.with_suffix('.png').name}, say"
        )
    if path is not None and as_json:
        raise wrong_call("-o draws and --json prints data", "leave one of them out")
    store = session.store(look=True)
    try:
        found = store.sweeps.find(sweep, project)
    except NotFound as error:
        if sweep not in FIGURES:
            raise
        raise NotFound(
            error.problem, f"name the sweep before the figure: whet plot SWEEP {sweep}", name=sweep
        ) from None
    sheet = _sheet(store, found, metric, params)
    try:
        made = chart(figure, sheet)
    except StudyError as error:
        raise StudyError(f"no {figure} of sweep {shown.value(found.name)}: {error.problem}", error.fix) from error
    if as_json:
        output.print_json({"sweep": found.id, "figure": figure, "metric": sheet.metric.name, "data": made.data()})
    elif path is not None:
        _write(made, path)
    else:
        on_terminal = output.on_terminal()
        width = min(output.console().width, _WIDEST) if on_terminal else 80
        import os

        for line in made.lines(width, colours=on_terminal and not os.environ.get("NO_COLOR")):
            output.say(line)


def _sheet(store: Store, sweep: Sweep, metric: str | None, params: str | None) -> Sheet:
    from whet.cli.describe import config_of
    from whet.figures.sheet import Sheet
    from whet.study.catching_up import history_of

    trials = history_of(store, sweep.id).in_order()
    names = [name.strip() for name in (params or "").split(",") if name.strip()]
    return Sheet(shown.value(sweep.name), config_of(sweep).problem, trials, metric=metric, params=tuple(names))


def _write(made: Chart, path: Path) -> None:
    from whet.figures.style import new_figure, save, style

    with style():
        figure = new_figure(*made.size)
        made.draw(figure)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save(figure, path)
        except OSError as error:
            raise StoreUnavailable(
                f"{path} can't be written ({error.strerror or error})", "choose another place"
            ) from error
    output.say(f"wrote {path}")
