"""Runs side by side: what they were given, what they reached, and where they differ."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from whet.parameters import identity
from whet.trial import Goal

__all__ = ["Comparison", "Row", "compare_runs", "goal_by_name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One key of the runs' configs or summaries.

    Args:
        key: Dotted.
        values: One a run, None where the run has not got it.
        differs: Not all runs have the same value, or some have none.
        best: The places of the runs that have the best value, where it is known which way is better, and not all have the same;
            of the numbers, of which there are two at least.
    """

    key: str
    values: tuple[object, ...]
    differs: bool
    best: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A table: the runs are its columns, the keys of configs and of summaries its rows, in order of first appearance."""

    runs: tuple[str, ...]
    config: tuple[Row, ...]
    summary: tuple[Row, ...]

    @property
    def differing(self) -> tuple[Row, ...]:
        """The rows of the configs in which the runs differ."""
        return tuple(row for row in self.config if row.differs)


def compare_runs(
    configs: Mapping[str, Mapping[str, object]],
    summaries: Mapping[str, Mapping[str, object]],
    goals: Mapping[str, Goal] = MappingProxyType({}),
) -> Comparison:
    """Return the runs side by side.

    Nested mappings are flattened to dotted keys. 1 and 1.0 are the same value, 1 and True are not, and NaN is the same as NaN.

    Args:
        configs: By name of the run.
        summaries: By name of the run; runs that have only one of the two are compared by what they have.
        goals: Which way is better, by the dotted keys of summaries.

    Example:
        >>> table = compare_runs({"a": {"lr": 0.1, "seed": 0}, "b": {"lr": 0.2, "seed": 0}}, {})
        >>> [(row.key, row.values) for row in table.differing]
        [('lr', (0.1, 0.2))]
    """
    runs = tuple(dict.fromkeys([*configs, *summaries]))
    return Comparison(runs=runs, config=_rows(runs, configs, {}), summary=_rows(runs, summaries, goals))


def goal_by_name(metric: str) -> Goal | None:
    """Return which way a metric is better, as far as its name tells: a guess, for metrics of which nobody said it.

    Example:
        >>> goal_by_name("val/cross_entropy_loss"), goal_by_name("eval_f1"), goal_by_name("gloss") is None
        (<Goal.MINIMIZE: 'minimize'>, <Goal.MAXIMIZE: 'maximize'>, True)
    """
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower()))
    ways = {goal for goal, known in _WORDS.items() if words & known}
    return ways.pop() if len(ways) == 1 else None


_WORDS = {
    Goal.MINIMIZE: frozenset(
        [
            "loss",
            "error",
            "err",
            "rmse",
            "mse",
            "mae",
            "mape",
            "nll",
            "bce",
            "perplexity",
            "ppl",
            "wer",
            "cer",
            "regret",
        ]
    ),
    Goal.MAXIMIZE: frozenset(
        [
            "acc",
            "accuracy",
            "f1",
            "auc",
            "auroc",
            "precision",
            "recall",
            "r2",
            "score",
            "reward",
            "bleu",
            "rouge",
            "map",
            "iou",
            "dice",
            "psnr",
            "ssim",
            "throughput",
            "fps",
        ]
    ),
}


def _best(values: tuple[object, ...], goal: Goal | None) -> tuple[int, ...]:
    if goal is None:
        return ()
    losses = {
        i: goal.loss(value)
        for i, value in enumerate(values)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
    }
    least = min(losses.values(), default=math.inf)
    if len(losses) < 2 or math.isinf(least):
        return ()
    return tuple(i for i, loss in losses.items() if loss == least)


def _rows(
    runs: tuple[str, ...], tables: Mapping[str, Mapping[str, object]], goals: Mapping[str, Goal]
) -> tuple[Row, ...]:
    flat = [_flat(tables.get(run, {})) for run in runs]
    rows = []
    for key in dict.fromkeys(key for table in flat for key in table):
        missing = any(key not in table for table in flat)
        values = tuple(table.get(key) for table in flat)
        differs = missing or len({identity(value) for value in values}) > 1
        rows.append(Row(key=key, values=values, differs=differs, best=_best(values, goals.get(key)) if differs else ()))
    return tuple(rows)


def _flat(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
