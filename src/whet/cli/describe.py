"""Runs and sweeps as the commands show them: states in words and results by metric; the shapes are those of `whet.store.describe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from whet.cli import format as shown
from whet.store.describe import (
    is_lost,
    logged,
    method_of,
    metrics_of,
    run_as_json,
    seconds_of,
    state_of,
    sweep_as_json,
    values_of,
)

if TYPE_CHECKING:
    from whet.config import SweepConfig
    from whet.store.base import Run, Store, Sweep
    from whet.trial import Metric, Problem, Trial

__all__ = [
    "agent_command",
    "config_of",
    "is_lost",
    "logged",
    "method_of",
    "metrics_of",
    "outcome",
    "problem_trials",
    "result_cells",
    "run_as_json",
    "seconds_of",
    "state_of",
    "sweep_as_json",
    "the_metric",
    "values_of",
]


def agent_command(sweep: Sweep) -> str:
    """Return the command that works on the sweep."""
    runs_something = any(sweep.config.get(key) for key in ("program", "command"))
    return f"whet agent {sweep.id}" + ("" if runs_something else " --function module:function")


def outcome(run: Run, sweep: Sweep | None) -> dict[str, float]:
    """Return what is shown as the run's result: its values, or up to two logged metrics where nothing is optimised."""
    if sweep is not None and sweep.goals:
        return values_of(run, sweep) or {}
    return dict(list(logged(run).items())[:2])


def result_cells(runs: Sequence[Run], sweeps: Mapping[str, Sweep]) -> tuple[str, list[str]]:
    """Return the header and the cells of a column of results: bare numbers where all have the same one metric."""
    results = [outcome(run, sweeps.get(run.sweep or "")) for run in runs]
    names = {name for result in results for name in result}
    if len(names) == 1:
        header = names.pop()
        cells = [shown.number(result[header]) if result else "" for result in results]
    else:
        header, cells = "result", [shown.params(result) for result in results]
    return header, [f"{cell} (best)" if run.best and cell else cell for run, cell in zip(runs, cells, strict=True)]


def config_of(sweep: Sweep) -> SweepConfig:
    """Return the sweep's configuration as values."""
    from whet.config import parse

    return parse(dict(sweep.config), source=f"sweep {sweep.id}")


def problem_trials(store: Store, sweep: Sweep) -> tuple[Problem, list[Trial]]:
    """Return the sweep's problem and its trials by number."""
    from whet.study.catching_up import history_of

    return config_of(sweep).problem, history_of(store, sweep.id).in_order()


def the_metric(problem: Problem, name: str | None) -> Metric:
    """Return the metric called `name`, or with None the only one.

    Raises:
        WhetError: there are several, and none is named; or nothing is optimised.
        UnknownName: no such metric.
    """
    from whet.cli.output import wrong_call
    from whet.errors import UnknownName

    known = {metric.name: metric for metric in problem.metrics}
    if name is not None and name not in known:
        raise UnknownName.of("metric", name, list(known))
    if name is not None:
        return known[name]
    if not known:
        raise wrong_call("the sweep optimises nothing, so nothing matters for it", "make a sweep with a metric")
    if len(known) > 1:
        raise wrong_call(
            f"the sweep has several metrics: {', '.join(known)}", f"name one: --metric {next(iter(known))}"
        )
    return problem.metric
