"""Runs as tables and documents for other programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from whet.config import flatten
from whet.store.describe import SYSTEM, run_as_json, seconds_of, state_of, values_of

if TYPE_CHECKING:
    from whet.store.base import Run, Store, Sweep

__all__ = ["documents", "table_of", "write_csv"]


def table_of(runs: Sequence[Run], sweeps: Mapping[str, Sweep]) -> dict[str, list[Any]]:
    """Return columns by name, all as long as there are runs; what a run has not got is None."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        sweep = sweeps.get(run.sweep or "")
        row: dict[str, Any] = {
            "id": run.id,
            "name": run.name,
            "project": run.project,
            "sweep": run.sweep,
            "trial": run.number,
            "state": state_of(run),
            "best": run.best,
            "reason": run.reason,
            "started": run.started,
            "ended": run.ended,
            "seconds": seconds_of(run),
        }
        row |= {f"value.{name}": value for name, value in (values_of(run, sweep) or {}).items()}
        row |= {f"param.{name}": value for name, value in {**flatten(run.config), **run.params}.items()}
        row |= {f"metric.{name}": stat.last for name, stat in run.stats.items() if not name.startswith(SYSTEM)}
        row |= {f"summary.{name}": value for name, value in run.summary.items()}
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    places = ("", "value", "param", "metric", "summary")
    order = sorted(names, key=lambda name: places.index(name.partition(".")[0]) if "." in name else 0)
    return {name: [row.get(name) for row in rows] for name in order}


def write_csv(table: Mapping[str, Sequence[Any]], file: TextIO) -> None:
    """Write columns by name as CSV: None is empty, lists and mappings are JSON."""

    def cell(value: Any) -> Any:
        return "" if value is None else json.dumps(value) if isinstance(value, (dict, list, tuple)) else value

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([[cell(v) for v in row] for row in zip(*table.values(), strict=True)])


def documents(store: Store, runs: Sequence[Run], sweeps: Mapping[str, Sweep]) -> list[dict[str, object]]:
    """Return each run as `run_as_json` has it, with its curves, artifacts, folder, and what is known of where it ran (meta)."""
    found = []
    for run in runs:
        curves = {name: asdict(curve) for name, curve in store.runs.metrics(run.id).items()}
        artifacts = [asdict(a) for a in store.runs.artifacts(run.id)]
        document = {**run_as_json(run, sweeps.get(run.sweep or "")), "meta": run.meta, "artifacts": artifacts}
        found.append({**document, "folder": run.folder, "curves": curves})
    return found
