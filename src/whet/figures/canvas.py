"""A canvas of text: curves and points in Braille dots between two axes with numbers, for any terminal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import final

from whet.figures.words import number

__all__ = ["Axis", "Canvas", "ticks"]

_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille cell: row by row, left and right
_BLANK = 0x2800


@final
class Axis:
    """A range of numbers, linear or logarithmic, stretched a little where it is a single point.

    Args:
        low, high: Finite; positive where `log`.
        log: Equal distances are equal factors.
    """

    def __init__(self, low: float, high: float, *, log: bool = False) -> None:
        self.log = log and low > 0
        if not low < high:
            low, high = (low / 2, low * 2) if self.log else (low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5))
        self.low, self.high = low, high

    def place(self, value: float) -> float:
        """Return where `value` lies: 0 at `low`, 1 at `high`; NaN where it has no place."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2)  # halves: lest the range overflow

    def value(self, place: float) -> float:
        """Return the value at a place."""
        if self.log:
            return float(self.low * (self.high / self.low) ** place)
        return self.low + place * (self.high - self.low)


def ticks(axis: Axis, most: int) -> list[float]:
    """Return up to `most` round values of an axis (at least one, if it holds any)."""
    if axis.log:
        first, last = math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high) + 1e-9)
        if last - first >= 1:
            every = max(1, math.ceil((last - first + 1) / max(most, 1)))
            return [10.0**n for n in range(first, last + 1, every)]
    span = axis.high - axis.low
    raw = span / max(most, 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * f for f in (1, 2, 5, 10) if unit * f >= raw * 0.999)
    lowest, highest = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [n * step for n in range(lowest, highest + 1)][:most] or [axis.low]


@final
class Canvas:
    """`width` × `height` characters with 2 × 4 dots each.

    Args:
        x, y: The axes.
        width, height: In characters, without labels.
    """

    def __init__(self, x: Axis, y: Axis, *, width: int = 60, height: int = 14) -> None:
        self.x, self.y = x, y
        self.width, self.height = max(width, 8), max(height, 3)
        self._dots = [[0] * self.width for _ in range(self.height)]
        self._marks: dict[tuple[int, int], str] = {}
        self._colours: dict[tuple[int, int], str] = {}

    def _at(self, x: float, y: float) -> tuple[int, int] | None:
        u, v = self.x.place(x), self.y.place(y)
        if math.isnan(u) or math.isnan(v):
            return None
        column = round(min(max(u, 0.0), 1.0) * (2 * self.width - 1))
        row = round((1 - min(max(v, 0.0), 1.0)) * (4 * self.height - 1))
        return column, row

    def point(self, x: float, y: float, colour: str = "") -> None:
        """Set a dot; what lies outside is drawn at the edge."""
        found = self._at(x, y)
        if found is not None:
            self._dot(*found, colour)

    def _dot(self, column: int, row: int, colour: str) -> None:
        cell = row // 4, column // 2
        self._dots[cell[0]][cell[1]] |= _BITS[row % 4][column % 2]
        if colour:
            self._colours[cell] = colour

    def mark(self, x: float, y: float, character: str, colour: str = "") -> None:
        """Put a whole character, over all dots there."""
        found = self._at(x, y)
        if found is not None:
            cell = found[1] // 4, found[0] // 2
            self._marks[cell] = character
            self._colours[cell] = colour

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str = "") -> None:
        """Draw straight lines from point to point; one that has no place leaves a gap."""
        places = [self._at(x, y) for x, y in zip(xs, ys, strict=True)]
        for one, other in itertools.pairwise(places):
            if one is None or other is None:
                continue
            count = max(abs(other[0] - one[0]), abs(other[1] - one[1]), 1)
            for i in range(count + 1):
                t = i / count
                self._dot(round(one[0] + t * (other[0] - one[0])), round(one[1] + t * (other[1] - one[1])), colour)
        if len(places) == 1 and places[0] is not None:
            self._dot(*places[0], colour)

    def steps(self, xs: Sequence[float], ys: Sequence[float], colour: str = "") -> None:
        """Draw stairs: each value holds until the next x."""
        flat_x: list[float] = []
        flat_y: list[float] = []
        for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if i:
                flat_x.append(x)
                flat_y.append(ys[i - 1])
            flat_x.append(x)
            flat_y.append(y)
        self.line(flat_x, flat_y, colour)

    def lines(self, *, colours: bool = False, x_label: str = "", y_label: str = "") -> list[str]:
        """Return the canvas with its axes, line by line.

        Args:
            colours: With ANSI colours.
            x_label, y_label: Below, and above.
        """
        shown = {}
        for value in ticks(self.y, max(2, self.height // 3)):
            place = self.y.place(value)
            if -1e-9 <= place <= 1 + 1e-9:
                shown[round((1 - place) * (self.height - 1))] = number(_round(value))
        pad = max((len(text) for text in shown.values()), default=0)
        out = [" " * pad + f"  {y_label}"] if y_label else []
        for row in range(self.height):
            cells = "".join(self._cell(row, column, colours) for column in range(self.width))
            out.append(f"{shown.get(row, '').rjust(pad)} {'┤' if row in shown else '│'}{cells}".rstrip())
        out.append(" " * pad + " └" + "─" * self.width)
        labels = [" "] * (self.width + pad + 12)
        end = -1
        for value in ticks(self.x, max(2, self.width // 12)):
            text, place = number(_round(value)), self.x.place(value)
            start = max(0, pad + 2 + round(place * (self.width - 1)) - len(text) // 2)
            if -1e-9 <= place <= 1 + 1e-9 and start > end:
                labels[start : start + len(text)] = text
                end = start + len(text)
        out.append("".join(labels).rstrip())
        if x_label:
            out.append(" " * (pad + 2) + x_label.center(self.width).rstrip())
        return out

    def _cell(self, row: int, column: int, colours: bool) -> str:
        dots = self._dots[row][column]
        text = self._marks.get((row, column)) or (chr(_BLANK + dots) if dots else " ")
        colour = self._colours.get((row, column), "")
        return f"\x1b[{_ANSI[colour]}m{text}\x1b[0m" if colours and colour and text != " " else text


_ANSI = {"blue": "34", "red": "31", "green": "32", "yellow": "33", "dim": "2", "cyan": "36", "magenta": "35"}


def _round(value: float) -> float:
    return float(f"{value:.10g}")
