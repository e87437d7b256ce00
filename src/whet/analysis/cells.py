"""Trials as a table of small whole numbers: each parameter's range is cut into cells, and a trial lies in one of them, or is inactive."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from whet.parameters import Choice, Float, Int, Parameter
from whet.space import Space

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["INACTIVE", "Cells", "Column"]

INACTIVE = -1
"""The cell of a parameter that a configuration has not got."""
_MOST = 32  # cells of a number; a forest of a few hundred trials can't tell more apart
_MOST_OPTIONS = 64


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One parameter's cells.

    Args:
        name: The parameter's.
        parameter: The parameter.
        edges_K1: On the unit interval, from 0 to 1, of a parameter whose values have an order; else empty.
        options: Of an unordered choice, one a cell: those that occur.
        measure_K: The probability of each cell by the parameter's own distribution; sums to 1.
    """

    name: str
    parameter: Parameter
    edges_K1: NDArray[np.float64]
    options: tuple[object, ...]
    measure_K: NDArray[np.float64]

    @property
    def num_cells(self) -> int:
        """How many cells there are."""
        return len(self.measure_K)

    @property
    def unordered(self) -> bool:
        """Whether the cells have no order."""
        return bool(self.options)

    def cell(self, value: object) -> int:
        """Return the cell of `value`, or INACTIVE where it does not fit the parameter."""
        parameter = self.parameter
        if isinstance(parameter, Choice):
            index = parameter.index(value)
            if index < 0:
                return INACTIVE
            if self.options:
                found = [i for i, option in enumerate(self.options) if parameter.index(option) == index]
                return found[0] if found else INACTIVE
        elif isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            return INACTIVE
        return self._at(parameter.encode(value))

    def _at(self, unit: float) -> int:
        import numpy as np

        place = int(np.searchsorted(self.edges_K1, unit, side="right")) - 1
        return min(max(place, 0), self.num_cells - 1)

    def values(self) -> list[object]:
        """Return a value for each cell: the option, or the middle of the cell by the parameter's own distribution."""
        if self.options:
            return list(self.options)
        middles = (self.edges_K1[1:] + self.edges_K1[:-1]) / 2
        return [self.parameter.decode(float(u)) for u in middles]


@final
class Cells:
    """The cells of a space's parameters that vary, made from the configurations that are to be put into them.

    A number has a cell for each value if few occur; otherwise its edges are half of them quantiles of what occurs (a search that
    closes in on something is looked at closely there) and half of them even. A parameter of a single value gets no column.

    Args:
        space: The parameters.
        configs: What occurs; names that are not in the space are passed over.
    """

    def __init__(self, space: Space, configs: Sequence[dict[str, object]]) -> None:
        self.space = space
        self.columns: tuple[Column, ...] = tuple(
            column
            for name, parameter in space.items()
            if parameter.size != 1
            and (column := _column(name, parameter, [c[name] for c in configs if name in c])) is not None
        )
        self.names = tuple(column.name for column in self.columns)

    @property
    def most(self) -> int:
        """The greatest number of cells of a column."""
        return max((column.num_cells for column in self.columns), default=1)

    def table(self, configs: Sequence[dict[str, object]]) -> NDArray[np.int64]:
        """Return the cells of `configs`, a row each."""
        import numpy as np

        table = np.full((len(configs), len(self.columns)), INACTIVE, dtype=np.int64)
        for j, column in enumerate(self.columns):
            known: dict[object, int] = {}
            for i, config in enumerate(configs):
                if column.name in config:
                    value = config[column.name]
                    key = repr(value)
                    if key not in known:
                        known[key] = column.cell(value)
                    table[i, j] = known[key]
        return table

    def measures(self) -> NDArray[np.float64]:
        """Return the columns' measures, filled up with zeros to the same length: shape (columns, most)."""
        import numpy as np

        measures = np.zeros((len(self.columns), self.most))
        for j, column in enumerate(self.columns):
            measures[j, : column.num_cells] = column.measure_K
        return measures

    def draw(self, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Draw points from the parameters' own distributions: the cells, all given, and which of the parameters are active."""
        import numpy as np

        rng, stream = np.random.default_rng(seed), random.Random(seed)
        points = np.empty((count, len(self.columns)), dtype=np.int64)
        active = np.ones((count, len(self.columns)), dtype=bool)
        for j, column in enumerate(self.columns):
            points[:, j] = rng.choice(column.num_cells, size=count, p=column.measure_K)
        if self.space.conditional:
            places = {column.name: j for j, column in enumerate(self.columns)}
            shown = [column.values() for column in self.columns]
            fixed = {n: p.decode(stream.random()) for n, p in self.space.items() if n not in places}
            for i, point in enumerate(points):
                given = {
                    column.name: shown[j][point[j]] for column, j in zip(self.columns, places.values(), strict=True)
                }
                there = set(self.space.active({**fixed, **given}))
                active[i] = [column.name in there for column in self.columns]
        return points, active


def _column(name: str, parameter: Parameter, values: Sequence[object]) -> Column | None:
    import numpy as np

    if isinstance(parameter, Choice) and not parameter.ordered:
        used = sorted({parameter.index(value) for value in values} - {-1})
        if len(used) < 2:
            return None
        if len(used) > _MOST_OPTIONS:  # the ones that occur most often
            counts: dict[int, int] = {}
            for value in values:
                counts[parameter.index(value)] = counts.get(parameter.index(value), 0) + 1
            used = sorted(sorted(used, key=lambda i: -counts[i])[:_MOST_OPTIONS])
        weights = np.array([1.0 if parameter.weights is None else parameter.weights[i] for i in used])
        weights = np.maximum(weights, 1e-12)
        options = tuple(parameter.options[i] for i in used)
        return Column(
            name=name, parameter=parameter, edges_K1=np.empty(0), options=options, measure_K=weights / weights.sum()
        )
    units = np.array([parameter.encode(value) for value in values if _fits(parameter, value)])
    different = np.unique(np.round(units, 12))
    if len(different) < 2:
        return None
    if len(different) <= _MOST:
        inner = (different[1:] + different[:-1]) / 2
    else:
        half = _MOST // 2
        quantiles = np.quantile(units, np.arange(1, half) / half)
        inner = np.unique(np.round(np.concatenate([quantiles, np.arange(1, half) / half]), 12))
    inner = inner[(inner > 0) & (inner < 1)]
    edges = np.concatenate([[0.0], inner, [1.0]])
    return Column(name=name, parameter=parameter, edges_K1=edges, options=(), measure_K=np.diff(edges))


def _fits(parameter: Parameter, value: object) -> bool:
    if isinstance(parameter, Choice):
        return parameter.index(value) >= 0
    assert isinstance(parameter, (Float, Int))
    return not isinstance(value, bool) and isinstance(value, (int, float)) and not math.isnan(value)
