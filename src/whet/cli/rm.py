"""``whet rm``: runs or sweeps, with their metrics and folders."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_things, run_or_sweep
from whet.cli.output import wrong_call
from whet.errors import Conflict

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep

__all__ = ["command"]


@click.command("rm")
@click.argument("what", metavar="RUN…|SWEEP…", nargs=-1, required=True, shell_complete=complete_things)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@output.json_option
@click.pass_context
def command(context: click.Context, what: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove runs, or whole sweeps with their runs: what they logged, printed and kept.

    A run of a sweep goes only with its sweep, whose search rests on it. Nothing that runs is removed. JSON: {runs, sweeps, freed_bytes}.
    """
    from whet.store.base import Run, RunQuery
    from whet.store.owner import alive

    store = session.store()
    runs: dict[str, Run] = {}
    sweeps: dict[str, Sweep] = {}
    for text in what:
        thing = run_or_sweep(store, text)
        if isinstance(thing, Run):
            runs[thing.id] = thing
        else:
            sweeps[thing.id] = thing
    for run in runs.values():
        if run.sweep is not None and run.sweep not in sweeps:
            raise Conflict(
                f"run {run.id} is trial {run.number} of sweep {run.sweep}, whose search rests on it",
                f"remove the whole sweep: whet rm {run.sweep}",
            )
    runs = {id: run for id, run in runs.items() if run.sweep is None}
    inside = {s: store.runs.select(RunQuery(sweep=s)) for s in sweeps}
    everything = [*runs.values(), *(run for members in inside.values() for run in members)]
    _refuse_running(everything)
    for sweep in sweeps.values():
        if sweep.driver is not None and alive(sweep.driver):
            raise Conflict(f"sweep {sweep.id} is being run", f"end it first: whet sweep {sweep.id} --cancel")
    if not yes and not _ask(list(runs.values()), sweeps, inside):
        output.tell("nothing is removed")
        context.exit(1)
    for run in runs.values():
        _end_if_lost(store, run)
    for id in sweeps:
        store.sweeps.delete(id)
    if runs:
        store.runs.delete(list(runs))
    freed = sum(_remove_folders(run) for run in everything)
    if as_json:
        output.print_json({"runs": [run.id for run in everything], "sweeps": list(sweeps), "freed_bytes": freed})
    else:
        parts = [shown.counted(len(sweeps), "sweep")] if sweeps else []
        output.say(
            f"removed {' and '.join([*parts, shown.counted(len(everything), 'run')])}, {shown.size(freed)} freed"
        )


def _refuse_running(runs: Iterable[Run]) -> None:
    from whet.cli.describe import is_lost
    from whet.store.owner import alive
    from whet.study.engine import LEASE_S
    from whet.trial import Phase

    for run in runs:
        if run.phase is not Phase.RUNNING or is_lost(run):
            continue
        silent = alive(run.owner) is None and time.time() - (run.beat or run.created) > LEASE_S
        if not silent:
            fix = f"end it first: whet sweep {run.sweep} --cancel" if run.sweep else "end its process first, or wait"
            raise Conflict(f"run {run.id} is running", fix)


def _end_if_lost(store: Store, run: Run) -> None:
    """A run whose process is gone still says that it runs, and the store keeps what runs."""
    from whet.trial import Phase

    if run.phase is Phase.RUNNING:
        store.runs.finish(run.id, Phase.FAILED, "its process was lost")


def _ask(runs: list[Run], sweeps: dict[str, Sweep], inside: dict[str, list[Run]]) -> bool:
    if not sys.stdin.isatty():
        raise wrong_call(
            "rm asks before it removes, and there is no terminal to ask on", "add -y to remove without asking"
        )
    for run in runs:
        click.echo(f"run {run.id} ({shown.value(run.name)}) in project {shown.value(run.project)}", err=True)
    for id, sweep in sweeps.items():
        click.echo(f"sweep {id} ({shown.value(sweep.name)}) with {shown.counted(len(inside[id]), 'run')}", err=True)
    return click.confirm("Remove for ever?", err=True)


def _remove_folders(run: Run) -> int:
    """Remove what the run left on this machine's disk and return its size. Without its spool, `whet sync` can't bring it back."""
    from whet.launch.jobs import job_id
    from whet.store.open import whet_dir

    here = whet_dir()
    folders = [here / "runs" / run.id, *(here / "jobs" / job_id(f"{run.id}-{n}") for n in range(run.attempt + 1))]
    return sum(_remove(folder) for folder in folders)


def _remove(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    num_bytes = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if folder.exists() else num_bytes
