"""``whet compare``: runs as rows, what they were given and what they reached as columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_things, run_or_sweep
from whet.errors import UnknownName

if TYPE_CHECKING:
    from whet.analysis.overlap import Extent
    from whet.store.base import Run, Store, Sweep

__all__ = ["command"]

_FIRST = ("run", "name", "state", "took")


@click.command("compare")
@click.argument("what", metavar="RUN…|SWEEP", nargs=-1, required=True, shell_complete=complete_things)
@click.option("--columns", metavar="A,B,…", help="Metrics, parameters or config keys to show, in this order.")
@click.option(
    "--sort", metavar="COLUMN", help="Sort by this column, a metric of the sweep best first; -COLUMN turns it round."
)
@click.option("--top", metavar="N", type=click.IntRange(min=1), help="Only the first N after sorting (by default by the sweep's metric).")  # fmt: skip
@click.option(
    "--sweeps",
    "against",
    is_flag=True,
    help="The sweeps themselves against each other: bests, how soon they were reached, spaces.",
)
@click.option("--metric", metavar="NAME", help="With --sweeps: by this metric (default: the first of the first sweep).")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with all digits.")
@output.json_option
def command(
    what: tuple[str, ...],
    columns: str | None,
    sort: str | None,
    top: int | None,
    against: bool,
    metric: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Compare runs, or all the runs of a sweep; with --sweeps, sweeps.

    Shown are the metrics and what differs; what is the same in all is said once below. JSON: a list of {run, name, state, took, column: value …};
    with --sweeps {metric, goal, target, sweeps: [{name, best, best_params, curve, num_needed …}], teams, shared}.
    """
    store = session.store(look=True)
    if against or metric is not None:
        refused = [
            name for name, value in (("--columns", columns), ("--sort", sort), ("--top", top)) if value is not None
        ]
        if refused or as_csv or not against:
            raise output.wrong_call(*_WRONG)
        _sweeps(store, what, metric, as_json)
        return
    runs, sweeps = _runs(store, what)
    rows = {run.id: _row(run, sweeps.get(run.sweep or "")) for run in runs}
    metrics = _metric_columns(runs, sweeps)
    known = list(dict.fromkeys([*_FIRST, *metrics, *(name for row in rows.values() for name in row)]))
    order = _sorted(list(rows.values()), sort, known, _goals(sweeps), metrics)[:top]
    same: dict[str, object] = {}
    if columns is not None:
        wanted = [name.strip() for name in columns.split(",") if name.strip()]
        for name in wanted:
            if name not in known:
                raise UnknownName.of("column", name, known)
        wanted = ["run", *(name for name in wanted if name != "run")]
    else:
        rest = [name for name in known if name not in (*_FIRST, *metrics)]
        if len(order) > 1 and not as_csv and not as_json:
            same = {n: order[0].get(n) for n in rest if all(r.get(n, _ABSENT) == order[0].get(n) for r in order)}
        wanted = [*_FIRST, *metrics, *(name for name in rest if name not in same)]
    if as_json:
        output.print_json([{name: row.get(name) for name in wanted} for row in order])
    elif as_csv:
        output.say(_csv(wanted, order).rstrip("\n"))
    elif not order:
        output.tell("no run yet")
    else:
        _print(wanted, order, metrics)
        if same:
            output.tell(f"the same in all: {shown.params(same)}")


_ABSENT = object()


def _runs(store: Store, what: Sequence[str]) -> tuple[list[Run], dict[str, Sweep]]:
    from whet.store.base import Run, RunQuery

    runs: dict[str, Run] = {}
    sweeps: dict[str, Sweep] = {}
    for text in what:
        thing = run_or_sweep(store, text)
        if isinstance(thing, Run):
            runs[thing.id] = thing
        else:
            sweeps[thing.id] = thing
            runs |= {run.id: run for run in store.runs.select(RunQuery(sweep=thing.id, newest_first=False))}
    for run in runs.values():
        if run.sweep and run.sweep not in sweeps:
            sweeps[run.sweep] = store.sweeps.get(run.sweep)
    return list(runs.values()), sweeps


def _row(run: Run, sweep: Sweep | None) -> dict[str, object]:
    """Return all that a run can show, by column; where a parameter and a metric share a name, the parameter has it."""
    from whet.cli.describe import logged, seconds_of, state_of, values_of
    from whet.config import flatten

    results: Mapping[str, object] = {**logged(run), **(values_of(run, sweep) or {})}
    given = {**flatten(run.config), **run.params}
    return {**results, **given, "run": run.id, "name": run.name, "state": state_of(run), "took": seconds_of(run)}


def _metric_columns(runs: Sequence[Run], sweeps: Mapping[str, Sweep]) -> list[str]:
    """Return the sweeps' metrics; outside sweeps all that the runs logged."""
    from whet.cli.describe import logged, metrics_of

    names = [name for sweep in sweeps.values() for name in metrics_of(sweep)]
    names += [name for run in runs if not run.sweep for name in logged(run)]
    return list(dict.fromkeys(names))


