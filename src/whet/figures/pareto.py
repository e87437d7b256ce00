"""Metrics against each other, with the front."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Literal, final

from whet.analysis.pareto import pareto_front
from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.canvas import Axis, Canvas
from whet.figures.history import window
from whet.figures.style import ACCENT, numbers, panels, shorten
from whet.trial import Goal, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Pareto"]

_MOST = 4  # metrics: six panels


@final
class Pareto(Chart):
    """Every pair of metrics in a panel (of the first four)."""

    size = (6.6, 4.6)

    def prepare(self) -> None:
        sheet = self.sheet
        metrics = sheet.problem.metrics
        if len(metrics) < 2:
            raise StudyError(
                "a Pareto front needs several metrics, and this sweep has one", "see whet plot SWEEP history"
            )
        sheet.need()
        self.points = [t for t in sheet.trials if t.complete and t.values and all(map(math.isfinite, t.values))]
        if not self.points:
            raise StudyError("no trial is finite in every metric", "run more trials")
        self.front: list[Trial] = pareto_front(sheet.problem, self.points)
        self.pairs = list(itertools.combinations(range(min(len(metrics), _MOST)), 2))

    def data(self) -> dict[str, Any]:
        numbers_ = {t.number for t in self.front}
        return {
            "metrics": [m.name for m in self.sheet.problem.metrics],
            "trials": [{"number": t.number, "values": t.values, "front": t.number in numbers_} for t in self.points],
        }

    def draw(self, figure: Figure) -> None:
        count = len(self.pairs)
        if count > 1:
            figure.set_size_inches(3.3 * min(count, 3), 0.4 + 2.9 * -(-count // 3))
        for (i, j), axes in zip(self.pairs, panels(figure, count), strict=True):
            self._panel(axes, i, j)
        text = (
            f"{shorten(self.sheet.title, 40)}: {len(self.front)} of {len(self.points)} complete trials are on the front"
        )
        figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")

    def _at(self, trial: Trial, place: int) -> float:
        assert trial.values is not None
        return trial.values[place]

    def _panel(self, axes: Axes, i: int, j: int) -> None:
        metrics = self.sheet.problem.metrics
        many = len(self.points) > 1000
        xs, ys = [self._at(t, i) for t in self.points], [self._at(t, j) for t in self.points]
        axes.scatter(xs, ys, s=6 if many else 18, color="#b4bfcc", alpha=0.3 if many else 0.8, edgecolors="none", label="dominated", rasterized=many)  # fmt: skip
        edge = sorted(self.front, key=lambda t: (self._at(t, i), self._at(t, j)))
        fx, fy = [self._at(t, i) for t in edge], [self._at(t, j) for t in edge]
        if len(metrics) == 2:  # the border of what the front dominates
            where: Literal["post", "pre"] = "post" if metrics[i].goal is Goal.MINIMIZE else "pre"
            axes.step(fx, fy, where=where, color=ACCENT, linewidth=1.2, alpha=0.6)
        axes.scatter(fx, fy, s=34, color=ACCENT, edgecolors="white", linewidths=0.7, zorder=3, label="on the front")
        logs = ""
        for which, place, values in (("x", i, xs), ("y", j, ys)):
            low, high, log = window(values, metrics[place].goal)
            low, high = min(low, *(self._at(t, place) for t in edge)), max(high, *(self._at(t, place) for t in edge))
            pad = 0.05 * (high - low) or abs(high) * 0.1 or 0.5
            limits = (low / 1.2, high * 1.2) if log else (low - pad, high + pad)
            (axes.set_xlim if which == "x" else axes.set_ylim)(*limits)
            logs += which if log else ""
        numbers(axes, "xy", log=logs)
        axes.set_xlabel(f"{metrics[i].name} ({metrics[i].goal.value})")
        axes.set_ylabel(f"{metrics[j].name} ({metrics[j].goal.value})")
        if (i, j) == self.pairs[0]:
            axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")

    def lines(self, width: int, *, colours: bool) -> list[str]:
        i, j = self.pairs[0]
        first, second = self.sheet.problem.metrics[i], self.sheet.problem.metrics[j]
        axes = []
        for place, metric in ((i, first), (j, second)):
            low, high, log = window([self._at(t, place) for t in self.points], metric.goal)
            ends = [self._at(t, place) for t in self.front]
            axes.append(Axis(min(low, *ends), max(high, *ends), log=log))
        canvas = Canvas(axes[0], axes[1], width=width - 12, height=14)
        for trial in self.points:
            canvas.point(self._at(trial, i), self._at(trial, j), "dim")
        for trial in self.front:
            canvas.mark(self._at(trial, i), self._at(trial, j), "●", "blue")
        return [
            f"{self.sheet.title}: {len(self.front)} of {len(self.points)} complete trials are on the front (●)",
            "",
            *canvas.lines(
                colours=colours,
                x_label=f"{first.name} ({first.goal.value})",
                y_label=f"{second.name} ({second.goal.value})",
            ),
        ]
