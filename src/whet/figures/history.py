"""The history: every trial's result, the best so far, and what failed or was stopped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

from whet.analysis.best import why_none
from whet.analysis.history import Milestone, best_so_far
from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.canvas import Axis, Canvas
from whet.figures.style import ACCENT, BAD, GREY, STOPPED, numbers, shorten, whole
from whet.figures.words import number
from whet.trial import Goal, Phase, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History", "window"]


def window(values: list[float], goal: Goal) -> tuple[float, float, bool]:
    """Return what part of the values is worth showing, and whether on a logarithmic scale.

    The best ones always; of the worst, what lies far beyond the middle half (four times its width past it) is left out. Where there is no value: 0 to 1.
    """
    if not values:
        return 0.0, 1.0, False
    ordered = sorted(values, key=goal.loss)
    best, n = ordered[0], len(ordered)
    q1, q3 = goal.loss(ordered[n // 4]), goal.loss(ordered[min(3 * n // 4, n - 1)])
    bound = q3 + 4 * max(q3 - q1, abs(q3) * 1e-3, 1e-12)
    within = [v for v in ordered if goal.loss(v) <= bound]
    worst = within[-1]
    low, high = min(best, worst), max(best, worst)
    return low, high, low > 0 and goal is Goal.MINIMIZE and high / low > 300


@final
class History(Chart):
    """The values by number, with the best so far; of several metrics the one asked for, or the first."""

    def prepare(self) -> None:
        sheet = self.sheet
        sheet.need()
        if why := why_none(sheet.problem, sheet.complete):
            raise StudyError(why, "run more trials, or loosen the limits")
        keeps = [sheet.problem.keeps(t) for t in sheet.complete]
        kept = [t for t, keep in zip(sheet.complete, keeps, strict=True) if keep]
        self.milestones: list[Milestone] = best_so_far(sheet.one_metric, [_only(t, sheet.place) for t in kept])
        told = zip(sheet.complete, sheet.values, keeps, strict=True)
        self.unkept = [(t.number, v) for t, v, keep in told if not keep]
        self.failed = [t for t in sheet.trials if t.phase is Phase.FAILED]
        ended = [t for t in sheet.trials if t.stopped and t.values is not None]
        self.stopped = [
            (t.number, t.values[sheet.place]) for t in ended if t.values and math.isfinite(t.values[sheet.place])
        ]
        self.last = max(t.number for t in sheet.trials)
        shown = [*sheet.values, *(v for _, v in self.stopped)]
        self.low, self.high, self.log = window(shown, sheet.metric.goal)
        self.beyond = sum(not self.low <= v <= self.high for v in shown)

    def data(self) -> dict[str, Any]:
        return {
            "complete": [{"number": m.number, "value": m.value, "best": m.best} for m in self.milestones],
            "stopped": [{"number": n, "value": v} for n, v in self.stopped],
            **({"beyond_limits": [{"number": n, "value": v} for n, v in self.unkept]} if self.unkept else {}),
            "failed": [t.number for t in self.failed],
        }

    def draw(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        sheet = self.sheet
        many = len(self.milestones) > 1000
        size, alpha = (5.0, 0.25) if many else (18.0, 0.75)
        pad = 0.05 * (self.high - self.low) or abs(self.high) * 0.1 or 0.5
        bottom, top = (self.low / 1.15, self.high * 1.15) if self.log else (self.low - pad, self.high + pad)
        edge = self.high if sheet.metric.goal is Goal.MINIMIZE else self.low  # what lies beyond is drawn there
        sign = "^" if sheet.metric.goal is Goal.MINIMIZE else "v"
        numbers_ = [m.number for m in self.milestones]
        done = [(m.number, m.value) for m in self.milestones]
        for points, colour, marker, word in (
            (done, "#93b3de", "o", "complete"),
            (self.unkept, GREY, "o", "beyond the limits"),
            (self.stopped, STOPPED, "x", "stopped early (last value)"),
        ):
            within = [(n, v) for n, v in points if self.low <= v <= self.high]
            outside = [n for n, v in points if not self.low <= v <= self.high]
            if within:
                axes.scatter(
                    [n for n, _ in within], [v for _, v in within], s=size, alpha=alpha, color=colour, marker=marker, label=word, rasterized=many,
                    linewidths=1.0 if marker == "x" else 0,
                )  # fmt: skip
            axes.scatter(outside, [edge] * len(outside), s=size, alpha=alpha / 2, color=colour, marker=sign, linewidths=0, rasterized=many)  # fmt: skip
        best = [m.best for m in self.milestones]
        axes.step(
            [*numbers_, self.last + 0.5],
            [*best, best[-1]],
            where="post",
            color=ACCENT,
            linewidth=2,
            label="best so far",
        )
        improved = [m for m in self.milestones if m.improved]
        axes.plot(
            [m.number for m in improved], [m.value for m in improved], "o", color=ACCENT, markersize=4.5, markeredgecolor="white", markeredgewidth=0.7
        )  # fmt: skip
        if self.failed:
            axes.plot(
                [t.number for t in self.failed], [0.012] * len(self.failed), "|", color=BAD, markersize=5 if many else 8, markeredgewidth=0.5 if many else 1.2, alpha=0.6 if many else 1.0,
                transform=axes.get_xaxis_transform(), label=f"failed ({len(self.failed)})", clip_on=False,
            )  # fmt: skip
        axes.set_ylim(bottom, top)
        axes.set_xlim(-0.02 * max(self.last, 1) - 0.5, max(self.last, 1) * 1.02 + 0.5)
        if self.log:
            numbers(axes, "y", log="y")
        else:
            numbers(axes, "y")
        whole(axes)
        axes.set_xlabel("trial")
        axes.set_ylabel(sheet.goal_label)
        axes.set_title(f"{shorten(sheet.title, 48)}: best {sheet.metric.name} {number(best[-1])}", pad=24)
        axes.grid(axis="x", visible=False)
        if self.beyond:
            where = "above" if sheet.metric.goal is Goal.MINIMIZE else "below"
            axes.annotate(
                f"{self.beyond} more {where}", (1, 1.01), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=GREY
            )  # fmt: skip
        legend = axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=4, borderaxespad=0.1)
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1)
                if many and hasattr(handle, "set_sizes"):
                    handle.set_sizes([18])

    def lines(self, width: int, *, colours: bool) -> list[str]:
        sheet = self.sheet
        canvas = Canvas(
            Axis(0, max(self.last, 1)), Axis(self.low, self.high, log=self.log), width=width - 12, height=14
        )
        for m in self.milestones:
            canvas.point(m.number, m.value, "dim")
        xs = [*(float(m.number) for m in self.milestones), float(self.last)]
        best = [m.best for m in self.milestones]
        canvas.steps(xs, [*best, best[-1]], "blue")
        for n, v in self.unkept:
            canvas.mark(n, v, "○", "dim")
        for n, v in self.stopped:
            canvas.mark(n, v, "×", "yellow")
        for trial in self.failed:
            canvas.mark(trial.number, self.low, "!", "red")
        words = ["⠉ best so far", "⠂ complete"]
        words += ["○ beyond the limits"] if self.unkept else []
        words += ["× stopped early"] if self.stopped else []
        words += [f"! failed ({len(self.failed)})"] if self.failed else []
        words += [f"{self.beyond} beyond, at the edge"] if self.beyond else []
        return [
            f"{sheet.title}: best {sheet.metric.name} {number(best[-1])}",
            "",
            *canvas.lines(colours=colours, x_label="trial", y_label=sheet.goal_label),
            "",
            "   ".join(words),
        ]


def _only(trial: Trial, place: int) -> Trial:
    from dataclasses import replace

    assert trial.values is not None
    return replace(trial, values=(trial.values[place],))
