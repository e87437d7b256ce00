"""``whet sweep``: make a sweep from a file, and move it through its life."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_sweeps
from whet.cli.output import wrong_call
from whet.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from whet.config import SweepConfig
    from whet.store.base import Store, Sweep

__all__ = ["called", "command", "set_keys"]

_SUFFIXES = (".yaml", ".yml", ".json")


def _complete_templates(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from whet.project.templates import templates

    return [CompletionItem(one.name, help=one.about) for one in templates() if one.name.startswith(incomplete)]


@click.command("sweep")
@click.argument("what", metavar="FILE|SWEEP", required=False, shell_complete=complete_sweeps)
@click.option(
    "--template",
    metavar="NAME",
    shell_complete=_complete_templates,
    help="Make the sweep from this template instead of a file; with --yaml print it.",
)
@click.option("--templates", "list_templates", is_flag=True, help="List the templates.")
@click.option(
    "--set",
    "changes",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a key of the template (parameters.NAME for a parameter) to a value as in YAML; an empty one leaves it out.",
)
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
@click.option("--yaml", "as_yaml", is_flag=True, help="Print its configuration as a sweep file.")
@click.option("--schema", "as_schema", is_flag=True, help="Print the JSON Schema of sweep files, for editors.")
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    what: str | None,
    template: str | None,
    list_templates: bool,
    changes: tuple[str, ...],
    name: str | None,
    project: str | None,
    start_from: tuple[str, ...],
    and_run: bool,
    jobs: int | None,
    move: str | None,
    as_yaml: bool,
    as_schema: bool,
    as_json: bool,
) -> None:
    """Create a sweep from a YAML or JSON file (W&B's are understood), or move one that is there; whet edit changes one.

    \b
      whet sweep sweep.yaml            create it; prints its id
      whet sweep sweep.yaml --run -j2  create it and run it here
      whet sweep --template fine-tuning --yaml > sweep.yaml
      whet sweep ID --pause            and --resume, --stop, --cancel

    JSON: the sweep as `whet ls --sweeps --json` has it; with --run a line an event as `whet agent --json` has it.
    """
    if as_schema:
        from whet.config import schema

        output.print_json(schema())
        return
    if list_templates:
        _list_templates(as_json)
        return
    if changes and template is None:
        raise wrong_call("--set changes a template, and none is named", "add --template NAME, or edit the sweep's file")
    if what is None and template is None:
        raise wrong_call("neither a sweep file nor a sweep is named", "whet sweep sweep.yaml, or whet sweep ID --pause")
    chosen = [f"--{move}"] * (move is not None) + ["--yaml"] * as_yaml
    if template is not None:
        if what is not None or (chosen and chosen != ["--yaml"]):
            raise wrong_call(f"--template makes a new sweep, and {what or chosen[0]} is given, too", "give one of them")
        if as_yaml:
            _print_template(template, changes)
            return
    if template is not None or (what is not None and not chosen and _is_file(what)):
        if jobs is not None and not and_run:
            raise wrong_call(
                "-j says how many trials run at a time, and nothing is run", "add --run, or leave -j to whet agent"
            )
        config = _from_file(Path(what)) if what is not None else _from_template(template or "", changes)
        _create(context, config, what or f"template {template}", name, project, start_from, and_run, jobs or 1, as_json)
        return
    assert what is not None
    store = session.store()
    sweep = _find(store, what, project, chosen)
    flags = (("--run", and_run), ("--name", name), ("--start-from", start_from), ("-j", jobs))
    given = [flag for flag, on in flags if on]
    if given:
        raise wrong_call(f"{given[0]} goes with a new sweep's file, and {what!r} is a sweep", f"leave {given[0]} out")
    if as_yaml:
        _print_yaml(sweep)
        return
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
            f"--pause, --resume, --stop, --cancel or --yaml; whet edit {sweep.id} changes it, whet show {sweep.id} shows it, whet agent {sweep.id} works on it",
        )
    return sweep


def _from_file(path: Path) -> SweepConfig:
    from whet.config import load

    return load(path)


def _from_template(name: str, changes: tuple[str, ...]) -> SweepConfig:
    from whet.project.templates import changed

    return changed(name, set_keys(changes))


def set_keys(
    given: tuple[str, ...], example: str = "run_cap=100 or --set parameters.lr={min: 0.001, max: 0.1}"
) -> dict[str, Any]:
    """Return what ``--set`` says, by key; None for one to leave out.

    Raises:
        WhetError: a word without a value, or a part of something else than `parameters`.
    """
    from whet.config.read import read

    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise wrong_call(f"--set {text} says no value", f"write --set {example}")
        read_value = read(f"value: {value}", f"--set {key}")[0]["value"] if value.strip() else None
        group, dot, inner = key.partition(".")
        if dot and group == "parameters":
            found.setdefault(group, {})[inner] = read_value
        elif dot:
            raise wrong_call(
                f"--set {text}: only parameters are set one by one", f"set all of {group}: --set '{group}={{…}}'"
            )
        else:
            found[key] = read_value
    return found


def _print_template(name: str, changes: tuple[str, ...]) -> None:
    from whet.config import dump
    from whet.project.templates import template

    found = template(name)
    output.say((dump(_from_template(name, changes)) if changes else found.text).rstrip("\n"))


def _list_templates(as_json: bool) -> None:
    from whet.project.templates import templates

    if as_json:
        output.print_json([{"name": one.name, "about": one.about, "text": one.text} for one in templates()])
        return
    output.table(["template", "about"], [[one.name, one.about] for one in templates()], keep=["template", "about"])
    output.tell("begin with one: whet sweep --template NAME --yaml > sweep.yaml")


def _create(
    context: click.Context,
    config: SweepConfig,
    source: str,
    name: str | None,
    project: str | None,
    start_from: tuple[str, ...],
    and_run: bool,
    jobs: int,
    as_json: bool,
) -> None:
    from whet.study.create import create_sweep

    if name is not None:
        config = replace(config, name=name)
    runs_something = config.program is not None or config.command is not None
    if and_run and not runs_something:
        raise wrong_call(
            f"{source} has no program to run", "add program: train.py to it, or work on it with whet agent --function"
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
            output.say(f"sweep {called(sweep)} in project {shown.value(sweep.project)}")
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
        output.say(f"sweep {called(sweep)} is {to.value} already")
        return moved
    running = len(store.trials.leases(sweep.id))
    at_work = f"; {shown.counted(running, 'trial')} still running" if running else ""
    after = {
        SweepState.PAUSED: f"{at_work} will finish; go on with: whet sweep {sweep.id} --resume" if running else f"; go on with: whet sweep {sweep.id} --resume",
        SweepState.RUNNING: f"; work on it with: whet agent {sweep.id}",
        SweepState.FINISHED: f"{at_work} will finish" if running else "",
        SweepState.CANCELED: f"{at_work} will be killed by what started them" if running else "",
    }[to]  # fmt: skip
    output.say(f"sweep {called(sweep)} was {sweep.state.value} and is {to.value} now{after}")
    return moved


def _print_yaml(sweep: Sweep) -> None:
    from whet.config import dump, parse

    config = parse(dict(sweep.config), source=f"sweep {sweep.id}")
    output.say(dump(replace(config, name=sweep.name, project=sweep.project, run_cap=sweep.cap)).rstrip("\n"))


def called(sweep: Sweep) -> str:
    """Return a sweep's id, and its name where it has one."""
    return sweep.id if sweep.name == sweep.id else f"{sweep.id} ({shown.value(sweep.name)})"
