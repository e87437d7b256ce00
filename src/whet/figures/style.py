"""How figures look on paper: one calm style, whatever the user's matplotlib is set to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whet.errors import MissingDependency
from whet.figures.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ACCENT",
    "BAD",
    "GOOD",
    "GREY",
    "INK",
    "LIGHT",
    "SEQUENCE",
    "STOPPED",
    "label",
    "new_figure",
    "numbers",
    "panels",
    "save",
    "shorten",
    "style",
    "whole",
]

INK, GREY, LIGHT = "#1f2933", "#8793a1", "#dde3ea"
ACCENT, STOPPED, BAD, GOOD = "#2463c2", "#d08a1d", "#c43d3d", "#2a8f5b"
SEQUENCE = ("#f3f6fb", "#c6d8f0", "#86aede", "#4a82c8", "#2459a3", "#12346b")

_STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "text.parse_math": False,  # a $ in a name is a dollar
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "whet",
    "figure.constrained_layout.use": True,
}


@contextmanager
def style() -> Iterator[None]:
    """Hold the style for what is drawn within.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingDependency.of("matplotlib", "plot", "a figure as a file") from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches; it belongs to no window and needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as its file's ending says; the same figure gives the same bytes."""
    kind = path.suffix.lower().removeprefix(".")
    empty = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(path, format=kind, dpi=160, metadata=empty.get(kind))


def panels(figure: Figure, count: int, most_columns: int = 3) -> list[Axes]:
    """Return `count` axes in rows."""
    columns = min(count, most_columns)
    rows = -(-count // columns)
    return [figure.add_subplot(rows, columns, i + 1) for i in range(count)]


def numbers(axes: Axes, which: str = "xy", *, log: str = "") -> None:
    """Have the axes' ticks in Whet's numbers: 0.001 and not 10⁻³, 4 digits; the axes in `log` are logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    for name in which:
        axis = axes.xaxis if name == "x" else axes.yaxis
        if name in log:
            (axes.set_xscale if name == "x" else axes.set_yscale)("log")
            low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
            if low > 0 and high / low >= 20:
                axis.set_major_locator(LogLocator(numticks=7))
                axis.set_minor_formatter(NullFormatter())
            else:
                axis.set_major_locator(MaxNLocator(5))
                axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda x, _: number(float(f"{x:.10g}"))))


def whole(axes: Axes) -> None:
    """Have ticks of the x axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))


def shorten(text: str, most: int = 24) -> str:
    """Return `text`, with its middle left out where it is too long."""
    text = "".join(c if c.isprintable() else "·" for c in text)
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-(most - 1 - half) :]}"


def label(values: Sequence[object], most: int = 14) -> list[str]:
    """Return options of a choice as ticks name them."""
    return [shorten(number(v) if isinstance(v, float) else str(v), most) for v in values]
