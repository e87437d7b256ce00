"""Metrics from what a script prints: ``key: value`` and ``key=value``, alone on a line or several on one.

Read as a terminal shows it: colours are taken out, and of a progress bar that redraws itself only the last state counts.

- ``loss: 0.5`` alone on a line may have blanks in its key; elsewhere keys have none (``epoch 3 loss=0.52 - val_acc: 0.9``).
- ``step: 3``, ``Epoch 3/10``, ``iter=3`` set the step. The first such word that a script prints is the one it counts by (of
  several on one line the finest); others are metrics like any other.
- Without any, a key that comes again begins the next step.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import final

from whet.store.base import Row
from whet.track.readers.base import Reader, Rows

__all__ = ["LineReader", "metrics_of", "plain_line", "step_of"]

_NUMBER = r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)"
_ALONE = re.compile(rf"^\s*([A-Za-z_][\w ./-]*?)\s*[:=]\s*({_NUMBER})\s*%?\s*$", re.IGNORECASE)
_AMONG = re.compile(
    rf"(?<![\w./:-])([A-Za-z_][\w./-]*)\s*(?:=|:(?!//))\s*({_NUMBER})(?![\w:/]|\.\w|-\d)", re.IGNORECASE
)
_STEP = re.compile(
    r"(?<![\w./-])(global[_ ]?step|step|iteration|iter|epoch)s?\s*[:=#\[(]?\s*(\d+)(?![\w.]|:\d)", re.IGNORECASE
)
_STEP_IN_KEY = re.compile(_STEP.pattern + r"(?:\s*/\s*\d+)?", re.IGNORECASE)
_FINENESS = ("globalstep", "step", "iteration", "iter", "epoch")
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_PLACE = re.compile(r"\.(?:py|ipynb|c|cc|cpp|cu|h|hpp|rs|go|js|ts)$")  # file.py:10 is a place in the source
_LONGEST = 1 << 16
_PIECE_BYTES = 4 << 20


def plain_line(line: str) -> str:
    """Return what a terminal shows of a line: no colours, and only what follows the last carriage return."""
    shown = [part for part in _ESCAPE.sub("", line).split("\r") if part.strip()]
    return shown[-1] if shown else ""


def step_of(line: str) -> dict[str, int]:
    """Return the step words of a plain line with their numbers, the finest first."""
    found: dict[str, int] = {}
    for match in _STEP.finditer(line):
        found.setdefault(re.sub(r"[_ ]", "", match[1].lower()), int(match[2]))
    return {word: found[word] for word in _FINENESS if word in found}


def metrics_of(line: str) -> dict[str, float]:
    """Return the metrics of a plain line.

    Example:
        >>> metrics_of("epoch 3 loss=0.52 - val_acc: 91.5%")
        {'loss': 0.52, 'val_acc': 91.5}
    """
    alone = _ALONE.match(line)
    if alone and not _PLACE.search(alone[1]):
        # In "epoch 3/10 - train loss: 0.5" the key begins behind the step.
        key = _STEP_IN_KEY.sub(" ", alone[1]).strip(" -/.")
        return {key: float(alone[2])} if key else {}
    return {match[1]: float(match[2]) for match in _AMONG.finditer(line) if not _PLACE.search(match[1])}


@final
class LineReader(Reader):
    """Reads metrics from the output of a script."""

    def __init__(self, path: Path, offset: int = 0, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, offset, clock=clock)
        self._word: str | None = None
        self._step = 0
        self._seen: set[str] = set()
        if offset:
            for _ in self._rows_of(self.bytes_from(0, offset)):
                pass

    def read(self, *, final: bool = False) -> Rows:
        start = self.offset
        data = self.bytes_from(start, _PIECE_BYTES)
        if not (final and len(data) < _PIECE_BYTES):
            cut = data.rfind(b"\n") + 1
            data = data[:cut] if cut or len(data) < _PIECE_BYTES else data
        rows = tuple(self._rows_of(data))
        self.offset = start + len(data)
        return Rows(rows=rows, start=start, end=self.offset)

    def _rows_of(self, data: bytes) -> Iterator[Row]:
        for raw in data.split(b"\n"):
            line = plain_line(raw[-_LONGEST:].decode("utf-8", errors="replace"))
            values = self._values(line)
            if not values:
                continue
            if self._word is None and not self._seen.isdisjoint(values):
                self._step += 1
                self._seen.clear()
            self._seen |= values.keys()
            yield Row(step=self._step, time=self.clock(), values=values)

    def _values(self, line: str) -> dict[str, float]:
        words = step_of(line)
        if self._word is None and words:
            self._word = next(iter(words))
        values = metrics_of(line)
        if self._word is not None:
            self._step = words.get(self._word, self._step)
            values = {k: v for k, v in values.items() if re.sub(r"[_ ]", "", k.lower()) != self._word}
        return values
