"""``whet importance``: which parameters mattered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from whet.cli import format as shown
from whet.cli import output, session
from whet.cli.find import complete_sweeps, the_sweep

if TYPE_CHECKING:
    from whet.analysis.fanova import Fanova
    from whet.trial import Problem

__all__ = ["command"]

_BAR = 32
_PAIRS = 5
_LEAST_PAIR = 0.005
_TRUSTED = 0.3


@click.command("importance")
@click.argument("sweep", metavar="[SWEEP]", required=False, shell_complete=complete_sweeps)
@click.option("--method", type=click.Choice(["ped-anova", "fanova"]), default="ped-anova", show_default=True, help="What is asked; see above.")  # fmt: skip
@click.option("--metric", metavar="NAME", help="Whose values count; needed with several metrics.")
@click.option("--project", help="Look in this project only.")
@output.json_option
def command(sweep: str | None, method: str, metric: str | None, project: str | None, as_json: bool) -> None:
    """Show how much each parameter of a sweep (default: the latest one) matters.

    \b
    ped-anova  what sets the best tenth of the trials apart from all; shares
               sum to 1
    fanova     what share of the metric's variance over the whole space each
               parameter explains by itself, and pairs of them together

    A conditional parameter is judged where it exists. JSON: {sweep, metric, method, num_trials, importance: {name: share}}; of fanova also
    pairs: [{names, share}], rest, explained.
    """
    from whet.analysis.fanova import fanova
    from whet.analysis.importance import importance
    from whet.cli.describe import problem_trials, the_metric

    store = session.store(look=True)
    found = the_sweep(store, sweep, project)
    problem, trials = problem_trials(store, found)
    chosen = the_metric(problem, metric)
    by_variance: Fanova | None = None
    if method == "fanova":
        by_variance = fanova(problem, trials, metric=chosen.name)
        scores = by_variance.main
    else:
        scores = importance(problem, trials, metric=chosen.name)
    counted = sum(t.complete or (t.stopped and by_variance is None) for t in trials)
    if as_json:
        document: dict[str, object] = {
            "sweep": found.id,
            "metric": chosen.name,
            "method": method,
            "num_trials": counted,
            "importance": scores,
        }
        if by_variance is not None:
            document["pairs"] = [{"names": list(names), "share": share} for names, share in by_variance.pairs.items()]
            document |= {"rest": by_variance.rest, "explained": by_variance.explained}
        output.print_json(document)
        return
    what = f"{chosen.name} ({chosen.goal.value})"
    asked = "what sets the best trials apart" if by_variance is None else "shares of the variance over the space"
    output.say(f"{what} in {shown.value(found.name)}, {shown.counted(counted, 'trial')}: {asked}")
    stopped = sum(t.stopped for t in trials)
    if by_variance is not None and stopped:
        left_out = f"{shown.counted(stopped, 'trial')} stopped early {'is' if stopped == 1 else 'are'} left out"
        output.say(f"{left_out}: what they reached is of less training")
    output.say()
    _bars(problem, scores)
    if by_variance is not None:
        _together(by_variance)


def _bars(problem: Problem, scores: Mapping[str, float]) -> None:
    notes = {}
    for name in scores:
        when = problem.space[name].when
        notes[name] = f"where {when.source}" if when is not None else ""
        if problem.space[name].size == 1:
            notes[name] = "one value only"
    _table("parameter", scores, notes)


def _table(what: str, scores: Mapping[str, float], notes: Mapping[str, str]) -> None:
    most = max(scores.values(), default=0.0)
    noted = any(notes.values())
    header = [
        what,
        "share",
        *(
            [
                "",
            ]
            if output.on_terminal()
            else []
        ),
        *(["note"] if noted else []),
    ]
    rows = []
    for name, share in scores.items():
        bar = [shown.bar(share / most if most > 0 else 0.0, _BAR)] if output.on_terminal() else []
        rows.append([name, f"{100 * share:.1f} %", *bar, *([notes.get(name, "")] if noted else [])])
    output.table(header, rows, right=["share"], keep=[what, "share"], elastic="note" if noted else "")


def _together(found: Fanova) -> None:
    pairs = {f"{a} × {b}": s for (a, b), s in list(found.pairs.items())[:_PAIRS] if s >= _LEAST_PAIR}
    if pairs:
        output.say()
        _table("together", pairs, {})
    output.say()
    if not any(found.main.values()):
        output.say("all results are equal, so no parameter explains anything")
        return
    if found.rest >= _LEAST_PAIR:
        output.say(f"the rest, {100 * found.rest:.1f} %, is in other pairs and in more parameters together")
    if found.explained is None:
        return
    known = f"{100 * max(found.explained, 0.0):.0f} %"
    output.say(f"the forest behind this explains {known} of the variance of trials that it has not seen")
    if found.explained < _TRUSTED:
        output.say("that is little: don't rely on these shares before there are more trials")
