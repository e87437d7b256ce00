"""The metric along each of the parameters that matter, averaged over the others, with how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

from whet.analysis.response import Response as Curve
from whet.analysis.response import response
from whet.errors import StudyError
from whet.figures.base import Chart
from whet.figures.canvas import Axis, Canvas
from whet.figures.history import window
from whet.figures.style import ACCENT, GREY, label, numbers, panels, shorten
from whet.figures.words import bar, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Response"]

_MOST = 6
_DOTS = 1_500


@final
class Response(Chart):
    """Up to six parameters, the ones that explain most first."""

    def prepare(self) -> None:
        names = self.sheet.leading(_MOST)
        fitted = self.sheet.surface
        if fitted.forest is None:
            raise StudyError(
                f"all results of {self.sheet.metric.name} are equal, so nothing answers to the parameters",
                "run more trials",
            )
        self.curves: list[Curve] = [response(fitted, name) for name in names]
        self.shares = self.sheet.fanova.main
        self.explained = self.sheet.fanova.explained

    def data(self) -> dict[str, Any]:
        shown = [
            {"name": c.name, "values": c.values, "mean": c.mean, "spread": c.spread, "share": self.shares[c.name]}
            for c in self.curves
        ]
        return {"responses": shown, "explained": self.explained}

    def _span(self) -> tuple[float, float]:
        edges = [m + s * sign for c in self.curves for m, s in zip(c.mean, c.spread, strict=True) for sign in (-1, 1)]
        low, high, _ = window(self.sheet.values, self.sheet.metric.goal)
        low, high = max(low, min(edges) - (max(edges) - min(edges))), min(high, max(edges) + (max(edges) - min(edges)))
        low, high = min(low, *edges), max(high, *edges)
        pad = 0.04 * (high - low)
        return low - pad, high + pad

    def draw(self, figure: Figure) -> None:
        count = len(self.curves)
        rows = -(-count // 3)
        figure.set_size_inches(max(4.4, 3.1 * min(count, 3)), 0.6 + 2.6 * rows)
        low, high = self._span()
        for i, (curve, axes) in enumerate(zip(self.curves, panels(figure, count), strict=True)):
            self._panel(axes, curve)
            axes.set_ylim(low, high)
            numbers(axes, "y")
            if i % 3:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel(self.sheet.metric.name)
        trust = "" if self.explained is None else f"; explains {100 * max(self.explained, 0):.0f} % of unseen trials"
        figure.suptitle(
            f"{shorten(self.sheet.title, 40)}: {self.sheet.goal_label} along each parameter", x=0.01, ha="left", fontsize=11, fontweight="bold"
        )  # fmt: skip
        figure.supxlabel(
            f"line: mean over the other parameters, by a random forest{trust}; band: ±1 standard deviation among its trees; dots: trials",
            fontsize=8, color=GREY,
        )  # fmt: skip

    def _panel(self, axes: Axes, curve: Curve) -> None:
        sheet, name = self.sheet, curve.name
        shown = [t for t in sheet.complete if name in t.params]
        shown = shown[:: max(1, len(shown) // _DOTS)]
        values = [t.values[sheet.place] for t in shown if t.values is not None]
        dots: dict[str, Any] = {
            "s": 9,
            "color": "#b4bfcc",
            "alpha": 0.6,
            "edgecolors": "none",
            "zorder": 1,
            "rasterized": len(shown) > 1000,
        }
        low = [m - s for m, s in zip(curve.mean, curve.spread, strict=True)]
        high = [m + s for m, s in zip(curve.mean, curve.spread, strict=True)]
        if sheet.is_choice(name):
            places = {repr(v): i for i, v in enumerate(curve.values)}
            at = [
                (places[repr(t.params[name])], v)
                for t, v in zip(shown, values, strict=True)
                if repr(t.params[name]) in places
            ]
            axes.scatter([x + 0.22 * _jitter(k) for k, (x, _) in enumerate(at)], [v for _, v in at], **dots)
            spread = [
                [m - a for m, a in zip(curve.mean, low, strict=True)],
                [b - m for m, b in zip(curve.mean, high, strict=True)],
            ]
            axes.errorbar(range(len(curve.values)), curve.mean, yerr=spread, fmt="o", color=ACCENT, elinewidth=5, markersize=6, ecolor="#9dbbe6", markeredgecolor="white", zorder=3)  # fmt: skip
            many = sum(map(len, label(curve.values))) > 24
            axes.set_xticks(
                range(len(curve.values)),
                label(curve.values),
                rotation=40 if many else 0,
                ha="right" if many else "center",
            )
            axes.set_xlim(-0.6, len(curve.values) - 0.4)
            axes.grid(axis="x", visible=False)
        else:
            xs = [float(cast(float, v)) for v in curve.values]
            axes.scatter([float(cast(float, t.params[name])) for t in shown], values, **dots)
            axes.fill_between(xs, low, high, color=ACCENT, alpha=0.18, linewidth=0, zorder=2)
            axes.plot(xs, curve.mean, color=ACCENT, linewidth=1.8, zorder=3)
            numbers(axes, "x", log="x" if sheet.is_log(name) else "")
        axes.set_xlabel(f"{shorten(name, 26)}" + (" (log)" if sheet.is_log(name) else ""))
        axes.set_title(
            f"{100 * self.shares[name]:.0f} % of the variance", fontsize=8.5, color=GREY, fontweight="normal", pad=4
        )

    def lines(self, width: int, *, colours: bool) -> list[str]:
        sheet = self.sheet
        out = [f"{sheet.title}: {sheet.goal_label} along each parameter, mean over the others"]
        for curve in self.curves[:4]:
            share = f"{100 * self.shares[curve.name]:.0f} % of the variance"
            out += ["", f"{curve.name}: {share}"]
            if sheet.is_choice(curve.name):
                out += _options(curve, width)
                continue
            xs = [float(cast(float, v)) for v in curve.values]
            edges = [m + s * sign for m, s in zip(curve.mean, curve.spread, strict=True) for sign in (-1, 1)]
            canvas = Canvas(
                Axis(min(xs), max(xs), log=sheet.is_log(curve.name)),
                Axis(min(edges), max(edges)),
                width=width - 12,
                height=8,
            )
            for sign in (-1, 1):
                ys = [m + sign * s for m, s in zip(curve.mean, curve.spread, strict=True)]
                for x, y in zip(xs, ys, strict=True):
                    canvas.point(x, y, "dim")
            canvas.line(xs, curve.mean, "blue")
            out += canvas.lines(colours=colours)
        if len(self.curves) > 4:
            out += [
                "",
                f"and {', '.join(c.name for c in self.curves[4:])}: name them with --params, or all with -o FILE",
            ]
        return out


def _options(curve: Curve, width: int) -> list[str]:
    names = label(curve.values)
    pad = max(len(n) for n in names)
    low, high = min(curve.mean), max(curve.mean)
    out = []
    for name, mean, spread in zip(names, curve.mean, curve.spread, strict=True):
        place = (mean - low) / (high - low) if high > low else 0.5
        drawn = bar(0.1 + 0.9 * place, max(8, width - pad - 28))
        out.append(f"  {name.rjust(pad)}  {number(mean):>9} ± {number(spread):<9}  {drawn}")
    return out


def _jitter(k: int) -> float:
    return ((k * 0.6180339887) % 1.0) * 2 - 1  # even, and the same every time
