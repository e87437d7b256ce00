"""``whet edit``: change a sweep that is there, while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_parameters, complete_sweeps
from whet.cli.output import wrong_call
from whet.parameters import Parameter

if TYPE_CHECKING:
    from whet.config import SweepConfig
    from whet.store.base import Store, Sweep

__all__ = ["command"]


@click.command("edit")
@click.argument("what", metavar="SWEEP", shell_complete=complete_sweeps)
@click.argument("words", metavar="[NAME=VALUE]…", nargs=-1, shell_complete=complete_parameters)
@click.option("--cap", metavar="N", type=click.IntRange(min=1), help="How many trials it may have in all.")
@click.option(
    "--set",
    "keys",
    metavar="KEY=VALUE",
    multiple=True,
    help="Set another key of its file (terminate, limits, early_terminate, method …) to a value as in YAML; an empty one leaves it out.",
)
@click.option(
    "--file",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take all of its configuration from a YAML or JSON file; names and the seed stay.",
)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--project", help="Look in this project only.")
@output.json_option
def command(
    what: str,
    words: tuple[str, ...],
    cap: int | None,
    keys: tuple[str, ...],
    file: Path | None,
    dry_run: bool,
    project: str | None,
    as_json: bool,
) -> None:
    """Change a sweep that is there; it may be running, and its workers heed it from their next trial on.

    \b
      whet edit ID lr=[1e-5:1e-1]     a range: scale, step and condition stay
      whet edit ID lr=loguniform[1e-5:1]
      whet edit ID opt+=lion          one option more; opt=[sgd,lion]: others
      whet edit ID --cap 100 --set terminate={no_improvement: 20}
      whet edit ID --file sweep.yaml

    Trials that lie outside of the new space stay in the sweep, but its method does not learn from them.

    JSON: {sweep, version, cap, changes, trials, outside}: changes is {name: {from, to}}, outside how many of the finished trials lie outside.
    """
    from whet.cli.sweep import called, set_keys
    from whet.config import load, parse
    from whet.project.edits import differences, edited, replaced
    from whet.store.rules import check_cap
    from whet.study.create import check_edit, edit_sweep

    if not (words or keys or file or cap):
        raise wrong_call("nothing is said about what to change", "NAME=VALUE, --cap N, --set KEY=VALUE or --file FILE")
    if file is not None and (words or keys):
        raise wrong_call(f"--file says all, and {(*words, '--set')[0]} is given, too", "give one of them")
    store = session.store()
    sweep = store.sweeps.find(what, project)
    old = parse(dict(sweep.config), source=f"sweep {sweep.id}")
    if file is not None:
        given = load(file)
        for notice in given.notices:
            output.tell(notice)
        new = replaced(old, given)
        cap = new.run_cap if cap is None else cap
    else:
        new = edited(old, words, set_keys(keys, "'terminate={no_improvement: 20}'"))
    changes = differences(old, new)
    config = new if changes else None
    if cap == sweep.cap:
        cap = None
    if dry_run:
        check_edit(store, sweep, config)
        if cap is not None:
            check_cap(sweep.name, cap, sweep.next_number)
    elif config is not None or cap is not None:
        edit_sweep(store, sweep.id, version=sweep.version, config=config, cap=cap)
    if cap is not None:
        changes["cap"] = sweep.cap, cap
    num_over, outside = _outside(store, sweep, new) if old.problem.space != new.problem.space else (0, 0)
    after = sweep if dry_run else store.sweeps.get(sweep.id)
    if as_json:
        found = {name: {"from": _json(was), "to": _json(now)} for name, (was, now) in changes.items()}
        output.print_json({"sweep": sweep.id, "version": after.version, "cap": after.cap, "changes": found, "trials": sweep.next_number, "outside": outside})  # fmt: skip
        return
    _say(called(sweep), changes, num_over, outside, dry_run=dry_run)
    if not dry_run and cap is not None and after.state.value == "finished" and cap > after.next_number:
        output.tell(f"it is finished; to go on: whet sweep {sweep.id} --resume")


def _say(name: str, changes: dict[str, tuple[object, object]], num_over: int, outside: int, *, dry_run: bool) -> None:
    if not changes:
        output.say(f"sweep {name} is so already")
        return
    output.say(f"sweep {name} {'would change' if dry_run else 'is changed'}")
    output.fields([(key, f"{_plain(was)} → {_plain(now)}") for key, (was, now) in changes.items()], indent=2)
    if outside:
        lie = "lies" if outside == 1 else "lie"
        output.tell(f"{outside} of {shown.counted(num_over, 'finished trial')} {lie} outside now: the method does not learn from {'it' if outside == 1 else 'them'}")  # fmt: skip


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (str, Parameter)):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _json(value: object) -> object:
    from whet.config import parameter_to_mapping

    return parameter_to_mapping(value) if isinstance(value, Parameter) else value


def _outside(store: Store, sweep: Sweep, new: SweepConfig) -> tuple[int, int]:
    """Return how many trials have finished, and how many of them have no place in the new space."""
    from whet.study.create import finished_trials, fits

    if not sweep.next_number:
        return 0, 0
    trials = finished_trials(store, sweep.id)
    return len(trials), sum(not fits(trial, new.problem.space) for trial in trials)
