"""Runs side by side: what they were given, what they reached, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from whet.parameters import identity

__all__ = ["Comparison", "Row", "compare_runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One key of the runs' configs or summaries.

    Args:
        key: Dotted.
        values: One a run, None where the run has not got it.
        differs: Not all runs have the same value, or some have none.
    """

    key: str
    values: tuple[object, ...]
    differs: bool


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
    configs: Mapping[str, Mapping[str, object]], summaries: Mapping[str, Mapping[str, object]]
) -> Comparison:
    """Return the runs side by side.

    Nested mappings are flattened to dotted keys. 1 and 1.0 are the same value, 1 and True are not, and NaN is the same as NaN.

    Args:
        configs: By name of the run.
        summaries: By name of the run; runs that have only one of the two are compared by what they have.

    Example:
        >>> table = compare_runs({"a": {"lr": 0.1, "seed": 0}, "b": {"lr": 0.2, "seed": 0}}, {})
        >>> [(row.key, row.values) for row in table.differing]
        [('lr', (0.1, 0.2))]
    """
    runs = tuple(dict.fromkeys([*configs, *summaries]))
    return Comparison(runs=runs, config=_rows(runs, configs), summary=_rows(runs, summaries))


def _rows(runs: tuple[str, ...], tables: Mapping[str, Mapping[str, object]]) -> tuple[Row, ...]:
    flat = [_flat(tables.get(run, {})) for run in runs]
    rows = []
    for key in dict.fromkeys(key for table in flat for key in table):
        missing = any(key not in table for table in flat)
        values = tuple(table.get(key) for table in flat)
        rows.append(Row(key=key, values=values, differs=missing or len({identity(value) for value in values}) > 1))
    return tuple(rows)


def _flat(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
