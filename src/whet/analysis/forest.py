"""A random forest over cells: what fANOVA and the response curves read off, and nothing more. Grown level by level in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from whet.analysis.cells import INACTIVE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Forest", "Tree", "grow"]

_MOST_ROWS = 1_000  # of a tree: more make it slower, not wiser
_MOST_LEAVES = 200  # so a leaf of a thousand rows' tree holds five: an average over noise
_DEEPEST = 40


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """One regression tree of M nodes, L of them leaves, over D columns of at most K cells.

    Args:
        feature_M: The column by which a node is split; -1 of a leaf.
        left_MK: Which cells of that column go to the left.
        child_M: The left child; the right one is the next.
        leaf_M: The leaf's place among the leaves, -1 of a node that is split.
        value_L: Mean target of each leaf.
        box_LDK: The cells that each leaf covers, column by column.
    """

    feature_M: NDArray[np.int64]
    left_MK: NDArray[np.bool_]
    child_M: NDArray[np.int64]
    leaf_M: NDArray[np.int64]
    value_L: NDArray[np.float64]
    box_LDK: NDArray[np.bool_]

    def leaves(self, points_ND: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the leaf of each point."""
        import numpy as np

        node = np.zeros(len(points_ND), dtype=np.int64)
        rows = np.arange(len(points_ND))
        while len(rows):
            feature = self.feature_M[node[rows]]
            rows, feature = rows[feature >= 0], feature[feature >= 0]
            at = node[rows]
            node[rows] = self.child_M[at] + ~self.left_MK[at, points_ND[rows, feature]]
        leaves: NDArray[np.int64] = self.leaf_M[node]
        return leaves


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """Trees, and how much of the targets' variance they explain where they were not trained.

    Args:
        trees: At least one.
        explained: 1 - (mean squared error out of bag) / variance; 0 where the mean does as well, and None where nothing was out of bag.
    """

    trees: Sequence[Tree]
    explained: float | None

    def predict(self, points_ND: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the mean over the trees at each point."""
        import numpy as np

        mean: NDArray[np.float64] = np.mean([tree.value_L[tree.leaves(points_ND)] for tree in self.trees], axis=0)
        return mean


def grow(
    table_ND: NDArray[np.int64],
    targets_N: NDArray[np.float64],
    unordered_D: Sequence[bool],
    most_cells: int,
    *,
    seed: int = 0,
    num_trees: int = 64,
) -> Forest:
    """Return a forest of trees, each grown on a bootstrap sample with five sixths of the columns looked at in each node.

    A node is split by a column only where all of its rows have that parameter. So the effect of a parameter's being there at all
    belongs to the one that decides it, and its own is what it does where it is. Of unordered columns the cells are split in the order of
    their means, which contains the best of all subsets (Fisher 1958).

    Args:
        table_ND: Cells, N rows of D columns; INACTIVE where a row has none.
        targets_N: Finite.
        unordered_D: The columns whose cells have no order.
        most_cells: All cells are below it.
        seed: Of the bootstrap samples and columns.
        num_trees: At least 1.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    count = len(targets_N)
    size = min(count, _MOST_ROWS)
    trees: list[Tree] = []
    outside_N, total_N = np.zeros(count), np.zeros(count)
    unordered = np.array(unordered_D, dtype=bool)
    for _ in range(num_trees):
        rows = rng.integers(0, count, size)
        tree = _tree(table_ND[rows], targets_N[rows], unordered, most_cells, rng)
        trees.append(tree)
        out = np.ones(count, dtype=bool)
        out[rows] = False
        if count > 2 * size:
            out[rng.permutation(count)[size:]] = False  # enough to tell
        outside_N[out] += 1
        total_N[out] += tree.value_L[tree.leaves(_filled(table_ND[out]))]
    judged = outside_N > 0
    errors = targets_N[judged] - total_N[judged] / outside_N[judged]
    spread = float(np.var(targets_N[judged])) if judged.sum() > 1 else 0.0
    explained = 1.0 - float(np.mean(errors**2)) / spread if spread > 0 else None
    return Forest(trees=tuple(trees), explained=explained)


def _filled(table_ND: NDArray[np.int64]) -> NDArray[np.int64]:
    import numpy as np

    return np.maximum(
        table_ND, 0
    )  # an inactive one is asked for only by a tree that has not seen such a row: any cell will do


def _tree(
    x_ND: NDArray[np.int64],
    y_N: NDArray[np.float64],
    unordered_D: NDArray[np.bool_],
    K: int,
    rng: np.random.Generator,
) -> Tree:
    import numpy as np

    num_columns, least = x_ND.shape[1], max(2, len(y_N) // _MOST_LEAVES)
    feature, left, child = [-1], [np.zeros(K, dtype=bool)], [-1]
    boxes = [np.ones((num_columns, K), dtype=bool)]
    at = np.zeros(len(y_N), dtype=np.int64)  # the node of each row; -1 once it is in a leaf
    level = np.array([0])
    for _ in range(_DEEPEST):
        sizes = np.bincount(at[at >= 0], minlength=len(feature))
        level = level[sizes[level] >= 2 * least]
        small = (at >= 0) & (sizes[np.maximum(at, 0)] < 2 * least)
        at[small] = -1 - at[small]
        if not len(level):
            break
        rows = np.flatnonzero(at >= 0)
        place = np.full(len(feature), -1)
        place[level] = np.arange(len(level))
        splits = _splits(x_ND[rows], y_N[rows], place[at[rows]], len(level), unordered_D, K, least, rng)
        fresh: list[int] = []
        for n, (column, goes_left) in splits.items():
            node = int(level[n])
            feature[node], left[node], child[node] = column, goes_left, len(feature)
            for side in (goes_left, ~goes_left):
                box = boxes[node].copy()
                box[column] &= side
                fresh.append(len(feature))
                feature.append(-1)
                left.append(np.zeros(K, dtype=bool))
                child.append(-1)
                boxes.append(box)
        if not fresh:
            break
        features, lefts, children = np.array(feature), np.array(left), np.array(child)
        here = at[rows]
        by = features[here]
        going = by >= 0
        moved = rows[going]
        cells = x_ND[moved, by[going]]
        at[rows[~going]] = -1 - here[~going]
        at[moved] = children[here[going]] + ~lefts[here[going], cells]
        level = np.array(fresh)
    node_of = np.where(at >= 0, at, -1 - at)
    leaf_nodes = np.flatnonzero(np.array(feature) < 0)
    leaf = np.full(len(feature), -1)
    leaf[leaf_nodes] = np.arange(len(leaf_nodes))
    counts = np.bincount(leaf[node_of], minlength=len(leaf_nodes))
    values = np.bincount(leaf[node_of], weights=y_N, minlength=len(leaf_nodes)) / counts
    return Tree(
        feature_M=np.array(feature),
        left_MK=np.array(left),
        child_M=np.array(child),
        leaf_M=leaf,
        value_L=values,
        box_LDK=np.array([boxes[node] for node in leaf_nodes]),
    )


def _splits(
    x_ND: NDArray[np.int64],
    y_N: NDArray[np.float64],
    node_N: NDArray[np.int64],
    num_nodes: int,
    unordered_D: NDArray[np.bool_],
    K: int,
    least: int,
    rng: np.random.Generator,
) -> dict[int, tuple[int, NDArray[np.bool_]]]:
    """Return the best split of each node that is worth one: its column, and the cells that go to the left."""
    import numpy as np

    D = x_ND.shape[1]
    shape = (num_nodes, D, K)
    there = x_ND != INACTIVE
    keys = ((node_N[:, None] * D + np.arange(D)) * K + x_ND)[there]
    # Centred within its node, a target keeps its digits however far all of them lie from zero.
    size_M = np.bincount(node_N, minlength=num_nodes).astype(float)
    mean_M = np.bincount(node_N, weights=y_N, minlength=num_nodes) / np.maximum(size_M, 1)
    centred_N = y_N - mean_M[node_N]
    spread_M = np.bincount(node_N, weights=centred_N**2, minlength=num_nodes)
    weights = np.broadcast_to(centred_N[:, None], x_ND.shape)[there]
    counts = np.bincount(keys, minlength=num_nodes * D * K).reshape(shape).astype(float)
    sums = np.bincount(keys, weights=weights, minlength=num_nodes * D * K).reshape(shape)
    order = np.broadcast_to(np.arange(K), shape).copy()
    if unordered_D.any():
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(counts > 0, sums / counts, np.inf)[:, unordered_D]
        order[:, unordered_D] = np.argsort(means, axis=2, kind="stable")
    n_left = np.cumsum(np.take_along_axis(counts, order, 2), axis=2)
    s_left = np.cumsum(np.take_along_axis(sums, order, 2), axis=2)
    n_right = size_M[:, None, None] - n_left
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = s_left**2 / n_left + s_left**2 / n_right  # the sums of both sides add up to 0
    whole = n_left[:, :, -1] == size_M[:, None]  # all rows of the node have the parameter
    legal = (n_left >= least) & (n_right >= least) & whole[:, :, None]
    tried = rng.random((num_nodes, D)) < 5 / 6
    open_ = legal.any(axis=2)
    tried |= ~(tried & open_).any(axis=1, keepdims=True)  # at least one that can be split
    gain = np.where(legal & tried[:, :, None], gain, -np.inf)
    best = gain.reshape(num_nodes, D * K).argmax(axis=1)
    found: dict[int, tuple[int, NDArray[np.bool_]]] = {}
    for n in range(num_nodes):
        column, position = divmod(int(best[n]), K)
        if not gain[n, column, position] > 1e-12 * max(spread_M[n], 1e-300) or spread_M[n] <= 0:
            continue
        n_here = n_left[n, column]
        same = np.flatnonzero(n_here == n_here[position])
        goes_left = np.zeros(K, dtype=bool)
        if unordered_D[column]:
            goes_left[order[n, column, : position + 1]] = True
            if 2 * n_here[position] > size_M[n]:  # options that no row has go with the greater part
                goes_left |= counts[n, column] == 0
        else:
            goes_left[: same[len(same) // 2] + 1] = True  # in the middle of the gap
        found[n] = column, goes_left
    return found
