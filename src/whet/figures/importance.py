"""Importance as bars: what sets the best trials apart, and what explains the variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.style import ACCENT, GREY, shorten
from whet.figures.words import bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Importance"]

_MOST = 20
_TRUSTED = 0.3


@final
class Importance(Chart):
    """PED-ANOVA's shares; beside them fANOVA's, where there are trials enough."""

    def prepare(self) -> None:
        sheet = self.sheet
        self.scores = dict(sheet.scores)
        try:
            self.variances: dict[str, float] | None = sheet.fanova.main
            self.explained = sheet.fanova.explained
        except StudyError:
            self.variances, self.explained = None, None
        if self.explained is None or self.explained < _TRUSTED:
            self.variances = None

    def data(self) -> dict[str, Any]:
        return {"ped_anova": self.scores, "fanova": self.variances, "explained": self.explained}

    @property
    def _shown(self) -> list[str]:
        space = self.sheet.problem.space
        named = list(self.sheet.params) or [n for n in self.scores if space[n].size != 1] or list(self.scores)
        return sorted(named, key=lambda n: -self.scores[n])[:_MOST]

    def draw(self, figure: Figure) -> None:
        names = self._shown
        two = self.variances is not None
        figure.set_size_inches(7.2, max(2.4, 1.5 + 0.32 * len(names) * (1.3 if two else 1.0)))
        axes = figure.add_subplot()
        rows = range(len(names))
        height = 0.36 if two else 0.62
        first = [self.scores[n] for n in names]
        axes.barh([r - (height / 2 + 0.02 if two else 0) for r in rows], first, height, color=ACCENT, label="what sets the best tenth apart (PED-ANOVA)")  # fmt: skip
        second: list[float] = []
        if self.variances is not None:
            second = [self.variances[n] for n in names]
            axes.barh([r + height / 2 + 0.02 for r in rows], second, height, color="#b9c6d6", label="share of the variance over the space (fANOVA)")  # fmt: skip
        most = max([*first, *second, 1e-9])
        for r, share in zip(rows, first, strict=True):
            axes.text(
                share + most * 0.01,
                r - (height / 2 + 0.02 if two else 0),
                f"{100 * share:.1f} %",
                va="center",
                fontsize=8,
            )
        for r, share in zip(rows, second, strict=False):
            axes.text(
                share + most * 0.01, r + height / 2 + 0.02, f"{100 * share:.1f} %", va="center", fontsize=8, color=GREY
            )
        axes.set_yticks(list(rows), [self._label(n) for n in names])
        axes.invert_yaxis()
        axes.set_xlim(0, most * 1.14)
        axes.xaxis.set_visible(False)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_title(f"{shorten(self.sheet.title, 40)}: what matters for {self.sheet.goal_label}")
        if two:
            axes.legend(loc="lower right")
        notes = []
        if len(self.scores) > len(names) and not self.sheet.params:
            rest = sum(self.scores.values()) - sum(first)
            notes.append(f"{len(self.scores) - len(names)} parameters more: {100 * rest:.1f} % together (PED-ANOVA)")
        if self.explained is not None and self.explained < _TRUSTED:
            notes.append(
                f"fANOVA is left out: its forest explains but {100 * max(self.explained, 0):.0f} % of unseen trials"
            )
        if notes:
            figure.supxlabel("; ".join(notes), fontsize=8, color=GREY, x=0.99, ha="right")

    def _label(self, name: str) -> str:
        when = self.sheet.problem.space[name].when
        return shorten(name, 28) if when is None else f"{shorten(name, 28)}\nwhere {shorten(when.source, 30)}"

    def lines(self, width: int, *, colours: bool) -> list[str]:
        names = self._shown
        pad = max(len(shorten(n, 28)) for n in names)
        most = max(max(self.scores[n] for n in names), 1e-9)
        room = max(8, width - pad - 12)
        out = [f"{self.sheet.title}: what sets the best trials apart in {self.sheet.goal_label}", ""]
        for name in names:
            share = self.scores[name]
            drawn = bar(share / most, room)
            drawn = f"\x1b[34m{drawn}\x1b[0m" if colours else drawn
            out.append(f"{shorten(name, 28).rjust(pad)}  {100 * share:5.1f} %  {drawn}".rstrip())
        if len(self.scores) > len(names) and not self.sheet.params:
            out.append(f"and {len(self.scores) - len(names)} more")
        return out
