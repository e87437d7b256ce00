"""The metric over two parameters, averaged over the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast, final

from whet.analysis.response import contour
from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.style import GREY, SEQUENCE, label, numbers, shorten
from whet.figures.words import number
from whet.parameters import Choice
from whet.trial import Goal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Contour"]

_SHADES = " ░▒▓█"


@final
class Contour(Chart):
    """The two parameters asked for, or the pair that explains most together (its own effects counted)."""

    size = (6.4, 4.9)

    def prepare(self) -> None:
        sheet = self.sheet
        if sheet.params and len(sheet.params) != 2:
            raise StudyError(f"a contour has two parameters, not {len(sheet.params)}", "name two: --params lr,width")
        if sheet.surface.forest is None:
            raise StudyError(
                f"all results of {sheet.metric.name} are equal, so there is nothing to draw", "run more trials"
            )
        first, second = sheet.params or self._leading()
        self.field = contour(sheet.surface, first, second)

    def _leading(self) -> tuple[str, str]:
        found = self.sheet.fanova
        if not found.pairs:
            raise StudyError("fewer than two parameters vary, so there is no pair", "see whet plot SWEEP response")
        return max(found.pairs, key=lambda p: found.pairs[p] + found.main[p[0]] + found.main[p[1]])

    def data(self) -> dict[str, Any]:
        f = self.field
        return {
            "x": {"name": f.first, "values": f.first_values},
            "y": {"name": f.second, "values": f.second_values},
            "mean": f.mean,
            "spread": f.spread,
        }

    def _edges(self, name: str, values: tuple[object, ...]) -> list[float]:
        parameter = self.sheet.problem.space[name]
        if isinstance(parameter, Choice):
            return [i - 0.5 for i in range(len(values) + 1)]
        column = next(c for c in self.sheet.surface.cells.columns if c.name == name)
        return [float(cast(float, parameter.decode(float(u)))) for u in column.edges_K1]

    def draw(self, figure: Figure) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        sheet, field = self.sheet, self.field
        axes = figure.add_subplot()
        colours = SEQUENCE[::-1] if sheet.metric.goal is Goal.MINIMIZE else SEQUENCE  # the better, the darker
        shades = LinearSegmentedColormap.from_list("whet", colours)
        xs, ys = self._edges(field.first, field.first_values), self._edges(field.second, field.second_values)
        rows = [[field.mean[i][j] for i in range(len(field.first_values))] for j in range(len(field.second_values))]
        drawn = axes.pcolormesh(_grown(xs), _grown(ys), rows, cmap=shades, shading="flat", rasterized=True)
        for name, which in ((field.first, "x"), (field.second, "y")):
            values = field.first_values if which == "x" else field.second_values
            if sheet.is_choice(name):
                set_ticks = axes.set_xticks if which == "x" else axes.set_yticks
                turned: dict[str, Any] = {"rotation": 40, "ha": "right"} if which == "x" and len(values) > 5 else {}
                set_ticks(range(len(values)), label(values), **turned)
            else:
                numbers(axes, which, log=which if sheet.is_log(name) else "")
        self._dots(axes)
        axes.set_xlabel(shorten(field.first, 40) + (" (log)" if sheet.is_log(field.first) else ""))
        axes.set_ylabel(shorten(field.second, 40) + (" (log)" if sheet.is_log(field.second) else ""))
        axes.grid(visible=False)
        bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28)
        bar.outline.set_visible(False)
        bar.set_label(sheet.goal_label)
        bar.ax.yaxis.set_major_formatter(lambda x, _: number(float(f"{x:.10g}")))
        axes.set_title(f"{shorten(sheet.title, 40)}: {sheet.metric.name}, mean over the other parameters")

    def _dots(self, axes: Any) -> None:
        sheet, field = self.sheet, self.field
        places = {
            name: {repr(v): i for i, v in enumerate(values)}
            for name, values in ((field.first, field.first_values), (field.second, field.second_values))
        }

        def at(name: str, value: object, k: int) -> float:
            if sheet.is_choice(name):
                return places[name].get(repr(value), math.nan) + 0.3 * (((k * 0.6180339887) % 1.0) * 2 - 1)
            return float(cast(float, value))

        shown = [t for t in sheet.complete if field.first in t.params and field.second in t.params]
        shown = shown[:: max(1, len(shown) // 800)]
        xs = [at(field.first, t.params[field.first], k) for k, t in enumerate(shown)]
        ys = [at(field.second, t.params[field.second], 7 * k + 3) for k, t in enumerate(shown)]
        axes.scatter(xs, ys, s=10, facecolors="white", edgecolors=GREY, linewidths=0.5, alpha=0.85)
        if shown:
            # The star is the best trial that counts.
            kept = [t for t in sheet.complete if sheet.problem.keeps(t)] or sheet.complete
            best = min(range(len(shown)), key=lambda k: sheet.metric.goal.loss(cast(Any, shown[k].values)[sheet.place]))
            top = min(kept, key=lambda t: sheet.metric.goal.loss(cast(Any, t.values)[sheet.place]))
            if field.first in top.params and field.second in top.params:
                k = best
                axes.scatter([at(field.first, top.params[field.first], k)], [at(field.second, top.params[field.second], 7 * k + 3)], s=90, marker="*", color="#f0a020", edgecolors="white", linewidths=0.8, zorder=4, label="best trial")  # fmt: skip
                axes.legend(loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")

    def lines(self, width: int, *, colours: bool) -> list[str]:
        sheet, field = self.sheet, self.field
        losses = [[sheet.metric.goal.loss(v) for v in row] for row in field.mean]
        low, high = min(map(min, losses)), max(map(max, losses))
        xs, ys = len(field.first_values), len(field.second_values)
        cell = max(1, min(8, (width - 18) // xs))
        # Not more than sixteen rows: cells of equal probability are joined two by two.
        rows = list(range(ys))[:: max(1, -(-ys // 16))]
        names = label([v if not isinstance(v, float) else number(v) for v in (field.second_values[j] for j in rows)])
        pad = max(len(n) for n in names)
        out = [
            f"{sheet.title}: {sheet.goal_label}, mean over the other parameters; the darker, the better",
            "",
            f"{' ' * pad}  {field.second}",
        ]
        for j, name in reversed(list(zip(rows, names, strict=True))):
            shades = (_shade(losses[i][j], low, high) * cell for i in range(xs))
            out.append(f"{name.rjust(pad)} │{''.join(shades)}".rstrip())
        out.append(" " * pad + " └" + "─" * (xs * cell))
        first, last = label([field.first_values[0], field.first_values[-1]])
        if sheet.is_choice(field.first):
            out.append(
                " " * (pad + 2) + "".join(n[: max(cell - 1, 1)].ljust(cell) for n in label(field.first_values)).rstrip()
            )
        else:
            out.append(" " * (pad + 2) + first + last.rjust(max(0, xs * cell - len(first))))
        out.append(" " * (pad + 2) + field.first.center(xs * cell).rstrip())
        marks = (
            f"{shade or 'blank'} {number(sheet.metric.goal.loss(low + (high - low) * (1 - k / 4)))}"
            for k, shade in enumerate(("", "░", "▒", "▓", "█"))
        )
        return [*out, "", "   ".join(marks)]


def _shade(loss: float, low: float, high: float) -> str:
    share = (high - loss) / (high - low) if high > low else 0.5
    return _SHADES[min(int(share * len(_SHADES)), len(_SHADES) - 1)]


def _grown(edges: list[float]) -> list[float]:
    """Return edges without equal ones, which a fine integer range may have."""
    out = edges[:1]
    for edge in edges[1:]:
        out.append(edge if edge > out[-1] else math.nextafter(out[-1], math.inf))
    return out
