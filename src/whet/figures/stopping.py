"""The trials' curves, and where they were stopped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, final

from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.canvas import Axis, Canvas
from whet.figures.history import window
from whet.figures.style import ACCENT, BAD, GREY, STOPPED, numbers, shorten, whole
from whet.trial import Phase, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Stopping"]

_CURVES = 400


@final
class Stopping(Chart):
    """Reports by step: complete, stopped and failed trials, the best one on top."""

    def prepare(self) -> None:
        sheet = self.sheet
        self.curves: list[tuple[Trial, list[int], list[float]]] = []
        for trial in sheet.trials:
            points = [(r.step, r.values[sheet.place]) for r in trial.reports if math.isfinite(r.values[sheet.place])]
            if points:
                self.curves.append((trial, [s for s, _ in points], [v for _, v in points]))
        if not self.curves:
            raise StudyError(
                f"no trial has reported {sheet.metric.name} while it ran",
                "report it step by step: whet.log, or trial.report",
            )
        self.num_stopped = sum(t.stopped for t, _, _ in self.curves)
        full = max(steps[-1] for _, steps, _ in self.curves)
        first = min(steps[0] for _, steps, _ in self.curves)
        over = [(t, steps) for t, steps, _ in self.curves if t.phase is Phase.FINISHED]
        span = full - first + 1
        used = sum(steps[-1] - first + 1 for _, steps in over)
        self.saved = 1 - used / (span * len(over)) if over and span > 0 else 0.0
        complete = [t for t, _, _ in self.curves if sheet.problem.counts(t) and t.values]
        self.best = min(complete, key=lambda t: sheet.metric.goal.loss((t.values or ())[sheet.place]), default=None)

    def data(self) -> dict[str, Any]:
        return {
            "curves": [
                {"number": t.number, "phase": t.phase, "stopped": t.stopped, "steps": steps, "values": values}
                for t, steps, values in self.curves
            ],
            "num_stopped": self.num_stopped,
            "steps_saved": self.saved,
        }

    @property
    def _title(self) -> str:
        over = sum(t.phase is Phase.FINISHED for t, _, _ in self.curves)
        text = f"{self.num_stopped} of {over} trials stopped early"
        return f"{text}, {100 * self.saved:.0f} % of the steps saved" if self.num_stopped else text

    def _thinned(self) -> list[tuple[Trial, list[int], list[float]]]:
        every = max(1, len(self.curves) // _CURVES)
        return self.curves[::every]

    def _window(self) -> tuple[float, float, bool]:
        values = [v for _, _, ys in self.curves for v in ys]
        return window(values, self.sheet.metric.goal)

    def draw(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        shown = self._thinned()
        faint = 0.85 if len(shown) < 30 else 0.45 if len(shown) < 120 else 0.2
        named: set[str] = set()
        for trial, steps, values in sorted(shown, key=lambda c: c[0].complete):
            if trial.stopped:
                colour, word = STOPPED, "stopped early"
            elif trial.phase is Phase.FAILED:
                colour, word = BAD, "failed"
            elif trial.phase is Phase.FINISHED:
                colour, word = "#7fa3d6", "complete"
            else:
                colour, word = GREY, "running"
            label = word if word not in named else None
            named.add(word)
            axes.plot(steps, values, color=colour, linewidth=1, alpha=faint, label=label)
            if word in ("stopped early", "failed"):
                axes.plot(
                    steps[-1:],
                    values[-1:],
                    "x",
                    color=colour,
                    markersize=4.5,
                    markeredgewidth=1.1,
                    alpha=min(1, faint + 0.3),
                )
        for trial, steps, values in self.curves:
            if self.best is not None and trial.number == self.best.number:
                axes.plot(
                    steps,
                    values,
                    color=ACCENT,
                    linewidth=2.4,
                    label=f"best (trial {trial.number})",
                    marker="o" if len(steps) == 1 else None,
                )
        low, high, log = self._window()
        pad = 0.05 * (high - low) or abs(high) * 0.1 or 0.5
        axes.set_ylim(*((low / 1.15, high * 1.15) if log else (low - pad, high + pad)))
        numbers(axes, "xy", log="y" if log else "")
        whole(axes)
        axes.set_xlabel("step")
        axes.set_ylabel(self.sheet.goal_label)
        for handle in axes.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=5, borderaxespad=0.1
        ).legend_handles:
            if handle is not None:
                handle.set_alpha(1)
        axes.set_title(f"{shorten(self.sheet.title, 36)}: {self._title}", pad=24)

    def lines(self, width: int, *, colours: bool) -> list[str]:
        low, high, log = self._window()
        steps = [s for _, xs, _ in self.curves for s in xs]
        canvas = Canvas(Axis(min(steps), max(steps)), Axis(low, high, log=log), width=width - 12, height=14)
        for trial, xs, ys in self._thinned():
            if not trial.stopped:
                canvas.line(xs, ys, "dim")
        for trial, xs, ys in self._thinned():
            if trial.stopped:
                canvas.line(xs, ys, "dim")
                canvas.mark(xs[-1], ys[-1], "×", "yellow")
        for trial, xs, ys in self.curves:
            if self.best is not None and trial.number == self.best.number:
                canvas.line(xs, ys, "blue")
        return [
            f"{self.sheet.title}: {self._title} (×)",
            "",
            *canvas.lines(colours=colours, x_label="step", y_label=self.sheet.goal_label),
        ]
