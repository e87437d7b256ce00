"""``whet ls``: runs, or sweeps, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_projects, complete_sweeps
from whet.errors import UnknownName

if TYPE_CHECKING:
    from whet.store.base import Run, Store

__all__ = ["command"]

STATES = ("pending", "running", "paused", "finished", "stopped", "failed", "canceled", "lost")
_COLOURS = {"failed": "red", "lost": "red", "running": "cyan", "canceled": "dim", "stopped early": "dim"}


@click.command("ls")
@click.option("--sweeps", "of_sweeps", is_flag=True, help="List sweeps.")
@click.option("--project", shell_complete=complete_projects, help="Only of this project.")
@click.option("--sweep", "in_sweep", shell_complete=complete_sweeps, help="Only of this sweep (id or name).")
@click.option("--state", "states", multiple=True, metavar="STATE", help=f"Only in this state; may be repeated: {', '.join(STATES)}.")  # fmt: skip
@click.option("--where", metavar="FILTER", default="", help='Only runs that it wants, as in: --where "loss < 0.3 and config.lr > 1e-3" (docs/filters.md).')  # fmt: skip
@click.option("--sort", metavar="COLUMN", help="By this column, as in --sort val_loss or --sort -created; - before it: the greatest first.")  # fmt: skip
@click.option(
    "-n",
    "limit",
    metavar="N",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="The most to list; 0 lists all.",
)
@output.json_option
def command(
    of_sweeps: bool,
    project: str | None,
    in_sweep: str | None,
    states: tuple[str, ...],
    where: str,
    sort: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first.

    \b
    --where and --sort know the columns id, name, state, tags, group, created,
    duration …, metrics (val_loss, val_loss.min), config.X, params.X,
    summary.X and attrs.X.
    """
    known = STATES if not of_sweeps else ("pending", "running", "paused", "finished", "canceled")
    for state in states:
        if state not in known:
            raise UnknownName.of("state", state, known)
    store = session.store(look=True)
    if of_sweeps and (where or sort):
        raise output.wrong_call("--where and --sort are about runs", "leave --sweeps out")
    if of_sweeps:
        _list_sweeps(store, project, states, limit, as_json)
    else:
        _list_runs(store, project, in_sweep, states, where, sort, limit, as_json)


def _list_sweeps(store: Store, project: str | None, states: Sequence[str], limit: int, as_json: bool) -> None:
    from whet.cli.describe import method_of, metrics_of, sweep_as_json

    sweeps = [s for s in store.sweeps.all(project) if not states or s.state.value in states]
    cut = sweeps[:limit] if limit else sweeps
    if as_json:
        output.print_json([sweep_as_json(s) for s in cut])
        return
    if not sweeps:
        _nothing(store, "sweep", bool(states), project)
        return
    rows = []
    for s in cut:
        best = "" if s.best_value is None else f"{metrics_of(s)[0]}={shown.number(s.best_value)}"
        trials = str(s.next_number) if s.cap is None else f"{s.next_number}/{s.cap}"
        rows.append(
            [
                s.id,
                shown.value(s.name),
                s.state.value,
                trials,
                best,
                method_of(s),
                shown.ago(s.created),
                shown.value(s.project),
            ]
        )
    header = ["sweep", "name", "state", "trials", "best", "method", "created", "project"]
    output.table(header, rows, right=["trials"], keep=["sweep"], more="a wider terminal, or --json, has it")
    if len(cut) < len(sweeps):
        output.tell(f"{len(sweeps) - len(cut)} more: whet ls --sweeps -n 0")


def _list_runs(
    store: Store,
    project: str | None,
    in_sweep: str | None,
    states: Sequence[str],
    where: str,
    sort: str | None,
    limit: int,
    as_json: bool,
) -> None:
    from whet.cli.describe import result_cells, run_as_json, seconds_of, state_of
    from whet.store.base import RunQuery, TableQuery
    from whet.store.describe import state_word
    from whet.store.matching import matching, sweeps_of
    from whet.trial import Phase

    sweep = store.sweeps.find(in_sweep, project) if in_sweep else None
    phases = {{"stopped": "finished", "lost": "running"}.get(s, s) for s in states}
    at_once = not {"stopped", "finished", "lost", "running"} & set(
        states
    )  # else what the store gives is looked at again
    most = limit + 1 if limit and at_once else None
    if where or sort:
        asked = TableQuery(filter=where, sort=sort or "-created", project=project, sweep=sweep.id if sweep else None)
        found = list(matching(store, asked, keep=lambda row: not phases or row.phase.value in phases, most=most))
    else:
        found = store.runs.select(
            RunQuery(
                project=project,
                sweep=sweep.id if sweep else None,
                phases=tuple(Phase(p) for p in phases),
                limit=most,
            )
        )

    def wanted(run: Run) -> bool:
        return not states or state_word(run) in states

    runs = found if at_once else [run for run in found if wanted(run)]
    more = bool(limit) and len(runs) > limit
    runs = runs[:limit] if limit else runs
    sweeps = sweeps_of(store, runs)
    if as_json:
        output.print_json([run_as_json(run, sweeps.get(run.sweep or "")) for run in runs])
        return
    if not runs:
        _nothing(store, "run", bool(states or in_sweep or where), project)
        return
    metric, results = result_cells(runs, sweeps)
    several = len({run.project for run in runs}) > 1
    header = ["run", "name", "state", metric, "took", "params", "started", *(["project"] if several else [])]
    rows = []
    words = [state_of(run) for run in runs]
    for run, word, result in zip(runs, words, results, strict=True):
        row = [run.id, shown.value(run.name), word, result, shown.duration(seconds_of(run))]
        row += [shown.params(run.params or run.config), shown.ago(run.started)]
        rows.append([*row, *([shown.value(run.project)] if several else [])])
    styles = {i: _COLOURS[word] for i, word in enumerate(words) if word in _COLOURS}
    styles |= {i: "green" for i, run in enumerate(runs) if run.best}
    right = ["took", *([metric] if metric != "result" else [])]
    output.table(
        header,
        rows,
        right=right,
        keep=["run"],
        elastic="params",
        emphasis=styles,
        more="a wider terminal, or --json, has it",
    )
    if more:
        output.tell(f"only the {'first' if sort else 'latest'} {limit}: -n 0 lists all")
    if "lost" in words:
        output.tell("lost: the process is gone without an end; whet doctor says what to do")


def _nothing(store: Store, kind: str, filtered: bool, project: str | None) -> None:
    projects = store.runs.projects()
    if project is not None and project not in projects and projects:
        output.tell(f"no {kind} in project {project!r}; there are: {', '.join(projects)}")
    elif (filtered or project is not None) and projects:
        output.tell(f"no {kind} matches")
    else:
        output.tell(f"no {kind} yet in {session.missing() or store.shown}")
        elsewhere = session.nearby() if session.missing() else None
        if elsewhere is not None:
            output.tell(
                f"there are some in {elsewhere}: go to {elsewhere.parent}, or add --dir, as in: whet --dir {elsewhere} ls"
            )
            return
        output.tell("begin with: whet run train.py lr=loguniform[1e-4:1e-1] --maximize accuracy")
        output.tell("or, in Python: import whet; run = whet.init(project='first'); run.log({'loss': 0.5})")
