"""Trials as a pandas DataFrame, in Optuna's columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whet.errors import MissingDependency
from whet.trial import Problem, Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FRAME_ATTRS", "trials_dataframe"]

FRAME_ATTRS = (
    *("number", "value", "datetime_start", "datetime_complete", "duration"),
    *("params", "user_attrs", "state"),
)


def trials_dataframe(
    problem: Problem, trials: Sequence[Trial], attrs: Sequence[str], multi_index: bool
) -> pd.DataFrame:
    """Return a row a trial, a column an attribute, and one for each parameter, user attribute and (of several metrics) value.

    Raises:
        MissingDependency: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingDependency.of("pandas", "pandas", "trials_dataframe") from None
    several = len(problem.metrics) > 1
    rows: list[dict[tuple[str, object], object]] = []
    for trial in trials:
        row: dict[tuple[str, object], Any] = {}
        for attr in attrs:
            if attr in ("params", "user_attrs"):
                given: Mapping[str, object] = getattr(trial, attr)
                row.update({(attr, name): value for name, value in given.items()})
            elif attr in ("value", "values") and several:
                values = trial.values or [math.nan] * len(problem.metrics)
                row.update({("values", i): value for i, value in enumerate(values)})
            else:
                row[attr, ""] = trial.state.name if attr == "state" else getattr(trial, attr)
        rows.append(row)
    place = {attr: i for i, attr in enumerate(attrs)}
    place.setdefault("values", place.get("value", 0))
    columns = sorted(dict.fromkeys(key for row in rows for key in row), key=lambda key: place[key[0]])
    frame = pd.DataFrame([[row.get(key) for key in columns] for row in rows])
    flat = [attr if name == "" else f"{attr}_{name}" for attr, name in columns]
    frame.columns = pd.MultiIndex.from_tuples(columns) if multi_index and columns else pd.Index(flat)
    return frame
