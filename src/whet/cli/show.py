"""``whet show``: a run or a sweep in full."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_things, run_or_sweep

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep
    from whet.trial import Problem, Trial

__all__ = ["command"]

_TOP = 5


@click.command("show")
@click.argument("what", metavar="RUN|SWEEP", shell_complete=complete_things)
@click.option("--project", help="Look in this project only.")
@output.json_option
def command(what: str, project: str | None, as_json: bool) -> None:
    """Show a run or a sweep in full: by id, name or the beginning of an id.

    JSON: as `whet ls --json` has it; a run also with `meta`, `artifacts` and `folder`, a sweep with `config` and `counts`.
    """
    from whet.store.base import Sweep

    store = session.store(look=True)
    thing = run_or_sweep(store, what, project)
    if isinstance(thing, Sweep):
        _show_sweep(store, thing, as_json)
    else:
        _show_run(store, thing, as_json)


# -- a run ----------------------------------------------------------------------------------------------------------------


def _show_run(store: Store, run: Run, as_json: bool) -> None:
    from dataclasses import asdict

    from whet.cli.describe import outcome, run_as_json, state_of
    from whet.store.describe import SYSTEM

    sweep = store.sweeps.get(run.sweep) if run.sweep else None
    artifacts = store.runs.artifacts(run.id)
    if as_json:
        extra = {"meta": run.meta, "artifacts": [asdict(a) for a in artifacts], "folder": run.folder}
        output.print_json({**run_as_json(run, sweep), **extra})
        return
    facts = [("run", run.id), ("name", shown.value(run.name)), ("project", shown.value(run.project))]
    if sweep is not None:
        facts.append(("sweep", f"{sweep.id} ({shown.value(sweep.name)}), trial {run.number}"))
    state = state_of(run) + (", the best of its sweep" if run.best else "")
    facts.append(("state", f"{state}: {run.reason}" if run.reason else state))
    if run.attempt:
        facts.append(
            ("attempt", f"{run.attempt + 1} (handed out again after its worker was lost, interrupted or paused)")
        )
    result = outcome(run, sweep)
    if result:
        facts.append(("result", shown.params(result)))
    facts.append(("time", _when(run)))
    optional = [("note", run.note), ("group", run.group), ("tags", ", ".join(run.tags)), ("notes", run.notes)]
    facts += [(name, shown.value(text)) for name, text in optional if text]
    output.fields([*facts, *_origin(run.meta)])
    _block("params", run.params)
    _block("config", {k: v for k, v in run.config.items() if k not in run.params or run.params[k] != v})
    _metrics(store, run)
    _block("summary", {k: v for k, v in run.summary.items() if not k.startswith(SYSTEM)})
    if artifacts:
        _title("files")
        output.table(
            ["name", "kind", "size", "path"],
            [[shown.value(a.name), shown.value(a.kind), shown.size(a.size), shown.value(a.path)] for a in artifacts],
            right=["size"],
            keep=["name", "kind", "size", "path"],
        )
    if output.on_terminal():
        output.say()
        output.tell(f"what it printed: whet logs {run.id}")


def _when(run: Run) -> str:
    from whet.cli.describe import seconds_of

    took = seconds_of(run)
    began = f"started {shown.ago(run.started)}" if run.started else f"created {shown.ago(run.created)}"
    return f"{began}, took {shown.duration(took)}" if took is not None else began


def _origin(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return where a run comes from, as far as it is known."""
    facts: list[tuple[str, str]] = []
    words = meta.get("command")
    if isinstance(words, list):
        facts.append(("command", shlex.join(str(w) for w in words)))
    if meta.get("cwd"):
        facts.append(("in", str(meta["cwd"])))
    git = meta.get("git")
    if isinstance(git, Mapping) and git.get("commit"):
        branch = f" on {git['branch']}" if git.get("branch") else ""
        facts.append(
            ("git", f"{str(git['commit'])[:12]}{branch}{', with uncommitted changes' if git.get('dirty') else ''}")
        )
    if meta.get("host"):
        parts = [f"Python {meta['python']}"] if meta.get("python") else []
        packages = meta.get("packages")
        if isinstance(packages, Mapping) and "torch" in packages:
            parts.append(f"torch {packages['torch']}")
        gpus = meta.get("gpus")
        parts += [str(g.get("name")) for g in gpus if isinstance(g, Mapping)] if isinstance(gpus, list) else []
        facts.append(("host", ", ".join([str(meta["host"]), *parts])))
    source = meta.get("source")
    if isinstance(source, Mapping):
        facts.append(("from", f"{source.get('format')} in {source.get('path')}"))
    return [(name, shown.value(text)) for name, text in facts]


def _metrics(store: Store, run: Run) -> None:
    from whet.store.describe import SYSTEM

    own = {name: stat for name, stat in run.stats.items() if not name.startswith(SYSTEM)}
    if not own:
        return
    _title("metrics")
    curves = store.runs.metrics(run.id, list(own))
    rows = []
    for name, stat in own.items():
        curve = shown.sparkline(curves[name].values) if name in curves and stat.count > 1 else ""
        least = f"{shown.number(stat.min)} at {stat.min_step}"
        most = f"{shown.number(stat.max)} at {stat.max_step}"
        rows.append([shown.value(name), shown.number(stat.last), least, most, str(stat.count), curve])
    header = ["metric", "last", "least", "greatest", "times", "curve"]
    output.table(header, rows, right=["last", "times"], keep=["metric"])
    system = len(run.stats) - len(own)
    if system and output.on_terminal():
        output.tell(f"and {shown.counted(system, 'metric')} of the machine (--json has them)")


