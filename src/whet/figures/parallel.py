"""Parallel coordinates: an axis a parameter, a line a trial."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, final

from whet.analysis.parallel import Axis, AxisKind, Line, parallel_coordinates
from whet.figures.base import Chart
from whet.figures.history import window
from whet.figures.style import GREY, INK, label, shorten
from whet.figures.words import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Parallel"]

_AXES = 10
_LINES = 600
_DARK = 60
_ABSENT = -0.12  # where lines go whose trial has not got the parameter
_BARS = " ▁▂▃▄▅▆▇█"


@final
class Parallel(Chart):
    """The most important parameters, then the metrics; the better a trial, the darker its line."""

    def prepare(self) -> None:
        sheet = self.sheet
        sheet.need()
        found = parallel_coordinates(sheet.problem, sheet.complete)
        numbered = {axis.name: i for i, axis in enumerate(found.axes) if not axis.is_metric}
        named = list(sheet.params) or [n for n in numbered if sheet.problem.space[n].size != 1][:_AXES]
        self.left_out = sum(sheet.problem.space[n].size != 1 for n in numbered) - len(named)
        places = [*(numbered[n] for n in named), *(i for i, axis in enumerate(found.axes) if axis.is_metric)]
        self.num_params = len(named)
        self.axes: list[Axis] = [self._framed(found.axes[i]) for i in places]
        goal = sheet.metric.goal
        values = {t.number: v for t, v in zip(sheet.complete, sheet.values, strict=True)}
        lines = sorted(found.lines, key=lambda line: goal.loss(values[line.number]))
        self.num_best = max(1, -(-len(lines) // 10))
        self.num_dark = min(self.num_best, _DARK)
        kept = lines[: self.num_dark] if len(lines) > _LINES else lines
        rest = lines[len(kept) :]
        kept = kept + rest[:: max(1, len(rest) // (_LINES // 2))]
        self.lines_ = [_picked(line, places, self.axes) for line in kept]
        self.num_all = len(lines)
        self.all = [_picked(line, places, self.axes) for line in lines]

    def _framed(self, axis: Axis) -> Axis:
        """Return a metric's axis without the few results that lie far off: they are drawn at its end."""
        if not axis.is_metric:
            return axis
        place = [m.name for m in self.sheet.problem.metrics].index(axis.name)
        results = [t.values[place] for t in self.sheet.complete if t.values and math.isfinite(t.values[place])]
        low, high, log = window(results, self.sheet.problem.metrics[place].goal)
        return Axis(name=axis.name, kind=AxisKind.LOG if log else AxisKind.LINEAR, low=low, high=high, is_metric=True)

    def data(self) -> dict[str, Any]:
        return {
            "axes": [
                {
                    "name": a.name,
                    "kind": a.kind,
                    "low": a.low,
                    "high": a.high,
                    "options": a.options,
                    "is_metric": a.is_metric,
                }
                for a in self.axes
            ],
            "lines": [{"number": n.number, "values": n.values} for n in self.lines_],
        }

    def draw(self, figure: Figure) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.colors import LinearSegmentedColormap

        count = len(self.axes)
        figure.set_size_inches(max(6.0, 1.6 + 1.15 * count), 4.6)
        axes = figure.add_subplot()
        shades = LinearSegmentedColormap.from_list("whet", ["#123b7d", "#4a82c8", "#a9bdd6", "#d9dee5", "#e6e9ed"])
        n = max(len(self.lines_) - 1, 1)
        for rank in range(len(self.lines_) - 1, -1, -1):
            line = self.lines_[rank]
            top = rank < self.num_dark
            points = [(i, _ABSENT if p is None else p) for i, p in enumerate(line.positions)]
            alpha = 0.95 if top else max(0.12, min(0.7, 60 / len(self.lines_)))
            axes.add_collection(LineCollection([_smooth(points)], colors=[shades(rank / n)], linewidths=1.8 if rank == 0 else 1.2 if top else 0.8, alpha=alpha, zorder=3 if top else 2))  # fmt: skip
        absent = any(p is None for line in self.lines_ for p in line.positions)
        for i, axis in enumerate(self.axes):
            axes.plot([i, i], [0, 1], color=INK if axis.is_metric else GREY, linewidth=1.1, zorder=4)
            for place, text in _ticks(axis):
                axes.plot([i - 0.025, i], [place, place], color=GREY, linewidth=0.8, zorder=4)
                axes.text(i - 0.05, place, text, ha="right", va="center", fontsize=7.5, zorder=5, bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6})  # fmt: skip
            name = shorten(axis.name, 16 if count < 8 else 22)
            lift = 0.06 if count >= 8 and i % 2 else 0.0  # in two rows, lest long names run into each other
            goal = next(
                (m.goal.value for m in self.sheet.problem.metrics if axis.is_metric and m.name == axis.name), ""
            )
            axes.text(
                i,
                1.05 + lift,
                f"{name}\n({goal})" if goal else name,
                ha="center",
                va="bottom",
                fontsize=8.5,
                fontweight="bold" if axis.is_metric else "normal",
            )
        if absent:
            axes.text(-0.12, _ABSENT, "not used", ha="right", va="center", fontsize=7.5, color=GREY)
        axes.set_xlim(-0.6, count - 0.8)
        axes.set_ylim(_ABSENT - 0.05 if absent else -0.06, 1.05)
        axes.axis("off")
        more = (
            f" (the {self.num_params} that matter most, of {self.num_params + self.left_out})"
            if self.left_out > 0 and not self.sheet.params
            else ""
        )
        figure.suptitle(
            f"{shorten(self.sheet.title, 36)}: the better the {self.sheet.metric.name}, the darker{more}", x=0.01, ha="left", fontsize=11, fontweight="bold"
        )  # fmt: skip

    def lines(self, width: int, *, colours: bool) -> list[str]:
        pad = max(len(shorten(a.name, 20)) for a in self.axes)
        room = max(8, min(24, (width - pad - 28) // 2))
        top = self.all[: self.num_best]
        head = f"{'all ' + str(self.num_all):<{room}}  best {self.num_best}"
        out = [
            f"{self.sheet.title}: where the trials are, and the best tenth by {self.sheet.goal_label}",
            "",
            " " * (pad + 11) + head,
        ]
        for i, axis in enumerate(self.axes):
            ends = [text for _, text in _ticks(axis)]
            whole, best = (_bars([line.positions[i] for line in part], room) for part in (self.all, top))
            out.append(f"{shorten(axis.name, 20).rjust(pad)}  {ends[0][:8]:>8} {whole}  {best} {ends[-1][:12]}")
        return out


def _picked(line: Line, places: list[int], axes: list[Axis]) -> Line:
    return Line(
        number=line.number,
        values=tuple(line.values[i] for i in places),
        positions=tuple(
            axis.position(line.values[i]) if axis.is_metric else line.positions[i]
            for i, axis in zip(places, axes, strict=True)
        ),
    )


def _smooth(points: list[tuple[int, float]]) -> list[tuple[float, float]]:
    """Return points along gentle curves from axis to axis: lines that meet at an axis can be told apart."""
    out: list[tuple[float, float]] = []
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for k in range(12):
            t = k / 12
            out.append((x0 + t * (x1 - x0), y0 + (y1 - y0) * t * t * (3 - 2 * t)))
    return [*out, *((float(x), y) for x, y in points[-1:])]


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    if axis.kind is AxisKind.OPTIONS:
        names = label(axis.options, 12)
        if len(names) == 1:
            return [(0.5, names[0])]
        every = max(1, len(names) // 12)
        return [(i / (len(names) - 1), names[i]) for i in range(0, len(names), every)]
    if axis.low is None or axis.high is None:
        return [(0.5, "-")]
    low, high = axis.low, axis.high
    if not high > low:
        return [(0.5, number(low))]
    if axis.kind is AxisKind.LOG:
        return [
            (k / 4, number(float(f"{low * (high / low) ** (k / 4):.2g}") if 0 < k < 4 else low if k == 0 else high))
            for k in range(5)
        ]
    return [(k / 4, number(float(f"{low + (high - low) * k / 4:.3g}"))) for k in range(5)]


def _bars(positions: list[float | None], room: int) -> str:
    counts = [0] * room
    for p in positions:
        if p is not None:
            counts[min(int(p * room), room - 1)] += 1
    most = max(counts) or 1
    return "".join(_BARS[-(-c * (len(_BARS) - 1) // most)] for c in counts)
