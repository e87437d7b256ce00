"""How much the Pareto front covers, trial by trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from whet.analysis.history import hypervolume_so_far
from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.canvas import Axis, Canvas
from whet.figures.style import ACCENT, GREY, numbers, shorten
from whet.figures.words import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Hypervolume"]


@final
class Hypervolume(Chart):
    """As a share of what the front covers at the end."""

    def prepare(self) -> None:
        if len(self.sheet.problem.metrics) < 2:
            raise StudyError(
                "a hypervolume needs several metrics, and this sweep has one", "see whet plot SWEEP history"
            )
        self.sheet.need()
        self.history = hypervolume_so_far(self.sheet.problem, self.sheet.trials)

    def data(self) -> dict[str, Any]:
        return {"number": [n for n, _ in self.history], "hypervolume": [v for _, v in self.history]}

    def draw(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        xs, ys = [n for n, _ in self.history], [v for _, v in self.history]
        axes.step(xs, ys, where="post", color=ACCENT, linewidth=2)
        axes.fill_between(xs, ys, step="post", color=ACCENT, alpha=0.1, linewidth=0)
        axes.set_ylim(bottom=0)
        numbers(axes, "y")
        axes.set_xlabel("trial")
        axes.set_ylabel("hypervolume of the front")
        axes.grid(axis="x", visible=False)
        axes.set_title(f"{shorten(self.sheet.title, 40)}: what the front covers")
        names = ", ".join(m.name for m in self.sheet.problem.metrics)
        figure.supxlabel(
            f"of {names}, up to a point a tenth of the range beyond the worst trial in each", fontsize=8, color=GREY
        )

    def lines(self, width: int, *, colours: bool) -> list[str]:
        xs, ys = [float(n) for n, _ in self.history], [v for _, v in self.history]
        canvas = Canvas(Axis(0, max(xs)), Axis(0, max(ys) or 1.0), width=width - 12, height=12)
        canvas.steps(xs, ys, "blue")
        return [
            f"{self.sheet.title}: hypervolume of the front {number(ys[-1])}",
            "",
            *canvas.lines(colours=colours, x_label="trial", y_label="hypervolume"),
        ]
