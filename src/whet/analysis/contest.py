"""Sweeps against each other: how good the best of each is, and how many trials it took."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from whet.analysis.overlap import Shared, overlap
from whet.analysis.surface import metric_of
from whet.errors import StudyError
from whet.trial import Phase, Problem, Trial

__all__ = ["Contender", "Contest", "Moment", "Team", "compare_sweeps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One sweep.

    Args:
        name: As it was given.
        num_trials, num_complete, num_stopped, num_failed: Its trials; stopped ones ran into a stopper.
        best, best_number, best_params: The best result that keeps the limits, and whose; None before there is one.
        curve: The best so far, as (trials begun, value), an entry each time it improves.
        num_needed: After how many begun trials it was as good as the target; None: it never was.
        seconds: What its trials took together.
    """

    name: str
    num_trials: int
    num_complete: int
    num_stopped: int
    num_failed: int
    best: float | None
    best_number: int | None
    best_params: Mapping[str, object] | None
    curve: tuple[tuple[int, float], ...]
    num_needed: int | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where the sweeps of a team stand after `num_trials` trials were begun in each: the median of their bests so far, and the quartiles."""

    num_trials: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Sweeps that search alike, for one the same method with several seeds.

    Args:
        name: As it was given.
        sweeps: Their names, at least two.
        curve: From where all of them have a result to where the shortest ends; an entry each time one of them improves, and the last.
    """

    name: str
    sweeps: tuple[str, ...]
    curve: tuple[Moment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Several sweeps of one metric.

    Args:
        metric, goal: The metric, and which way is better ("minimize" or "maximize").
        target: The least good of their bests, which all have reached that have one: `Contender.num_needed` counts up to it. None: no sweep
            has a result.
        sweeps: In the order given.
        teams: Those of at least two sweeps, in order of first appearance.
        shared: Their spaces, parameter by parameter, in the order of the sweeps.
    """

    metric: str
    goal: str
    target: float | None
    sweeps: tuple[Contender, ...]
    teams: tuple[Team, ...]
    shared: tuple[Shared, ...]


def compare_sweeps(
    sweeps: Mapping[str, tuple[Problem, Sequence[Trial]]],
    *,
    metric: str | None = None,
    teams: Mapping[str, str] = MappingProxyType({}),
) -> Contest:
    """Return sweeps against each other.

    That one needed fewer trials than another says something of their methods only where space, training and luck are alike: compare several
    seeds each.

    Args:
        sweeps: Problem and trials by name, at least one.
        metric: Which one; None: the first of the first sweep.
        teams: Which team each sweep is of, by its name; one that is not there is of none.

    Raises:
        StudyError: there is no sweep, one has not got the metric, or wants it the other way round.

    Example:
        >>> from whet.space import Space
        >>> def ran(*values):
        ...     done = [Trial(number=i, params={}, phase=Phase.FINISHED, values=(v,)) for i, v in enumerate(values)]
        ...     return Problem(space=Space({})), done
        >>> contest = compare_sweeps({"random": ran(3.0, 2.0, 2.5, 1.0), "tpe": ran(1.5, 0.5)})
        >>> contest.target, [one.num_needed for one in contest.sweeps]
        (1.0, [4, 2])
    """
    if not sweeps:
        raise StudyError("there is no sweep to compare", "name some")
    first, _ = next(iter(sweeps.values()))
    name = metric or (first.metrics[0].name if first.metrics else "")
    goals = {}
    for title, (problem, _) in sweeps.items():
        known = {m.name: m.goal for m in problem.metrics}
        if name not in known:
            raise StudyError(
                f"sweep {title!r} has no metric {name!r}",
                f"its metrics are: {', '.join(known) or 'none'}; name one that all have",
            )
        goals[title] = known[name]
    goal = goals[next(iter(sweeps))]
    if other := [title for title, theirs in goals.items() if theirs is not goal]:
        raise StudyError(f"{name!r} is to {goal.value} in some and not in {other[0]!r}", "compare sweeps of one goal")
    curves = {title: _curve(*given, name) for title, given in sweeps.items()}
    bests = [goal.loss(curve[-1][1]) for curve in curves.values() if curve]
    worst = max(bests, default=None)
    return Contest(
        metric=name,
        goal=goal.value,
        target=None if worst is None else goal.loss(worst),
        sweeps=tuple(
            Contender(
                name=title,
                num_trials=len(trials),
                num_complete=sum(t.complete for t in trials),
                num_stopped=sum(t.stopped for t in trials),
                num_failed=sum(t.phase is Phase.FAILED for t in trials),
                best=curves[title][-1][1] if curves[title] else None,
                best_number=curves[title][-1][0] - 1 if curves[title] else None,
                best_params=_params(trials, curves[title][-1][0] - 1) if curves[title] else None,
                curve=tuple(curves[title]),
                num_needed=next((n for n, v in curves[title] if worst is not None and goal.loss(v) <= worst), None),
                seconds=sum(t.seconds or 0.0 for t in trials),
            )
            for title, (_, trials) in sweeps.items()
        ),
        teams=_teams(curves, {title: len(trials) for title, (_, trials) in sweeps.items()}, teams),
        shared=overlap([problem.space for problem, _ in sweeps.values()]),
    )


def _params(trials: Sequence[Trial], number: int) -> Mapping[str, object]:
    return next(trial.params for trial in trials if trial.number == number)


def _teams(
    curves: Mapping[str, list[tuple[int, float]]], lengths: Mapping[str, int], teams: Mapping[str, str]
) -> tuple[Team, ...]:
    found: dict[str, list[str]] = {}
    for title in curves:
        if title in teams:
            found.setdefault(teams[title], []).append(title)
    return tuple(
        Team(
            name=name,
            sweeps=tuple(titles),
            curve=tuple(_moments([curves[one] for one in titles], min(lengths[one] for one in titles))),
        )
        for name, titles in found.items()
        if len(titles) > 1
    )


def _moments(curves: Sequence[list[tuple[int, float]]], end: int) -> list[Moment]:
    begin = max(curve[0][0] if curve else end + 1 for curve in curves)
    if begin > end:
        return []
    moments = []
    for n in sorted({begin, end, *(n for curve in curves for n, _ in curve if begin <= n <= end)}):
        values = sorted(next(value for at, value in reversed(curve) if at <= n) for curve in curves)
        low, median, high = (_quantile(values, share) for share in (0.25, 0.5, 0.75))
        moments.append(Moment(num_trials=n, median=median, low=low, high=high))
    return moments


def _quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile of sorted values, between two of them in proportion."""
    place = share * (len(values) - 1)
    low, high = values[math.floor(place)], values[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place)) if low != high else low


def _curve(problem: Problem, trials: Sequence[Trial], name: str) -> list[tuple[int, float]]:
    place, metric = metric_of(problem, name)
    found: list[tuple[int, float]] = []
    least = math.inf
    for trial in sorted((t for t in trials if problem.counts(t)), key=lambda t: t.number):
        value = trial.values[place] if trial.values is not None else math.nan
        if (loss := metric.goal.loss(value)) < least:
            least = loss
            found.append((trial.number + 1, value))
    return found
