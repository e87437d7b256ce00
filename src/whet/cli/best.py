"""``whet best``: the best run of a sweep, and the command that runs it again."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_sweeps, the_sweep
from whet.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep

__all__ = ["command"]


@click.command("best")
@click.argument("sweep", metavar="[SWEEP]", required=False, shell_complete=complete_sweeps)
@click.option("--project", help="Look in this project only.")
@output.json_option
def command(sweep: str | None, project: str | None, as_json: bool) -> None:
    """Show the best run of a sweep (default: the latest one) and how to reproduce it.

    JSON: {sweep, run, command}; command is a list of words, or null for a sweep of Python functions. With several metrics: {sweep, front},
    the runs that no other beats in every metric.
    """
    store = session.store(look=True)
    found = the_sweep(store, sweep, project)
    if len(found.goals) > 1:
        _front(store, found, as_json)
    else:
        _one(store, found, as_json)


def _one(store: Store, sweep: Sweep, as_json: bool) -> None:
    from whet.cli.describe import metrics_of, run_as_json, seconds_of

    if sweep.best_run is None or sweep.best_value is None:
        raise _none_yet(store, sweep)
    run = store.runs.get(sweep.best_run)
    words, trouble = _reproduce(sweep, run)
    if as_json:
        from whet.cli.describe import sweep_as_json

        output.print_json({"sweep": sweep_as_json(sweep), "run": run_as_json(run, sweep), "command": words})
        return
    metric = metrics_of(sweep)[0]
    took = seconds_of(run)
    facts = [
        ("best", f"{metric}={shown.number(sweep.best_value)} (goal: {sweep.goals[0].value})"),
        ("run", f"{run.id} ({shown.value(run.name)}), trial {run.number} of {sweep.next_number}"),
        ("sweep", f"{sweep.id} ({shown.value(sweep.name)}), {sweep.state.value}"),
        ("time", f"started {shown.ago(run.started)}" + (f", took {shown.duration(took)}" if took is not None else "")),
    ]
    facts += _limits(store, sweep, run)
    output.fields(facts + ([("note", shown.value(run.note))] if run.note else []))
    output.say()
    output.say("params")
    output.fields([(name, shown.value(value)) for name, value in run.params.items()], indent=2)
    output.say()
    output.say("run it again")
    if words is not None:
        output.say(f"  {shlex.join(_short(words))}")
    elif trouble:
        output.say(f"  its command can't be made: {trouble}")
    else:
        output.say(f"  in Python: params = {dict(run.params)!r}")


def _front(store: Store, sweep: Sweep, as_json: bool) -> None:
    from whet.analysis.pareto import pareto_front
    from whet.cli.describe import metrics_of, problem_trials, run_as_json, sweep_as_json
    from whet.store.base import RunQuery

    problem, trials = problem_trials(store, sweep)
    numbers = {trial.number for trial in pareto_front(problem, trials)}
    runs = [r for r in store.runs.select(RunQuery(sweep=sweep.id, newest_first=False)) if r.number in numbers]
    if as_json:
        output.print_json({"sweep": sweep_as_json(sweep), "front": [run_as_json(run, sweep) for run in runs]})
        return
    if not runs:
        raise _none_yet(store, sweep)
    names = metrics_of(sweep)
    output.say(f"Pareto front of {sweep.id} ({shown.value(sweep.name)}): no other run beats these in every metric")
    output.say()
    rows = [
        [run.id, str(run.number), *(shown.number(v) for v in run.values or ()), shown.params(run.params)]
        for run in runs
    ]
    output.table(["run", "trial", *names, "params"], rows, right=["trial", *names], keep=["run"], elastic="params")


def _limits(store: Store, sweep: Sweep, run: Run) -> list[tuple[str, str]]:
    """Return what the run says of each limit of its sweep."""
    from whet.cli.describe import problem_trials

    if not sweep.config.get("limits"):
        return []
    problem, trials = problem_trials(store, sweep)
    trial = next(t for t in trials if t.number == run.number)
    measured = ((limit, problem.measured(limit.name, trial)) for limit in problem.limits)
    told = [f"{limit.name}={shown.number(value)} ({limit})" for limit, value in measured if value is not None]
    return [("limits", ", ".join(told))]


def _reproduce(sweep: Sweep, run: Run) -> tuple[list[str] | None, str]:
    """Return the command of the run, or None and why there is none."""
    from whet.config import parse
    from whet.project.command import expand
    from whet.store.open import whet_dir

    config = parse(dict(sweep.config), source=f"sweep {sweep.id}")
    if config.program is None and config.command is None:
        return None, ""
    try:
        return expand(config, run.params, folder=whet_dir() / "runs" / run.id), ""
    except (ConfigError, LookupError) as error:
        return None, str(error)


def _short(words: list[str]) -> list[str]:
    """Return the command with ``python`` for this Python, where that is what the shell finds by this name."""
    found = shutil.which("python")
    if found is None or Path(found).parent != Path(sys.executable).parent:
        return words
    rest = words[1:] if words[:2] == ["/usr/bin/env", sys.executable] else words
    return ["python" if word == sys.executable else word for word in rest]


def _none_yet(store: Store, sweep: Sweep) -> NotFound:
    from whet.analysis.best import why_none
    from whet.cli.describe import agent_command, problem_trials

    count = sweep.next_number
    if sweep.config.get("limits") and (why := why_none(*problem_trials(store, sweep))):
        fix = f"run more trials, or loosen the limits; whet ls --sweep {sweep.id} lists them"
        return NotFound(f"sweep {sweep.id} ({shown.value(sweep.name)}) has no best run: {why}", fix, name=sweep.id)
    tried = f"none of its {shown.counted(count, 'trial')} has ended with a result" if count else "it has no trial"
    fix = f"whet ls --sweep {sweep.id} shows why" if count else f"work on it: {agent_command(sweep)}"
    return NotFound(f"sweep {sweep.id} ({shown.value(sweep.name)}) has no best run: {tried}", fix, name=sweep.id)
