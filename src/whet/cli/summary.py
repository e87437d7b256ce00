"""What is said when a sweep ends: the best configuration, what it gained, which parameters mattered, what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from whet.analysis.best import why_none
from whet.cli import format as shown
from whet.cli import output
from whet.errors import StudyError
from whet.trial import Goal, Problem, Trial

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Baseline", "gain", "next_commands", "print_summary"]


class _Line(Protocol):
    def __call__(self, text: str = "", style: str | None = None) -> None: ...


_BAR = 24  # characters of the longest bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the best trial is held against.

    Args:
        label: What it is: ``the default configuration``.
        value: Its value of the metric.
        best: The best configuration's value measured in the same way; None: the best trial's own.
        metric: What was measured, if it is not the sweep's metric, and better the same way: ``test error``.
    """

    label: str
    value: float
    best: float | None = None
    metric: str | None = None


def print_summary(
    problem: Problem,
    trials: Iterable[Trial],
    *,
    sweep: str,
    baseline: Baseline | None = None,
    commands: Sequence[tuple[str, str]] | None = None,
    console: Console | None = None,
) -> None:
    """Print the summary of a sweep; of one without a complete trial, what went wrong.

    Args:
        problem: Space and metrics.
        trials: All of them.
        sweep: Its id, for the next commands.
        baseline: What the gain is counted from; default the median of the complete trials that keep the limits.
        commands: (command, what it does) to offer; default `next_commands`.
        console: Where to; default stdout.
    """
    out = console if console is not None else output.console()
    trials = sorted(trials, key=lambda t: t.number)
    complete = [t for t in trials if t.complete]

    def line(text: str = "", style: str | None = None) -> None:
        out.print(text, style=style, soft_wrap=True)

    if not complete:
        failed = [t for t in trials if t.phase.value == "failed"]
        line("no trial has ended with a result", "bold")
        if failed:
            line(f"  {len(failed)} failed, the last (trial {failed[-1].number}): {failed[-1].reason}")
        shown_commands = (
            commands if commands is not None else [(f"whet ls --sweep {sweep}", "every trial and its state")]
        )
    else:
        line()
        if not problem.metrics:
            line(
                f"{shown.counted(len(complete), 'complete trial')}; the sweep has no metric to say which is the best",
                "bold",
            )
        elif why := why_none(problem, complete):
            line(why, "bold")
        elif len(problem.metrics) == 1:
            _one_metric(problem, complete, baseline, line)
        else:
            _front(problem, complete, line)
        _importance(problem, trials, line, ascii_only=not out.encoding.lower().startswith("utf"))
        shown_commands = commands if commands is not None else next_commands(sweep)
    if shown_commands:
        line()
        line("next", "bold")
        width = max(len(command) for command, _ in shown_commands)
        for command, purpose in shown_commands:
            line(f"  {command.ljust(width)}  {purpose}".rstrip())


def next_commands(sweep: str) -> list[tuple[str, str]]:
    """Return three commands worth trying after a sweep."""
    return [
        (f"whet best {sweep}", "how to run it again"),
        (f"whet compare {sweep} --top 10", "the best ten side by side"),
        (f"whet export {sweep} -o trials.csv", "every trial as a table"),
    ]


def gain(goal: Goal, before: float, after: float) -> str:
    """Return how much better `after` is than `before`, in words.

    Example:
        >>> gain(Goal.MAXIMIZE, 0.9, 0.95)
        '+0.05 (5.6 % better)'
    """
    change = after - before
    sign = "+" if change > 0 else ""
    if change == 0:
        return "no change"
    word = "better" if goal.loss(after) < goal.loss(before) else "worse"
    share = f"{abs(change / before):.1%}".replace("%", " %") if before else ""
    return f"{sign}{shown.number(change)} ({share} {word})" if share else f"{sign}{shown.number(change)} ({word})"


def _one_metric(problem: Problem, complete: list[Trial], baseline: Baseline | None, line: _Line) -> None:
    from whet.analysis.best import best_trial

    metric = problem.metric
    best = best_trial(problem, complete)
    assert best.values is not None
    value = best.values[0]
    line(f"best: trial {best.number}, {metric.name} = {shown.number(value)}", "bold green")
    if problem.limits:
        line(f"  which keeps {', '.join(map(str, problem.limits))}, as {_kept(problem, complete)} do")
    width = max((len(name) for name in best.params), default=0)
    for name, chosen in best.params.items():
        line(f"  {name.ljust(width)}  {shown.value(chosen)}")
    if baseline is None:
        values = sorted(t.values[0] for t in complete if t.values and problem.keeps(t))
        if len(values) < 3:
            return
        which = "complete trials" + (" that keep the limits" if problem.limits else "")
        baseline = Baseline(label=f"the median of {len(values)} {which}", value=values[len(values) // 2])
    reached = value if baseline.best is None else baseline.best
    what = baseline.metric or metric.name
    line()
    line(
        f"gain: {what} {shown.number(baseline.value)} → {shown.number(reached)}, {gain(metric.goal, baseline.value, reached)}"
    )
    line(f"  from {baseline.label}")


def _kept(problem: Problem, complete: list[Trial]) -> str:
    return f"{sum(map(problem.keeps, complete))} of {shown.counted(len(complete), 'complete trial')}"


def _front(problem: Problem, complete: list[Trial], line: _Line) -> None:
    from whet.analysis.pareto import pareto_front

    front = pareto_front(problem, complete)
    line(f"Pareto front: {shown.counted(len(front), 'trial')} that no other beats in every metric", "bold green")
    for trial in front[:10]:
        values = shown.params({m.name: v for m, v in zip(problem.metrics, trial.values or (), strict=True)})
        line(f"  trial {trial.number}  {values}  {shown.params(trial.params)}")
    if len(front) > 10:
        line(f"  … and {len(front) - 10} more")


def _importance(problem: Problem, trials: list[Trial], line: _Line, *, ascii_only: bool) -> None:
    from whet.analysis.importance import importance

    if not problem.space or not problem.metrics:
        return
    try:
        shares = importance(problem, trials, metric=problem.metrics[0].name)
    except StudyError:
        return  # too few trials to say
    line()
    line(f"what mattered for {problem.metrics[0].name}", "bold")
    width = max(len(name) for name in shares)
    most = max(shares.values()) or 1.0
    for name, share in shares.items():
        bar = ("#" if ascii_only else "█") * round(share / most * _BAR)
        line(f"  {name.ljust(width)}  {share:>4.0%}  {bar}".rstrip())
