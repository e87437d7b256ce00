"""The best so far beside what random search is estimated to have found."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, final

from whet.analysis.regret import random_best
from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.canvas import Axis, Canvas
from whet.figures.history import History
from whet.figures.style import ACCENT, GREY, STOPPED, numbers, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Regret"]

_TRUSTED = 0.3


@final
class Regret(Chart):
    """An estimate, by a random forest: it says how good that is."""

    def prepare(self) -> None:
        if self.sheet.problem.limits:
            raise StudyError(
                "what random search would find within limits can't be told from the metric alone",
                "see whet plot SWEEP history, or run the sweep with method: random",
            )
        history = History(self.sheet)
        self.numbers = [m.number + 1 for m in history.milestones]
        self.best = [m.best for m in history.milestones]
        self.log = history.log
        fitted = self.sheet.fanova
        if fitted.explained is not None and fitted.explained < _TRUSTED:
            known = f"{100 * max(fitted.explained, 0):.0f} %"
            raise StudyError(
                f"what random search would find can't be told: the forest explains but {known} of unseen trials",
                "run more trials",
            )
        foreseen = random_best(self.sheet.surface, self.numbers)
        if foreseen is None:
            raise StudyError(
                f"all results of {self.sheet.metric.name} are equal, so nothing can be told of random search",
                "run more trials",
            )
        self.random = foreseen
        self.explained = self.sheet.fanova.explained

    def data(self) -> dict[str, Any]:
        return {"trials": self.numbers, "best": self.best, "random": self.random, "explained": self.explained}

    @property
    def _caveat(self) -> str:
        known = (
            "" if self.explained is None else f" that explains {100 * max(self.explained, 0):.0f} % of unseen trials"
        )
        return f"random search: an estimate by a random forest{known}, not a measurement"

    def draw(self, figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.step(self.numbers, self.best, where="post", color=ACCENT, linewidth=2, label="this sweep")
        axes.plot(
            self.numbers,
            self.random,
            color=STOPPED,
            linewidth=1.6,
            linestyle=(0, (5, 3)),
            label="random search, on average (estimated)",
        )
        numbers(axes, "y", log="y" if self.log else "")
        axes.set_xlabel("trials")
        axes.set_ylabel(f"best {self.sheet.goal_label}")
        axes.grid(axis="x", visible=False)
        axes.legend(loc="best")
        axes.set_title(f"{shorten(self.sheet.title, 40)}: the best so far, beside random search")
        figure.supxlabel(self._caveat, fontsize=8, color=GREY)

    def lines(self, width: int, *, colours: bool) -> list[str]:
        both = [*self.best, *self.random]
        canvas = Canvas(
            Axis(1, max(self.numbers)), Axis(min(both), max(both), log=self.log), width=width - 12, height=12
        )
        canvas.line([float(n) for n in self.numbers], self.random, "yellow")
        canvas.steps([float(n) for n in self.numbers], self.best, "blue")
        return [
            f"{self.sheet.title}: the best so far (stairs), beside random search (smooth)",
            "",
            *canvas.lines(colours=colours, x_label="trials", y_label=f"best {self.sheet.goal_label}"),
            "",
            *textwrap.wrap(self._caveat, width),
        ]