# -- a sweep --------------------------------------------------------------------------------------------------------------


def _show_sweep(store: Store, sweep: Sweep, as_json: bool) -> None:
    from whet.cli.describe import agent_command, method_of, metrics_of, sweep_as_json
    from whet.config import parse
    from whet.store.base import RunQuery, SweepState
    from whet.study.engine import Engine

    runs = store.runs.select(RunQuery(sweep=sweep.id, newest_first=False))
    counts = _counts(runs)
    ended = Engine(store, sweep)
    ended.sync()
    why = ended.why_over(may_search=True) if ended.state is SweepState.FINISHED else ""
    if as_json:
        output.print_json({**sweep_as_json(sweep), "config": sweep.config, "counts": counts, "ended": why or None})
        return
    config = parse(dict(sweep.config), source=f"sweep {sweep.id}")
    names = metrics_of(sweep)
    trials = str(sweep.next_number) if sweep.cap is None else f"{sweep.next_number} of {sweep.cap}"
    tally = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    facts = [
        ("sweep", sweep.id),
        ("name", shown.value(sweep.name)),
        ("project", shown.value(sweep.project)),
        ("state", f"{sweep.state.value}: {why}" if why else sweep.state.value),
        ("goal", ", ".join(f"{g.value} {n}" for n, g in zip(names, sweep.goals, strict=True))),
        ("method", _with_knobs(method_of(sweep), config.method.knobs)),
    ]
    if limits := config.problem.limits:
        facts.insert(-1, ("limits", ", ".join(map(str, limits))))
    if earlier := config.problem.earlier:
        facts.append(("starts from", ", ".join(f"{e.name} ({shown.counted(len(e.trials), 'trial')})" for e in earlier)))
    if config.stopper is not None:
        facts.append(("stopper", _with_knobs(config.stopper.name, config.stopper.knobs)))
    if config.terminate is not None:
        facts.append(("ends after", shown.params(cast(Any, sweep.config["terminate"]))))
    facts.append(("trials", f"{trials} ({tally})" if tally else trials))
    best = next((run for run in runs if run.id == sweep.best_run), None)
    if best is not None and sweep.best_value is not None:
        facts.append(("best", f"{names[0]}={shown.number(sweep.best_value)}, run {best.id} (trial {best.number})"))
    elif why := _why_none(config.problem, ended.in_order()):
        facts.append(("best", why))
    program = config.program or (shlex.join(config.command) if config.command else "a Python function")
    facts += [("program", program), ("created", shown.ago(sweep.created))]
    if config.description:
        facts.insert(3, ("about", shown.value(config.description)))
    output.fields(facts)
    if config.problem.space:
        _title("space" + (", learned from what the objective asked for" if config.define_by_run else ""))
        output.fields([(name, str(p)) for name, p in config.problem.space.items()], indent=2)
        for rule in config.problem.space.constraints:
            output.say(f"  so that {rule.source}")
    keeps = {number for number, trial in ended.trials.items() if config.problem.keeps(trial)}
    _top(sweep, [run for run in runs if run.number in keeps])
    if output.on_terminal():
        output.say()
        hints = [f"whet compare {sweep.id}", f"whet best {sweep.id}"] if runs else [agent_command(sweep)]
        output.tell("next: " + ", ".join(hints))


def _why_none(problem: Problem, trials: list[Trial]) -> str:
    from whet.analysis.best import why_none

    return why_none(problem, trials)


def _top(sweep: Sweep, runs: list[Run]) -> None:
    """List the best runs of a sweep with one goal, of those that keep its limits."""
    if len(sweep.goals) != 1:
        return
    goal = sweep.goals[0]
    done = [run for run in runs if run.values is not None and not run.stopped and run.phase.value == "finished"]
    done.sort(key=lambda run: (goal.loss(cast(Any, run.values)[0]), run.number or 0))
    if not done:
        return
    from whet.cli.describe import metrics_of, seconds_of

    _title(f"best {min(_TOP, len(done))} of {len(done)} complete" if len(done) > 1 else "complete")
    metric = metrics_of(sweep)[0]
    rows = [
        [
            run.id,
            str(run.number),
            shown.number(cast(Any, run.values)[0]),
            shown.duration(seconds_of(run)),
            shown.params(run.params),
        ]
        for run in done[:_TOP]
    ]
    header = ["run", "trial", metric, "took", "params"]
    output.table(header, rows, right=["trial", metric, "took"], keep=["run"], elastic="params")


def _counts(runs: list[Run]) -> dict[str, int]:
    from whet.cli.describe import state_of

    counts = dict.fromkeys(
        ("finished", "stopped early", "running", "pending", "paused", "failed", "canceled", "lost"), 0
    )
    for run in runs:
        counts[state_of(run)] += 1
    return counts


def _with_knobs(name: str, knobs: Mapping[str, object]) -> str:
    return f"{name} ({shown.params(knobs)})" if knobs else name


def _title(text: str) -> None:
    output.say()
    output.say(click.style(text, bold=True) if output.on_terminal() else text)


def _block(title: str, values: Mapping[str, object]) -> None:
    if values:
        _title(title)
        output.fields([(shown.value(name), shown.value(v)) for name, v in values.items()], indent=2)
