"""Rank correlation of parameters and metrics, as a table of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from whet.analysis.correlation import correlation
from whet.figures.base import Chart
from whet.figures.style import INK, LIGHT, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Correlation"]

_MOST = 18


@final
class Correlation(Chart):
    """Spearman's rho over the complete trials; of many parameters those that go most with the metrics."""

    size = (6.4, 5.6)

    def prepare(self) -> None:
        sheet = self.sheet
        sheet.need(3)
        table = correlation(sheet.problem, sheet.trials)
        metrics = [m.name for m in sheet.problem.metrics]
        rows = {name: i for i, name in enumerate(table.names)}
        asked = [n for n in table.names[: -len(metrics)] if not sheet.params or n.split("=")[0] in sheet.params]
        asked = [n for n in asked if any(r is not None for r in table.rho[rows[n]])]

        def strength(name: str) -> float:
            return max(abs(table.rho[rows[name]][rows[m]] or 0.0) for m in metrics)

        self.all = len(asked)
        kept = set(sorted(asked, key=strength, reverse=True)[: _MOST - len(metrics)])
        self.names = [*metrics, *(n for n in asked if n in kept)]
        self.rho = [[table.rho[rows[a]][rows[b]] for b in self.names] for a in self.names]
        self.num_metrics = len(metrics)

    def data(self) -> dict[str, Any]:
        return {"names": self.names, "rho": self.rho}

    def draw(self, figure: Figure) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        n = len(self.names)
        figure.set_size_inches(2.6 + 0.42 * n, 2.0 + 0.36 * n)
        axes = figure.add_subplot()
        shades = LinearSegmentedColormap.from_list("whet", ["#b5522f", "#e9b79f", "#fbfbfa", "#a4c0e6", "#2459a3"])
        grey = shades.with_extremes(bad="#f1f3f5")
        nan = float("nan")
        rows = [[nan if r is None or i == j else r for j, r in enumerate(row)] for i, row in enumerate(self.rho)]
        drawn = axes.imshow(rows, cmap=grey, vmin=-1, vmax=1)
        for i, row in enumerate(self.rho):
            for j, r in enumerate(row):
                if r is not None and i != j:
                    axes.text(j, i, f"{r:.2f}".replace("0.", ".").replace("-.00", ".00"), ha="center", va="center", fontsize=7.5, color="white" if abs(r) > 0.65 else INK)  # fmt: skip
        names = [shorten(name, 24) for name in self.names]
        axes.set_xticks(range(n), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(n), names)
        for _k, text in enumerate(
            [*axes.get_xticklabels()[: self.num_metrics], *axes.get_yticklabels()[: self.num_metrics]]
        ):
            text.set_fontweight("bold")
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.tick_params(length=0)
        axes.axhline(self.num_metrics - 0.5, color=LIGHT, linewidth=1.5)
        axes.axvline(self.num_metrics - 0.5, color=LIGHT, linewidth=1.5)
        bar = figure.colorbar(drawn, ax=axes, shrink=0.7, aspect=24, pad=0.03)
        bar.outline.set_visible(False)
        bar.set_label("rank correlation")
        more = (
            f" ({len(self.names) - self.num_metrics} of {self.all} parameters)"
            if self.all > n - self.num_metrics
            else ""
        )
        axes.set_title(f"{shorten(self.sheet.title, 32)}: what goes together{more}", loc="left", x=0)

    def lines(self, width: int, *, colours: bool) -> list[str]:
        pad = max(len(shorten(n, 22)) for n in self.names)
        most = max(1, (width - pad - 2) // 8)
        columns = self.names[: max(self.num_metrics, most)]
        if len(columns) < len(self.names):  # then the metrics' columns alone
            columns = self.names[: self.num_metrics]
        cell = 6 if len(columns) > self.num_metrics else 14
        out = [
            f"{self.sheet.title}: rank correlation",
            "",
            " " * pad + "".join(f"  {shorten(c, cell):>{cell}}" for c in columns),
        ]
        for name, row in zip(self.names, self.rho, strict=True):
            cells = [
                ("·" if r is None or name == c else f"{r:.2f}").rjust(cell)
                for c, r in zip(columns, row[: len(columns)], strict=True)
            ]
            out.append(f"{shorten(name, 22).ljust(pad)}  " + "  ".join(cells))
        return out
