"""A forest fitted to a sweep's results, and what it says of one parameter or two, averaged over all others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

from whet.analysis.cells import Cells
from whet.analysis.forest import Forest, Tree, grow
from whet.errors import StudyError, UnknownName
from whet.trial import Metric, Problem, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Surface", "metric_of", "surface"]

_LEAST = 8  # different trials: with fewer a forest is a guess
_POINTS = 4_096
_FENCE = 5.0  # times the width of the middle half: a result that is worse than that beyond it is as bad as that


def metric_of(problem: Problem, name: str | None) -> tuple[int, Metric]:
    """Return a metric and its place: the only one, or the one named.

    Raises:
        StudyError: none is named, and there are several.
        UnknownName: no such metric.
    """
    if name is None:
        return 0, problem.metric
    for place, metric in enumerate(problem.metrics):
        if metric.name == name:
            return place, metric
    raise UnknownName.of("metric", name, [m.name for m in problem.metrics])


@final
class Surface:
    """A forest fitted to a sweep's results, and its marginals.

    `forest` is None where all results are equal or no parameter varies. `variance` is that of its prediction over the space.
    """

    def __init__(self, cells: Cells, forest: Forest | None, num_trials: int, metric: Metric) -> None:
        self.cells = cells
        self.forest = forest
        self.num_trials = num_trials
        self.metric = metric
        self.variance = 0.0
        if forest is None:
            return
        import numpy as np

        self._measure_DK = cells.measures()
        self._points_PD, self._active_PD = cells.draw(_POINTS, seed=1)
        self._leaves = [tree.leaves(self._points_PD) for tree in forest.trees]
        self._column_of = {name: j for j, name in enumerate(cells.names)}
        self.variance = float(np.var(self.drawn().mean(axis=0)))

    def drawn(self) -> NDArray[np.float64]:
        """Return what each tree says at 4,096 fixed draws from the parameters' own distributions (constraints are not looked at)."""
        import numpy as np

        assert self.forest is not None
        return np.array([t.value_L[at] for t, at in zip(self.forest.trees, self._leaves, strict=True)])

    def spread(self, name: str) -> float:
        """Return the variance of a parameter's marginal, times the share of the space in which it is active."""
        import numpy as np

        j = self._column_of[name]
        measure = self._measure_DK[j]
        curve = self.curves(name).mean(axis=0)
        mean = float(measure @ curve)
        return float(measure @ (curve - mean) ** 2) * float(np.mean(self._active_PD[:, j]))

    def together(self, a: str, b: str) -> bool:
        """Return whether two parameters are ever active together."""
        i, j = self._column_of[a], self._column_of[b]
        return bool((self._active_PD[:, i] & self._active_PD[:, j]).any())

    def pair_spread(self, a: str, b: str) -> float | None:
        """Return the variance that two parameters explain beyond each alone, where both are active; None where they never are."""
        import numpy as np

        i, j = self._column_of[a], self._column_of[b]
        share = float(np.mean(self._active_PD[:, i] & self._active_PD[:, j]))
        if share <= 0:
            return None
        p, q = self._measure_together(i, j), self._measure_together(j, i)
        field = self.fields(a, b).mean(axis=0)
        field = field - field @ q[:, None] - p @ field + p @ field @ q  # both margins and the mean go
        return float(p @ field**2 @ q) * share

    def _measure_together(self, j: int, other: int) -> NDArray[np.float64]:
        """Return the measure of column `j` where `other` is active: its own, unless it decides about that."""
        import numpy as np

        both = self._active_PD[:, j] & self._active_PD[:, other]
        if bool(both.all()):
            own: NDArray[np.float64] = self._measure_DK[j]
            return own
        counts = np.bincount(self._points_PD[both, j], minlength=self.cells.most).astype(float)
        measure: NDArray[np.float64] = counts / counts.sum()
        return measure

    def curves(self, name: str) -> NDArray[np.float64]:
        """Return the marginal of a parameter, where it is active, by each tree: shape (trees, cells), zeros after the column's last."""
        import numpy as np

        j = self._column_of[name]
        rows = []
        for weight_L, box_LDK, value_L in self._weighted([j]):
            over = weight_L[:, None] * box_LDK[:, j]
            rows.append((value_L @ over) / np.maximum(over.sum(axis=0), 1e-300))
        return np.array(rows)

    def fields(self, a: str, b: str) -> NDArray[np.float64]:
        """Return the marginal of two parameters, where both are active, by each tree: shape (trees, cells of a, cells of b)."""
        import numpy as np

        i, j = self._column_of[a], self._column_of[b]
        fields = []
        for weight_L, box_LDK, value_L in self._weighted([i, j]):
            one, other = box_LDK[:, i].astype(float), box_LDK[:, j].astype(float)
            total = (one * weight_L[:, None]).T @ other
            fields.append(((one * (weight_L * value_L)[:, None]).T @ other) / np.maximum(total, 1e-300))
        return np.array(fields)

    def _weighted(
        self, free: list[int]
    ) -> Iterable[tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]]:
        """Return, tree by tree, how much of the space of the other columns each leaf covers where the `free` ones are active."""
        import numpy as np

        assert self.forest is not None
        active_P: NDArray[np.bool_] = np.logical_and.reduce(self._active_PD[:, free], axis=1)
        everywhere = bool(active_P.all())
        for tree, leaves_P in zip(self.forest.trees, self._leaves, strict=True):
            width_LD = np.einsum("ldk,dk->ld", tree.box_LDK, self._measure_DK)
            width_LD[:, free] = 1.0
            weight_L = width_LD.prod(axis=1)
            if not everywhere:
                weight_L = weight_L * _share_active(tree, leaves_P, active_P, free)
            yield weight_L, tree.box_LDK, tree.value_L


