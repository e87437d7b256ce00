"""Which parameters and metrics rise and fall together (Spearman's rank correlation)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from whet.parameters import Choice
from whet.trial import Problem, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Correlation", "correlation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """A symmetric table.

    Args:
        names: Of rows and columns: parameters (``optimizer=adam`` for one option of a choice), then metrics.
        rho: Row by row in [-1, 1], None where fewer than three trials have both, or one of the two never varies.
    """

    names: tuple[str, ...]
    rho: tuple[tuple[float | None, ...], ...]

    def of(self, one: str, other: str) -> float | None:
        """Return the correlation of two of the names."""
        return self.rho[self.names.index(one)][self.names.index(other)]


def correlation(problem: Problem, trials: Iterable[Trial]) -> Correlation:
    """Return Spearman's rank correlation among parameters and metrics over the complete trials, ties at their mean rank.

    A choice counts as the rank of its option if it is ordered, or has two options (then it is named by the second one);
    otherwise each option is a column of its own, 1 where it was chosen and 0 elsewhere. Each pair is taken over the trials in which
    both are active.
    """
    import numpy as np

    complete = sorted((t for t in trials if t.complete), key=lambda t: t.number)
    columns: dict[str, list[float]] = {}
    for name, parameter in problem.space.items():
        given = [t.params.get(name) for t in complete]
        active = [name in t.params for t in complete]
        if not isinstance(parameter, Choice):
            columns[name] = [float(v) if isinstance(v, (int, float)) else math.nan for v in given]
            continue
        indices = [parameter.index(v) if here else -1 for v, here in zip(given, active, strict=True)]
        if parameter.ordered:
            columns[name] = [math.nan if i < 0 else float(i) for i in indices]
            continue
        shown = range(len(parameter.options))[-1:] if len(parameter.options) == 2 else range(len(parameter.options))
        for k in shown:
            columns[f"{name}={parameter.options[k]}"] = [math.nan if i < 0 else float(i == k) for i in indices]
    for place, metric in enumerate(problem.metrics):
        columns[metric.name] = [t.values[place] for t in complete if t.values is not None]
    table = [np.array(column, dtype=float) for column in columns.values()]
    rho = tuple(tuple(_spearman(a, b) for b in table) for a in table)
    return Correlation(names=tuple(columns), rho=rho)


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    import numpy as np

    both = ~(np.isnan(a) | np.isnan(b))
    if both.sum() < 3:
        return None
    x, y = _ranks(a[both]), _ranks(b[both])
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return max(-1.0, min(1.0, float(x @ y) / scale)) if scale > 0 else None


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[which]
    return ranks
