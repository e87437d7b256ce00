"""Where in which text something stands, so that every error can say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from whet.errors import ConfigError, UnknownName, WhetError

__all__ = ["Keys", "Place"]

Keys = tuple[str | int, ...]


def _no_lines() -> Mapping[Keys, int]:
    return {}


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a sweep file or mapping.

    Args:
        source: The file, or ``<config>``.
        path: Keys and indices from the top.
        lines: Called only when an error needs it: 1-based lines by path.
    """

    source: str = "<config>"
    path: Keys = ()
    lines: Callable[[], Mapping[Keys, int]] = _no_lines

    def at(self, *keys: str | int) -> Place:
        """Return the place below this one."""
        return Place(self.source, (*self.path, *keys), self.lines)

    def on(self, line: int) -> Place:
        """Return this place, known to stand on `line`."""
        return Place(self.source, self.path, lambda: {self.path: line})

    def __str__(self) -> str:
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path)
        return text.removeprefix(".")

    @property
    def line(self) -> int | None:
        """The line of this place or of the nearest one around it, or None."""
        lines = self.lines()
        return next((lines[self.path[:n]] for n in range(len(self.path), -1, -1) if self.path[:n] in lines), None)

    def error(self, problem: str, fix: str = "", **facts: object) -> ConfigError:
        """Return the error that names source, line and path: ``sweep.yaml:7: parameters.lr.min: 1 is not …``."""
        line, path = self.line, str(self)
        where = self.source if line is None else f"{self.source}:{line}"
        return ConfigError(
            f"{where}: {path}: {problem}" if path else f"{where}: {problem}",
            fix,
            **{**facts, "source": self.source, "line": line, "path": path},
        )

    def wrap(self, error: WhetError) -> ConfigError:
        """Return the error of a lower floor, told where it happened."""
        return self.error(error.problem, error.fix, **error.facts)

    def unknown(self, kind: str, name: str, known: Iterable[str]) -> ConfigError:
        """Return the error for a `name` that is not among `known`, the nearest first."""
        return self.wrap(UnknownName.of(kind, name, known))