def _share_active(
    tree: Tree, leaves_P: NDArray[np.int64], active_P: NDArray[np.bool_], free: list[int]
) -> NDArray[np.float64]:
    """Return the share of each leaf's box in which parameters are active; a leaf that none of the draws hit takes the whole's share."""
    import numpy as np

    hits = np.bincount(leaves_P, minlength=len(tree.value_L)).astype(float)
    active = np.bincount(leaves_P, weights=active_P.astype(float), minlength=len(tree.value_L))
    share: NDArray[np.float64] = np.where(hits > 0, active / np.maximum(hits, 1), float(active_P.mean()))
    split = ~tree.box_LDK[:, free].all(axis=(1, 2))  # only where it is active is a parameter ever split
    return np.where(split & (hits == 0), 1.0, share)


def surface(problem: Problem, trials: Iterable[Trial], *, metric: str | None = None, num_trees: int = 64) -> Surface:
    """Return a forest fitted to the complete trials (see `fanova`).

    Raises:
        StudyError: there are fewer than eight different complete trials, or several metrics and none is named.
        UnknownName: no such metric.
    """
    import numpy as np

    place, chosen = metric_of(problem, metric)
    complete = sorted((t for t in trials if t.complete), key=lambda t: t.number)
    different = len({repr(sorted(t.params.items())) for t in complete})
    if different < _LEAST:
        raise StudyError(
            f"a forest needs {_LEAST} different complete trials, and there {'is' if different == 1 else 'are'} {different}",
            "run more trials",
        )
    results = np.array([t.values[place] for t in complete if t.values is not None], dtype=float)
    finite = np.isfinite(results)
    configs = [dict(t.params) for t in complete]
    cells = Cells(problem.space, configs)
    if not finite.any() or not cells.columns:
        return Surface(cells, None, len(complete), chosen)
    losses = np.array([chosen.goal.loss(v) for v in results])
    low, high = np.min(losses[finite]), np.max(losses[finite])
    q1, q3 = np.quantile(losses[finite], [0.25, 0.75])
    if q3 > q1:
        high = min(high, q3 + _FENCE * (q3 - q1))
    losses = np.clip(losses, low, high)
    results = np.array([chosen.goal.loss(v) for v in losses])
    if np.ptp(results) <= 0:
        return Surface(cells, None, len(complete), chosen)
    forest = grow(cells.table(configs), results, [c.unordered for c in cells.columns], cells.most, num_trees=num_trees)
    return Surface(cells, forest, len(complete), chosen)
