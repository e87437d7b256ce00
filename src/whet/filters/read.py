"""Filters are read: a syntax tree becomes conditions, or an error that says where and what is known."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime

from whet.errors import ExpressionError, UnknownName
from whet.expression import syntax
from whet.filters.nodes import (
    BUILT_IN,
    PLACES,
    STATES,
    STATS,
    And,
    Column,
    Compare,
    Contains,
    Missing,
    Node,
    Not,
    Or,
    Tagged,
    Truth,
)

__all__ = ["column", "parse"]

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")
_COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def column(text: str) -> Column:
    """Return the column called `text`: ``state``, ``val_loss``, ``val_loss.min``, ``config.lr``, ``metrics["val/loss"].max``.

    A name that is no identifier may also stand as it is here, where no expression is around it: ``config.batch-size``, ``val/loss``.

    Raises:
        ExpressionError: it is empty.

    Example:
        >>> column("val_loss.min"), column("config.lr").name
        (Column(place='metrics', name='val_loss', stat='min'), 'lr')
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
        age = _seconds(text)
        if age is not None:
            return self._now - age
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


def _seconds(text: str) -> float | None:
    found = _AGE.fullmatch(text)
    return float(found[1]) * _SECONDS[found[2]] if found else None


def _duration(text: str) -> float:
    found = _seconds(text)
    if found is None:
        raise ExpressionError(f"duration is compared with {text!r}", 'give seconds, or as in "90s", "15m", "2h", "1d"')
    return found


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
