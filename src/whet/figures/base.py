"""What every figure is, and where to find them by name."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from whet.errors import UnknownName
from whet.figures.sheet import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "Chart", "chart"]

FIGURES: Mapping[str, str] = {
    "history": "every trial's result, and the best so far",
    "importance": "how much each parameter matters",
    "parallel": "parameters side by side, a line a trial",
    "response": "the metric along each parameter, averaged over the others",
    "contour": "the metric over two parameters",
    "correlation": "what rises and falls together (ranks)",
    "edf": "what share of the trials reached which value",
    "pareto": "two metrics or more against each other, with the front",
    "hypervolume": "how much the front covers, trial by trial",
    "regret": "the best so far beside what random search would have found",
    "stopping": "the trials' curves, and where they were stopped",
    "timeline": "when each trial ran",
}
"""Names of figures, and what they show."""


class Chart(ABC):
    """A figure of a sweep. Making one computes what it shows.

    Args:
        sheet: The sweep.

    Raises:
        StudyError: there are too few results for it.
    """

    size: ClassVar[tuple[float, float]] = (7.2, 4.3)
    """On paper, in inches."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Compute what is shown."""

    @abstractmethod
    def data(self) -> dict[str, Any]:
        """Return what is shown as plain data."""

    @abstractmethod
    def draw(self, figure: Figure) -> None:
        """Draw it on paper."""

    @abstractmethod
    def lines(self, width: int, *, colours: bool) -> list[str]:
        """Return it as lines of text, `width` characters at most."""


def chart(name: str, sheet: Sheet) -> Chart:
    """Return the figure `name` (one of `FIGURES`) of a sweep.

    Raises:
        UnknownName: no such figure.
        StudyError: there are too few results for it.
    """
    if name not in FIGURES:
        raise UnknownName.of("figure", name, list(FIGURES))
    module = importlib.import_module(f"whet.figures.{name}")
    found: Chart = getattr(module, name.capitalize())(sheet)
    return found
