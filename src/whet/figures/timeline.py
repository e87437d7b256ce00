"""When each trial ran, in as many lanes as ran at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.style import BAD, GREY, STOPPED, numbers, shorten
from whet.trial import Phase, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Timeline"]


@final
class Timeline(Chart):
    """A bar a trial; a trial takes the lowest lane that is free when it starts."""

    def prepare(self) -> None:
        ran = sorted(
            (t for t in self.sheet.trials if t.started is not None), key=lambda t: (t.started or 0.0, t.number)
        )
        if not ran:
            raise StudyError(
                "no trial has a start that is known", "run some first; those that were added from elsewhere have none"
            )
        self.start = ran[0].started or 0.0
        ends = [t.ended for t in ran if t.ended is not None]
        self.end = max([*ends, *(t.started or 0.0 for t in ran)])
        free: list[float] = []
        self.lanes: list[tuple[Trial, int, float, float]] = []
        for trial in ran:
            begin = trial.started or 0.0
            end = self.end if trial.ended is None else trial.ended
            lane = next((i for i, until in enumerate(free) if until <= begin), len(free))
            free[lane : lane + 1] = [end]
            self.lanes.append((trial, lane, begin - self.start, end - self.start))
        self.num_lanes = len(free)
        total = max(self.end - self.start, 1e-9)
        self.busy = sum(b - a for _, _, a, b in self.lanes) / (total * self.num_lanes)

    def data(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "trials": [
                {"number": t.number, "lane": lane, "from_s": a, "to_s": b, "phase": t.phase, "stopped": t.stopped}
                for t, lane, a, b in self.lanes
            ],
            "busy": self.busy,
        }

    def _scale(self) -> tuple[float, str]:
        total = self.end - self.start
        for seconds, unit in ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
            if total >= 3 * seconds:
                return seconds, unit
        return 1.0, "seconds"

    @property
    def _title(self) -> str:
        return f"{self.num_lanes} at once at most, busy {100 * self.busy:.0f} % of the time"

    def draw(self, figure: Figure) -> None:
        figure.set_size_inches(7.2, min(1.8 + 0.28 * self.num_lanes, 9))
        axes = figure.add_subplot()
        scale, unit = self._scale()
        kinds: dict[str, tuple[str, list[tuple[float, float, int]]]] = {
            "complete": ("#86a9da", []), "stopped early": (STOPPED, []), "failed": (BAD, []), "not over": (GREY, [])
        }  # fmt: skip
        for trial, lane, a, b in self.lanes:
            word = "stopped early" if trial.stopped else "failed" if trial.phase is Phase.FAILED else (
                "complete" if trial.phase is Phase.FINISHED else "not over"
            )  # fmt: skip
            kinds[word][1].append((a / scale, (b - a) / scale, lane))
        many = len(self.lanes) > 300
        for word, (colour, bars) in kinds.items():
            if bars:
                axes.barh([lane for _, _, lane in bars], [w for _, w, _ in bars], left=[a for a, _, _ in bars], height=0.78, color=colour, edgecolor="none" if many else "white", linewidth=0.6, label=word)  # fmt: skip
        axes.set_yticks([])
        axes.set_ylim(self.num_lanes - 0.4, -0.6)
        axes.set_xlim(0, (self.end - self.start) / scale or 1)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="y", visible=False)
        numbers(axes, "x")
        axes.set_xlabel(f"{unit} since the first trial")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.1)
        axes.set_title(f"{shorten(self.sheet.title, 40)}: {self._title}", pad=24)

    def lines(self, width: int, *, colours: bool) -> list[str]:
        scale, unit = self._scale()
        room = max(20, width - 2)
        total = max(self.end - self.start, 1e-9)
        rows = [[" "] * room for _ in range(min(self.num_lanes, 40))]
        for trial, lane, a, b in self.lanes:
            if lane >= len(rows):
                continue
            first, last = int(a / total * (room - 1)), max(int(a / total * (room - 1)), int(b / total * (room - 1)) - 1)
            sign = "×" if trial.stopped else "!" if trial.phase is Phase.FAILED else "█"
            rows[lane][first : last + 1] = "▓" * (last - first + 1)
            rows[lane][last] = sign
        out = [f"{self.sheet.title}: {self._title}", "", *("│" + "".join(row).rstrip() for row in rows)]
        end = f"{total / scale:.3g} {unit}"
        return [*out, "└" + "─" * room, "0" + end.rjust(room), "█ complete   × stopped early   ! failed"]
