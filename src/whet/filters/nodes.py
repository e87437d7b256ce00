"""What filters are made of: columns, and conditions on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = [
    "And",
    "BUILT_IN",
    "Column",
    "Compare",
    "Contains",
    "Missing",
    "Node",
    "Not",
    "Or",
    "PLACES",
    "STATES",
    "STATS",
    "Tagged",
    "Truth",
]

STATES = ("pending", "running", "paused", "finished", "stopped", "failed", "canceled")
"""What `state` can be; a trial that was stopped early is "stopped" and not "finished"."""
STATS = ("last", "last_step", "min", "min_step", "max", "max_step", "count")
"""What is known of a metric; without one of these words a metric's name is its result (the summary's, else the last value)."""
PLACES = ("metrics", "config", "params", "summary", "attrs")
"""Where names that are not built in can be."""
BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("id", "name", "project", "sweep", "group", "notes", "reason"), "text"),
        **dict.fromkeys(("number", "attempt", "value", "best", "stopped"), "a number"),
        **dict.fromkeys(("created", "started", "ended"), "a time"),
        "duration": "a duration",
        "state": "a state",
        "tags": "tags",
    }
)
"""The columns that every run has, and what they hold."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the run table.

    Args:
        place: One of `PLACES`, or "" for those of `BUILT_IN`.
        name: The key there; may have dots (``optimizer.lr``).
        stat: One of `STATS`, for metrics only; "" is the result.
    """

    place: str
    name: str
    stat: str = ""

    @property
    def kind(self) -> str:
        """What it holds: a word of `BUILT_IN`, or "anything"."""
        return BUILT_IN[self.name] if not self.place else "anything"


@dataclass(frozen=True, slots=True)
class Compare:
    """``left op right``, where op is one of < <= > >= ==; right is a number, a text or a column."""

    left: Column
    op: str
    right: Column | float | str


@dataclass(frozen=True, slots=True)
class Missing:
    """The column has neither a number nor a text."""

    column: Column


@dataclass(frozen=True, slots=True)
class Truth:
    """The column has a number that is not 0, or a text that is not empty."""

    column: Column


@dataclass(frozen=True, slots=True)
class Contains:
    """The column has a text with `part` in it."""

    column: Column
    part: str


@dataclass(frozen=True, slots=True)
class Tagged:
    """The run has the tag."""

    tag: str


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The other runs."""

    part: Node


Node = Compare | Missing | Truth | Contains | Tagged | And | Or | Not
