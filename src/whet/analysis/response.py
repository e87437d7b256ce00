"""How the metric answers to one parameter, or to two, averaged over all others; with how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from whet.analysis.surface import Surface
from whet.errors import StudyError, UnknownName

if TYPE_CHECKING:
    from whet.analysis.cells import Column

__all__ = ["Contour", "Response", "contour", "response"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The mean of the metric along one parameter, over the space of the others (where it is active, for a conditional one).

    Args:
        name: The parameter's.
        metric: The metric's name.
        values: Of the parameter, one a cell, in order (of an unordered choice: in the order of its options).
        mean: The metric there, by the forest.
        spread: How far the trees differ there (one standard deviation). It says how little the trials tell, not how noisy they are.
    """

    name: str
    metric: str
    values: tuple[object, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """The mean of the metric over two parameters, averaged over the others. `mean[i][j]` is at `first_values[i]` and `second_values[j]`.

    As in `Response`, with the two names and their values.
    """

    first: str
    second: str
    metric: str
    first_values: tuple[object, ...]
    second_values: tuple[object, ...]
    mean: tuple[tuple[float, ...], ...]
    spread: tuple[tuple[float, ...], ...]


def response(fitted: Surface, name: str) -> Response:
    """Return how the metric answers to a parameter.

    Args:
        fitted: Of `whet.analysis.surface.surface`.
        name: The parameter's.

    Raises:
        UnknownName: no such parameter.
        StudyError: it has had but one value, or all results are equal.
    """
    column = _column(fitted, name)
    curves = fitted.curves(name)[:, : column.num_cells]
    return Response(
        name=name,
        metric=fitted.metric.name,
        values=tuple(column.values()),
        mean=tuple(curves.mean(axis=0).tolist()),
        spread=tuple(curves.std(axis=0).tolist()),
    )


def contour(fitted: Surface, first: str, second: str) -> Contour:
    """Return how the metric answers to two parameters together.

    Raises:
        UnknownName: no such parameter.
        StudyError: one has had but one value, the two are the same or never active together, or all results are equal.
    """
    one, other = _column(fitted, first), _column(fitted, second)
    if first == second:
        raise StudyError(f"{first!r} is named twice", "name two parameters")
    if not fitted.together(first, second):
        raise StudyError(f"{first} and {second} are never active together", "name two others")
    fields = fitted.fields(first, second)[:, : one.num_cells, : other.num_cells]
    return Contour(
        first=first,
        second=second,
        metric=fitted.metric.name,
        first_values=tuple(one.values()),
        second_values=tuple(other.values()),
        mean=tuple(tuple(row) for row in fields.mean(axis=0).tolist()),
        spread=tuple(tuple(row) for row in fields.std(axis=0).tolist()),
    )


def _column(fitted: Surface, name: str) -> Column:
    if name not in fitted.cells.space:
        raise UnknownName.of("parameter", name, list(fitted.cells.space))
    if fitted.forest is None:
        raise StudyError(
            f"all results of {fitted.metric.name} are equal, so nothing answers to {name}", "run more trials"
        )
    for column in fitted.cells.columns:
        if column.name == name:
            return column
    raise StudyError(f"{name} has had but one value in the complete trials", "run more trials")