def _goals(sweeps: Mapping[str, Sweep]) -> dict[str, Any]:
    from whet.cli.describe import metrics_of

    return {n: g for sweep in sweeps.values() for n, g in zip(metrics_of(sweep), sweep.goals, strict=True)}


def _sorted(
    rows: list[dict[str, object]],
    sort: str | None,
    known: Sequence[str],
    goals: Mapping[str, Any],
    metrics: Sequence[str],
) -> list[dict[str, object]]:
    """Return the rows, those without the column last."""
    if sort is None and goals:
        sort = metrics[0]
    if sort is None:
        return rows
    name = sort.removeprefix("-") if sort not in known else sort
    if name not in known:
        raise UnknownName.of("column", name, known)
    turned = name != sort
    goal = goals.get(name)

    def key(row: Mapping[str, object]) -> tuple[bool, float, str]:
        value: Any = row[name]
        if isinstance(value, (int, float)):
            # What a run that failed or was stopped had reached is no result: it comes after those that are.
            return (goal is not None and row["state"] != "finished", goal.loss(value) if goal else float(value), "")
        return (False, 0.0, str(value))

    there = [row for row in rows if row.get(name) is not None and row[name] == row[name]]
    absent = [row for row in rows if row.get(name) is None or row[name] != row[name]]
    return sorted(there, key=key, reverse=turned) + absent


def _print(wanted: Sequence[str], rows: Sequence[Mapping[str, object]], metrics: Sequence[str]) -> None:
    def cell(name: str, value: object) -> str:
        if value is None:
            return ""
        return shown.duration(value) if name == "took" and isinstance(value, (int, float)) else shown.value(value)

    numeric = [n for n in wanted if all(isinstance(r.get(n), (int, float, type(None))) for r in rows)]
    header = [shown.value(name) for name in wanted]
    cells = [[cell(name, row.get(name)) for name in wanted] for row in rows]
    keep = ["run", *(m for m in metrics[:1] if m in wanted)]
    output.table(header, cells, right=numeric, keep=keep, more="choose with --columns, or --csv for all")


def _csv(wanted: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(wanted)
    writer.writerows([["" if row.get(name) is None else row[name] for name in wanted] for row in rows])
    return text.getvalue()


_WRONG = ("--sweeps goes with --metric and --json, and --metric with --sweeps", "leave the other options out")


def _sweeps(store: Store, what: Sequence[str], metric: str | None, as_json: bool) -> None:
    """Print sweeps against each other."""
    from whet.analysis.contest import compare_sweeps
    from whet.cli.describe import problem_trials
    from whet.store.describe import approach_of, teams_of, titled
    from whet.store.wire import encode

    found = titled({one.id: one for one in (store.sweeps.find(text) for text in what)}.values())
    contest = compare_sweeps(
        {title: problem_trials(store, sweep) for title, sweep in found.items()},
        metric=metric,
        teams=teams_of(found),
    )
    if as_json:
        output.print_json(encode(contest))
        return
    output.say(f"{shown.value(contest.metric)} ({contest.goal}) of {shown.counted(len(found), 'sweep')}")
    output.say()
    goal = {
        "best": contest.metric,
        "needed": "to reach" if contest.target is None else f"to reach {shown.value(contest.target)}",
    }
    output.table(
        ["sweep", "searches by", "trials", "stopped", "failed", "took", goal["best"], goal["needed"]],
        [
            [
                shown.value(one.name), approach_of(found[one.name]), str(one.num_trials), str(one.num_stopped), str(one.num_failed),
                shown.duration(one.seconds), "" if one.best is None else shown.value(one.best),
                "never" if one.num_needed is None else shown.counted(one.num_needed, "trial"),
            ]
            for one in contest.sweeps
        ],
        right=["trials", "stopped", "failed", "took", goal["best"], goal["needed"]],
        keep=["sweep", goal["best"]],
        more="--json has all",
    )  # fmt: skip
    for team in contest.teams:
        if team.curve:
            end = team.curve[-1]
            output.say()
            output.say(
                f"{team.name}: {shown.value(end.median)} is the median of {len(team.sweeps)} sweeps after {shown.counted(end.num_trials, 'trial')}, half of them between {shown.value(end.low)} and {shown.value(end.high)}"
            )
    if len(found) > 1 and contest.shared:
        output.say()
        output.table(
            ["parameter", *(shown.value(title) for title in found), "in common"],
            [
                [
                    shown.value(row.name),
                    *(_extent(one) for one in row.extents),
                    "" if row.share is None else f"{row.share:.0%}",
                ]
                for row in contest.shared
            ],
            right=["in common"],
            keep=["parameter", "in common"],
            more="--json has all",
        )


def _extent(extent: Extent | None) -> str:
    if extent is None:
        return "-"
    if extent.options is not None:
        return ", ".join(map(shown.value, extent.options))
    return f"{shown.value(extent.low)} … {shown.value(extent.high)}{' log' if extent.log else ''}"
