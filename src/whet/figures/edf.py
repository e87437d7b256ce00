"""The empirical distribution of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from whet.analysis.history import distribution
from whet.figures.base import Chart
from whet.figures.canvas import Axis, Canvas
from whet.figures.history import window
from whet.figures.style import ACCENT, GREY, numbers, shorten
from whet.figures.words import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Edf"]


@final
class Edf(Chart):
    """What share of the complete trials is at least as good as each value."""

    def prepare(self) -> None:
        sheet = self.sheet
        sheet.need()
        self.steps = distribution(sheet.problem, sheet.trials, metric=sheet.metric.name)
        self.low, self.high, self.log = window(sheet.values, sheet.metric.goal)
        self.median = next((v for v, share in self.steps if share >= 0.5), self.steps[-1][0])

    def data(self) -> dict[str, Any]:
        return {"values": [v for v, _ in self.steps], "shares": [s for _, s in self.steps]}

    def draw(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        xs, ys = [self.steps[0][0], *(v for v, _ in self.steps)], [0.0, *(100 * s for _, s in self.steps)]
        axes.step(xs, ys, where="post", color=ACCENT, linewidth=2)
        axes.axhline(50, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.plot([self.median], [50], "o", color=ACCENT, markersize=5, markeredgecolor="white")
        axes.annotate(
            f"median {number(self.median)}",
            (self.median, 50),
            xytext=(8, -12),
            textcoords="offset points",
            fontsize=8.5,
        )
        pad = 0.04 * (self.high - self.low) or abs(self.high) * 0.1 or 0.5
        if self.log:
            axes.set_xlim(self.low / 1.1, self.high * 1.1)
        else:
            axes.set_xlim(self.low - pad, self.high + pad)
        numbers(axes, "x", log="x" if self.log else "")
        axes.set_ylim(0, 102)
        axes.set_xlabel(self.sheet.goal_label)
        axes.set_ylabel("trials at least as good (%)")
        axes.set_title(f"{shorten(self.sheet.title, 40)}: how {_results(len(self.sheet.complete))} distributed")
        if self.sheet.metric.goal.value == "maximize":
            axes.invert_xaxis()

    def lines(self, width: int, *, colours: bool) -> list[str]:
        canvas = Canvas(Axis(self.low, self.high, log=self.log), Axis(0, 100), width=width - 12, height=12)
        inner = [(v, s) for v, s in self.steps if self.low <= v <= self.high]
        inner.sort()
        canvas.steps([v for v, _ in inner], [100 * s for _, s in inner], "blue")
        return [
            f"{self.sheet.title}: median {self.sheet.metric.name} {number(self.median)} of {len(self.sheet.complete)} trials",
            "",
            *canvas.lines(colours=colours, x_label=self.sheet.goal_label, y_label="trials at least as good (%)"),
        ]


def _results(count: int) -> str:
    return "the result of 1 trial is" if count == 1 else f"the results of {count} trials are"
