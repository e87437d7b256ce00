"""Filters over runs: which rows of the run table are wanted, in the syntax of `whet.expression`.

``val_loss < 0.3 and config.optimizer == "adam"``: comparisons of columns with literals or columns, `in`, `and or not`, brackets.
Here they are parsed into values; a store turns them into SQL, `matches` evaluates them in Python, and both agree
(`docs/filters.md` is the language's description).

A column has a number, a text, or nothing: what is missing, a list, a mapping, NaN and the infinities are nothing. Nothing
equals nothing and is in no order; ``x == None`` asks for it. A number and a text are never equal and in no order either.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from whet.errors import ExpressionError, UnknownName
from whet.expression import syntax

__all__ = [
    "BUILT_IN",
    "PLACES",
    "STATES",
    "STATS",
    "And",
    "Column",
    "Compare",
    "Contains",
    "Missing",
    "Node",
    "Not",
    "Or",
    "Tagged",
    "Truth",
    "column",
    "matches",
    "parse",
    "scalar",
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

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")
_COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the run table.

    Args:
        place: One of `PLACES`, or "" for those of `BUILT_IN`.
        name: The key there; may have dots (``optimizer.lr``).
        stat: One of `STATS`, for metrics only; "" is the result.

    Example:
        >>> column("val_loss.min"), column("config.lr").name
        (Column(place='metrics', name='val_loss', stat='min'), 'lr')
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


def column(text: str) -> Column:
    """Return the column called `text`: ``state``, ``val_loss``, ``val_loss.min``, ``config.lr``, ``metrics["val/loss"].max``.

    A name that is no identifier may also stand as it is here, where no expression is around it: ``config.batch-size``, ``val/loss``.

    Raises:
        ExpressionError: it is empty.
    """
    text = text.strip()
    if not text:
        raise ExpressionError("a column without a name", f"give one of {', '.join(BUILT_IN)}, a metric or config.NAME")
    try:
        return _column(syntax(text))
    except ExpressionError:
        return _named(text)


def parse(source: str, *, now: float) -> Node | None:
    """Return the filter, or None where `source` is empty: every run.

    Args:
        source: At most 2,000 characters.
        now: Seconds since the epoch, from which ages (``created > "7d"``) count back.

    Raises:
        ExpressionError: it is not of the language; says where.

    Example:
        >>> parse("loss < 0.3 and not best", now=0.0)
        And(parts=(Compare(left=Column(place='metrics', name='loss', stat=''), op='<', right=0.3),
                   Not(part=Truth(column=Column(place='', name='best', stat='')))))
    """
    if not source.strip():
        return None
    tree = syntax(source)
    try:
        return _Reader(now).node(tree)
    except UnknownName as error:
        raise ExpressionError(f"in {source!r}: {error.problem}", error.fix) from None
    except ExpressionError as error:
        raise ExpressionError(f"in {source!r}: {error.problem}", error.fix) from None


def scalar(value: object) -> float | str | None:
    """Return what a filter sees of `value`: a finite number, a text, or None.

    Example:
        >>> [scalar(v) for v in (True, 2, "adam", float("nan"), [1, 2])]
        [1, 2, 'adam', None, None]
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str) else None


def matches(node: Node | None, look: Callable[[Column], object], tags: tuple[str, ...]) -> bool:
    """Return whether a run is wanted; `look` returns what it has in a column."""
    match node:
        case None:
            return True
        case And(parts):
            return all(matches(part, look, tags) for part in parts)
        case Or(parts):
            return any(matches(part, look, tags) for part in parts)
        case Not(part):
            return not matches(part, look, tags)
        case Missing(which):
            return scalar(look(which)) is None
        case Truth(which):
            return bool(scalar(look(which)))
        case Tagged(tag):
            return tag in tags
        case Contains(which, part):
            value = scalar(look(which))
            return isinstance(value, str) and part in value
        case Compare(left, op, right):
            return _holds(scalar(look(left)), op, scalar(look(right) if isinstance(right, Column) else right))


def _holds(a: Any, op: str, b: Any) -> bool:
    if a is None or b is None or isinstance(a, str) is not isinstance(b, str):
        return False
    return bool({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b}[op])


