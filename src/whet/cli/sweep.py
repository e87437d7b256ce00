"""``whet sweep``: make a sweep from a file, and move it through its life."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_sweeps
from whet.cli.output import wrong_call
from whet.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from whet.store.base import Store, Sweep

__all__ = ["command"]

_SUFFIXES = (".yaml", ".yml", ".json")


@click.command("sweep")
@click.argument("what", metavar="FILE|SWEEP", required=False, shell_complete=complete_sweeps)
@click.option("--name", help="The new sweep's name; default: the file says it, or its id.")
@click.option("--project", help="The project of the new sweep, or the one to look in.")
@click.option("--start-from", "start_from", metavar="SWEEP", multiple=True, shell_complete=complete_sweeps,
              help="An earlier sweep that the new one learns from: its name or id; may be given several times.")  # fmt: skip
@click.option("--run", "and_run", is_flag=True, help="Run the new sweep at once, as its coordinator.")
@click.option("-j", "--jobs", metavar="N", type=click.IntRange(min=1), help="With --run: trials at a time; default 1.")
@click.option("--pause", "move", flag_value="pause", help="Hand out no more trials for now; what runs goes on.")
@click.option("--resume", "move", flag_value="resume", help="Hand out trials again.")
@click.option("--stop", "move", flag_value="stop", help="End it: what runs finishes, nothing new starts.")
@click.option("--cancel", "move", flag_value="cancel", help="End it now: what runs is killed. There is no way back.")
@click.option("--cap", metavar="N", type=click.IntRange(min=1), help="Change how many trials it may have in all.")
@click.option("--yaml", "as_yaml", is_flag=True, help="Print its configuration as a sweep file.")
@click.option("--schema", "as_schema", is_flag=True, help="Print the JSON Schema of sweep files, for editors.")
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    what: str | None,
    name: str | None,
    project: str | None,
    start_from: tuple[str, ...],
    and_run: bool,
    jobs: int | None,
    move: str | None,
    cap: int | None,
    as_yaml: bool,
    as_schema: bool,
    as_json: bool,
) -> None:
    """Create a sweep from a YAML or JSON file (W&B's are understood), or change one that is there.

    \b
      whet sweep sweep.yaml            create it; prints its id
      whet sweep sweep.yaml --run -j2  create it and run it here
      whet sweep ID --pause            and --resume, --stop, --cancel

    JSON: the sweep as `whet ls --sweeps --json` has it; with --run a line an event as `whet agent --json` has it.
    """
    if as_schema:
        from whet.config import schema

        output.print_json(schema())
        return
    if what is None:
        raise wrong_call("neither a sweep file nor a sweep is named", "whet sweep sweep.yaml, or whet sweep ID --pause")
    chosen = [f"--{move}"] * (move is not None) + ["--cap"] * (cap is not None) + ["--yaml"] * as_yaml
    if not chosen and _is_file(what):
        if jobs is not None and not and_run:
            raise wrong_call(
                "-j says how many trials run at a time, and nothing is run", "add --run, or leave -j to whet agent"
            )
        _create(context, Path(what), name, project, start_from, and_run, jobs or 1, as_json)
        return
    store = session.store()
    sweep = _find(store, what, project, chosen)
    flags = (("--run", and_run), ("--name", name), ("--start-from", start_from), ("-j", jobs))
    given = [flag for flag, on in flags if on]
    if given:
        raise wrong_call(f"{given[0]} goes with a new sweep's file, and {what!r} is a sweep", f"leave {given[0]} out")
    if as_yaml:
        _print_yaml(sweep)
        return
    if cap is not None:
        before = sweep.cap
        sweep = store.sweeps.edit(sweep.id, version=sweep.version, cap=cap)
        if not as_json:
            output.say(
                f"sweep {_called(sweep)}: its cap was {before if before is not None else 'none'}, it is {cap} now"
            )
            if sweep.state.value == "finished" and move is None and cap > sweep.next_number:
                output.tell(f"it is finished; to go on: whet sweep {sweep.id} --resume")
    if move is not None:
        sweep = _move(store, sweep, move, as_json)
    if as_json:
        from whet.cli.describe import sweep_as_json

        output.print_json(sweep_as_json(sweep))


def _is_file(what: str) -> bool:
    path = Path(what)
    return path.suffix.lower() in _SUFFIXES or path.is_file()


def _find(store: Store, what: str, project: str | None, chosen: list[str]) -> Sweep:
    if len(chosen) > 1 and "--yaml" in chosen:
        raise wrong_call(f"{' and '.join(chosen)} don't go together", "one at a time")
    try:
        sweep = store.sweeps.find(what, project)
    except NotFound as error:
        if _is_file(what):
            raise wrong_call(
                f"{chosen[0]} changes a sweep, and {what!r} is a file", "give the sweep's id (whet ls --sweeps)"
            ) from None
        if not chosen:
            raise ConfigError(f"there is no sweep file and no sweep {what!r}", error.fix) from None
        raise
    if not chosen:
        raise wrong_call(
            f"{what!r} is a sweep that is {sweep.state.value}, and nothing is said about what to do with it",
            f"--pause, --resume, --stop, --cancel, --cap N or --yaml; whet show {sweep.id} shows it, whet agent {sweep.id} works on it",
        )
    return sweep


def _create(
    context: click.Context,
    path: Path,
    name: str | None,
    project: str | None,
    start_from: tuple[str, ...],
    and_run: bool,
    jobs: int,
    as_json: bool,
) -> None:
    from whet.config import load
    from whet.study.create import create_sweep

    config = load(path)
    if name is not None:
        config = replace(config, name=name)
    runs_something = config.program is not None or config.command is not None
    if and_run and not runs_something:
        raise wrong_call(
            f"{path} has no program to run", "add program: train.py to it, or work on it with whet agent --function"
        )
    for notice in config.notices:
        output.tell(notice)
    store = session.store()
    # A person may give the beginning of an id, as everywhere in a terminal.
    earlier = [store.sweeps.find(one).id for one in start_from]
    id = create_sweep(store, config, project=project, start_from=earlier)
    sweep = store.sweeps.get(id)
    if and_run:
        from whet.cli.work import exit_code, report, work_on

        if not as_json:
            output.say(f"sweep {_called(sweep)} in project {shown.value(sweep.project)}")
        ending = work_on(store, id, jobs=jobs, exclusive=True, as_json=as_json)
        report(store, id, ending, as_json=as_json, summary=True)
        context.exit(exit_code(ending))
    if as_json:
        from whet.cli.describe import sweep_as_json

        output.print_json(sweep_as_json(sweep))
        return
    output.say(id)  # alone on stdout, so that id=$(whet sweep file.yaml) works
    output.tell(f"sweep {shown.value(sweep.name)} is created in project {shown.value(sweep.project)}; work on it with:")
    output.tell(f"  whet agent {id}" + ("" if runs_something else " --function module:function"))


def _move(store: Store, sweep: Sweep, move: str, as_json: bool) -> Sweep:
    from whet.store.base import SweepState

    to = {
        "pause": SweepState.PAUSED,
        "resume": SweepState.RUNNING,
        "stop": SweepState.FINISHED,
        "cancel": SweepState.CANCELED,
    }[move]
    moved = store.sweeps.move(sweep.id, to)
    if as_json:
        return moved
    if sweep.state is to:
        output.say(f"sweep {_called(sweep)} is {to.value} already")
        return moved
    running = len(store.trials.leases(sweep.id))
    at_work = f"; {shown.counted(running, 'trial')} still running" if running else ""
    after = {
        SweepState.PAUSED: f"{at_work} will finish; go on with: whet sweep {sweep.id} --resume" if running else f"; go on with: whet sweep {sweep.id} --resume",
        SweepState.RUNNING: f"; work on it with: whet agent {sweep.id}",
        SweepState.FINISHED: f"{at_work} will finish" if running else "",
        SweepState.CANCELED: f"{at_work} will be killed by what started them" if running else "",
    }[to]  # fmt: skip
    output.say(f"sweep {_called(sweep)} was {sweep.state.value} and is {to.value} now{after}")
    return moved


def _print_yaml(sweep: Sweep) -> None:
    from whet.config import dump, parse

    config = parse(dict(sweep.config), source=f"sweep {sweep.id}")
    output.say(dump(replace(config, name=sweep.name, project=sweep.project, run_cap=sweep.cap)).rstrip("\n"))


def _called(sweep: Sweep) -> str:
    return sweep.id if sweep.name == sweep.id else f"{sweep.id} ({shown.value(sweep.name)})"