class _Reader:
    """Reads a syntax tree."""

    def __init__(self, now: float) -> None:
        self._now = now

    def node(self, tree: ast.expr) -> Node:
        match tree:
            case ast.BoolOp(op=op, values=values):
                parts = tuple(self.node(value) for value in values)
                return And(parts) if isinstance(op, ast.And) else Or(parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Not(self.node(operand))
            case ast.Compare(left=left, ops=ops, comparators=rest):
                sides = [left, *rest]
                parts = tuple(self._pair(a, op, b) for a, op, b in zip(sides, ops, rest, strict=False))
                return parts[0] if len(parts) == 1 else And(parts)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                found = _column(tree)
                if found.kind in ("tags", "a time", "a state"):
                    raise ExpressionError(
                        f"{ast.unparse(tree)} alone says nothing", f"compare it, as in {_EXAMPLES[found.kind]}"
                    )
                return Truth(found)
        raise _not_allowed(tree)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Node:
        if isinstance(op, (ast.In, ast.NotIn)):
            inside = self._inside(left, right)
            return Not(inside) if isinstance(op, ast.NotIn) else inside
        if isinstance(op, (ast.Is, ast.IsNot)):
            sign = "==" if isinstance(op, ast.Is) else "!="
        else:
            sign = _COMPARE[type(op)]
        a, b = _operand(left), _operand(right)
        if not isinstance(a, Column):
            a, b, sign = b, a, _TURNED[sign]
        if not isinstance(a, Column):
            raise ExpressionError(
                f"{ast.unparse(left)} and {ast.unparse(right)} are both literals", "compare a column with something"
            )
        return self._compare(a, sign, b)

    def _compare(self, left: Column, sign: str, right: Column | float | str | None) -> Node:
        if sign == "!=":
            return Not(self._compare(left, "==", right))
        if left.kind == "tags" or (isinstance(right, Column) and right.kind == "tags"):
            raise ExpressionError("tags are several", 'ask for one, as in "best" in tags')
        if right is None:
            if sign != "==":
                raise ExpressionError(f"None is in no order, so {sign} None says nothing", "write == None or != None")
            return Missing(left)
        return Compare(left, sign, right if isinstance(right, Column) else self._literal(left, right))

    def _inside(self, left: ast.expr, right: ast.expr) -> Node:
        if isinstance(right, (ast.List, ast.Tuple, ast.Set)):
            wanted = _operand(left)
            if not isinstance(wanted, Column):
                raise ExpressionError(f"{ast.unparse(left)} is no column", 'write as in state in ["failed", "running"]')
            return Or(tuple(self._compare(wanted, "==", _operand(one)) for one in right.elts))
        part, where = _operand(left), _operand(right)
        if not isinstance(where, Column) or not isinstance(part, str):
            raise ExpressionError(
                f"{ast.unparse(left)} in {ast.unparse(right)} says nothing",
                'write "best" in tags, "part" in name, or config.optimizer in ["adam", "sgd"]',
            )
        if where.kind == "tags":
            return Tagged(part)
        if where.kind not in ("text", "anything"):
            raise ExpressionError(
                f"{where.name} is {where.kind}, not text", f"compare it, as in {_EXAMPLES[where.kind]}"
            )
        return Contains(where, part)

    def _literal(self, left: Column, value: float | str) -> float | str:
        """Return the value as the column holds it: times and durations in seconds."""
        kind = left.kind
        if kind == "a time" and isinstance(value, str):
            return self._time(left.name, value)
        if kind == "a duration" and isinstance(value, str):
            return _duration(value)
        if kind == "a state":
            if value not in STATES:
                raise UnknownName.of("state", str(value), STATES)
            return value
        if kind in ("text",) and not isinstance(value, str):
            raise ExpressionError(f"{left.name} is text, got {value!r}", f'write it in quotes: "{value}"')
        if kind in ("a number", "a time", "a duration") and isinstance(value, str):
            raise ExpressionError(f"{left.name} is {kind}, got {value!r}", "leave the quotes away")
        return value

    def _time(self, name: str, text: str) -> float:
        age = _AGE.fullmatch(text)
        if age:
            return self._now - float(age[1]) * _SECONDS[age[2]]
        try:
            when = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ExpressionError(
                f"{name} is a time, got {text!r}",
                'give a date such as "2026-03-01" or "2026-03-01T12:00" (UTC), or an age such as "7d" or "12h"',
            ) from None
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


_EXAMPLES = {
    "a time": 'created > "7d"',
    "a state": 'state == "failed"',
    "tags": '"best" in tags',
    "a number": "number < 10",
    "a duration": 'duration > "2h"',
}


def _not_allowed(tree: ast.expr) -> ExpressionError:
    where = f" (at character {tree.col_offset + 1})" if tree.lineno == 1 else ""
    return ExpressionError(
        f"{ast.unparse(tree)!r}{where} is not allowed",
        'use columns, numbers, texts in quotes, < <= > >= == !=, in, and or not, as in loss < 0.3 and "best" in tags',
    )


def _duration(text: str) -> float:
    found = _AGE.fullmatch(text)
    if not found:
        raise ExpressionError(f"duration is compared with {text!r}", 'give seconds, or as in "90s", "15m", "2h", "1d"')
    return float(found[1]) * _SECONDS[found[2]]


def _operand(tree: ast.expr) -> Column | float | str | None:
    match tree:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=bool(value)):
            return int(value)
        case ast.Constant(value=value) if isinstance(value, (int, float, str)):
            if isinstance(value, str):
                return value
            return _finite(value, tree)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value) | float(value))):
            return _finite(-value, tree)
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return _column(tree)
    raise _not_allowed(tree)


def _finite(value: float, tree: ast.expr) -> float:
    if abs(value) > 1e308:
        raise ExpressionError(f"{ast.unparse(tree)} is too large", "give a number below 1e308")
    return value


def _column(tree: ast.expr) -> Column:
    match tree:
        case ast.Subscript(value=ast.Name(id=place), slice=ast.Constant(value=str(name))):
            if place not in PLACES:
                raise UnknownName.of("place", place, PLACES)
            return Column(place, name)
        case ast.Attribute(value=ast.Subscript() as inner, attr=stat):
            found = _column(inner)
            if found.place == "metrics" and stat in STATS:
                return Column("metrics", found.name, stat)
            if found.place == "metrics":
                raise UnknownName.of("statistic", stat, STATS)
            return Column(found.place, f"{found.name}.{stat}")
        case ast.Name() | ast.Attribute():
            return _named(_dotted(tree))
    raise _not_allowed(tree)


def _dotted(tree: ast.expr) -> str:
    match tree:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_dotted(value)}.{name}"
    raise _not_allowed(tree)


def _named(text: str) -> Column:
    if text in BUILT_IN:
        return Column("", text)
    place, _, name = text.partition(".")
    if name and place in PLACES and place != "metrics":
        return Column(place, name)
    metric = name if name and place == "metrics" else text
    start, _, stat = metric.rpartition(".")
    return Column("metrics", start, stat) if start and stat in STATS else Column("metrics", metric)
