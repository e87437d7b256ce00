"""What an expression can be where its parameters lie in boxes: interval arithmetic over the language of `whet.expression`.

The law: whatever value an expression has at a point of the box, its bounds contain it. What can't be said is `ANYTHING`.
"""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from whet.expression import Expression, parse

__all__ = ["ANYTHING", "Among", "Anything", "Bounds", "Range", "bounds_of", "truth"]


@dataclass(frozen=True, slots=True)
class Range:
    """Any number from `low` to `high`."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Among:
    """One of a few values."""

    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Anything:
    """Nothing is known."""


Bounds = Range | Among | Anything
_Node = Callable[[Mapping[str, Bounds]], Bounds]

ANYTHING = Anything()
_YES, _NO, _MAYBE = Among((True,)), Among((False,)), Among((False, True))
_MOST = 64  # combinations of values that are gone through one by one
_FUNCTIONS = {"abs", "min", "max", "round", "int", "float", "log", "log2", "log10", "exp", "sqrt"}
_RISING = {"round": round, "int": int, "float": float, "log": math.log, "log2": math.log2, "log10": math.log10,
           "exp": math.exp, "sqrt": math.sqrt}  # fmt: skip
_ROUNDED = {"log", "log2", "log10", "exp", "sqrt"}  # a library may be wrong by a unit in the last place


def truth(bounds: Bounds) -> bool | None:
    """Return whether all values in `bounds` are true, or none is; None if that can't be said."""
    if isinstance(bounds, Among):
        found = {bool(value) for value in bounds.values}
        return found.pop() if len(found) == 1 else None
    if isinstance(bounds, Range):
        return True if bounds.low > 0 or bounds.high < 0 else None
    return None


def bounds_of(rule: Expression, domain: Mapping[str, Bounds]) -> Bounds:
    """Return what `rule` can be where its parameters are within `domain`.

    Example:
        >>> bounds_of(parse("x * x + 1"), {"x": Range(-1.0, 2.0)})
        Range(low=-1.0, high=5.0)
    """
    return _compiled(rule.source)(domain)


@lru_cache(maxsize=4096)
def _compiled(source: str) -> _Node:
    return _compile(ast.parse(source, mode="eval").body)


def _compile(node: ast.expr) -> _Node:
    match node:
        case ast.Constant(value=value):
            constant = Among((value,))
            return lambda domain: constant
        case ast.Name() | ast.Attribute() | ast.Subscript():
            (name,) = parse(ast.unparse(node)).names
            return lambda domain: domain.get(name, ANYTHING)
        case ast.BoolOp(op=op, values=operands):
            parts = [_compile(e) for e in operands]
            stops = isinstance(op, ast.Or)  # the value that decides
            return lambda domain: _joined([truth(part(domain)) for part in parts], stops)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            part = _compile(operand)
            return lambda domain: _flipped(part(domain))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [left, *comparators]
            tests = [_test(a, op, b) for a, op, b in zip(sides, ops, comparators, strict=False)]
            return lambda domain: _joined([truth(test(domain)) for test in tests], False)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            t, yes, no = _compile(test), _compile(body), _compile(orelse)
            return lambda domain: _either(truth(t(domain)), yes(domain), no(domain))
        case ast.UnaryOp() | ast.BinOp() | ast.Call():
            inner = [node.operand] if isinstance(node, ast.UnaryOp) else (
                [node.left, node.right] if isinstance(node, ast.BinOp) else node.args
            )  # fmt: skip
            parts = [_compile(e) for e in inner]
            of_values, of_ranges = _by_value(node, len(parts)), _by_range(node)
            return lambda domain: _applied([part(domain) for part in parts], of_values, of_ranges)
    return lambda domain: ANYTHING


def _by_value(node: ast.expr, count: int) -> Callable[..., object]:
    """Return the operation of `node` alone, as a function of its operands' values."""
    names = [f"p{i}" for i in range(count)]
    holes: list[ast.expr] = [ast.Name(id=name) for name in names]
    if isinstance(node, ast.UnaryOp):
        alone: ast.expr = ast.UnaryOp(op=node.op, operand=holes[0])
    elif isinstance(node, ast.BinOp):
        alone = ast.BinOp(left=holes[0], op=node.op, right=holes[1])
    elif isinstance(node, ast.Compare):
        alone = ast.Compare(left=holes[0], ops=node.ops, comparators=[holes[1]])
    else:
        assert isinstance(node, ast.Call)
        alone = ast.Call(func=node.func, args=holes, keywords=[])
    rule = parse(ast.unparse(alone))
    return lambda *values: rule(dict(zip(names, values, strict=True)))


def _applied(parts: list[Bounds], of_values: Callable[..., object], of_ranges: Callable[..., Bounds]) -> Bounds:
    sets = [part.values for part in parts if isinstance(part, Among)]
    try:
        if len(sets) == len(parts) and math.prod(map(len, sets)) <= _MOST:
            return Among(tuple(of_values(*values) for values in itertools.product(*sets)))
        ranges = [_range(part) for part in parts]
        if any(one is None for one in ranges):
            return ANYTHING
        found = of_ranges(*ranges)
    except Exception:  # what can't be evaluated somewhere may be anything
        return ANYTHING
    is_nan = isinstance(found, Range) and (math.isnan(found.low) or math.isnan(found.high))
    return ANYTHING if is_nan else found


def _range(part: Bounds) -> Range | None:
    if isinstance(part, Among):
        if not all(isinstance(v, (int, float)) and v == v for v in part.values):
            return None
        numbers: Any = part.values
        return Range(min(numbers), max(numbers))
    return part if isinstance(part, Range) else None


def _by_range(node: ast.expr) -> Callable[..., Bounds]:
    match node:
        case ast.UnaryOp(op=ast.USub()):
            return lambda a: Range(-a.high, -a.low)
        case ast.UnaryOp(op=ast.UAdd()):
            return lambda a: a
        case ast.BinOp(op=ast.Add()):
            return lambda a, b: Range(a.low + b.low, a.high + b.high)
        case ast.BinOp(op=ast.Sub()):
            return lambda a, b: Range(a.low - b.high, a.high - b.low)
        case ast.BinOp(op=ast.Mult()):
            return lambda a, b: _corners(a, b, lambda x, y: x * y)
        case ast.BinOp(op=ast.Div()):
            return lambda a, b: ANYTHING if b.low <= 0 <= b.high else _corners(a, b, lambda x, y: x / y)
        case ast.BinOp(op=ast.FloorDiv()):
            return lambda a, b: ANYTHING if b.low <= 0 <= b.high else _corners(a, b, lambda x, y: x // y)
        case ast.BinOp(op=ast.Mod()):
            return _remainder
        case ast.BinOp(op=ast.Pow()):
            return _power
        case ast.Call(func=ast.Name(id="abs")):
            return lambda a: Range(
                0 if a.low <= 0 <= a.high else min(abs(a.low), abs(a.high)), max(abs(a.low), abs(a.high))
            )
        case ast.Call(func=ast.Name(id=("min" | "max") as name)):
            pick = min if name == "min" else max
            return lambda *all_: Range(pick(r.low for r in all_), pick(r.high for r in all_))
        case ast.Call(func=ast.Name(id=name), args=[_]) if name in _RISING:
            rise: Any = _RISING[name]
            if name in _ROUNDED:
                return lambda a: _widened(Range(rise(a.low), rise(a.high)))
            return lambda a: Range(rise(a.low), rise(a.high))
    return lambda *_: ANYTHING


def _corners(a: Range, b: Range, do: Callable[[float, float], float]) -> Range:
    found = [do(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range(math.nan, math.nan) if any(v != v for v in found) else Range(min(found), max(found))


def _remainder(a: Range, b: Range) -> Bounds:
    if b.low <= 0:
        return ANYTHING
    if b.low == b.high and type(a.low) is type(a.high) is type(b.low) is int and a.low // b.low == a.high // b.low:
        return Range(a.low % b.low, a.high % b.low)
    return Range(0, b.high)


def _power(a: Range, b: Range) -> Bounds:
    if a.low > 0:  # in each argument it only rises or only falls
        return _widened(_corners(a, b, lambda x, y: float(x) ** float(y)))
    if b.low == b.high and b.low > 0 and float(b.low).is_integer():
        ends = [float(a.low) ** b.low, float(a.high) ** b.low]
        found = _widened(Range(min(ends), max(ends)))
        return found if b.low % 2 else Range(0.0 if a.high >= 0 else max(found.low, 0.0), found.high)
    return ANYTHING


def _widened(a: Range) -> Range:
    low, high = float(a.low), float(a.high)
    return Range(low - 4 * math.ulp(low), high + 4 * math.ulp(high))


def _joined(found: list[bool | None], stops: bool) -> Bounds:
    if stops in found:
        return _YES if stops else _NO
    return _MAYBE if None in found else (_NO if stops else _YES)


def _flipped(part: Bounds) -> Bounds:
    found = truth(part)
    return _MAYBE if found is None else (_NO if found else _YES)


def _either(test: bool | None, yes: Bounds, no: Bounds) -> Bounds:
    if test is not None:
        return yes if test else no
    if isinstance(yes, Among) and isinstance(no, Among):
        return Among(yes.values + no.values)
    a, b = _range(yes), _range(no)
    return ANYTHING if a is None or b is None else Range(min(a.low, b.low), max(a.high, b.high))


def _test(left: ast.expr, op: ast.cmpop, right: ast.expr) -> _Node:
    """Return the bounds of one comparison."""
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(right, (ast.List, ast.Tuple, ast.Set)):
            return lambda domain: _MAYBE
        member, options = _compile(left), [_compile(option) for option in right.elts]
        same = [_test(left, ast.Eq(), option) for option in right.elts]

        def contained(domain: Mapping[str, Bounds]) -> Bounds:
            one, others = member(domain), [option(domain) for option in options]
            if isinstance(one, Among) and all(isinstance(other, Among) and len(other.values) == 1 for other in others):
                listed = [other.values[0] for other in others if isinstance(other, Among)]
                return Among(tuple(value in listed for value in one.values))
            return _joined([truth(test(domain)) for test in same], True)

        return contained if isinstance(op, ast.In) else lambda domain: _flipped(contained(domain))
    a, b = _compile(left), _compile(right)
    of_values = _by_value(ast.Compare(left=left, ops=[op], comparators=[right]), 2)
    if isinstance(op, (ast.Gt, ast.GtE)):
        strict = isinstance(op, ast.Gt)
        return lambda domain: _applied([a(domain), b(domain)], of_values, lambda x, y: _less(y, x, strict))
    if isinstance(op, (ast.Lt, ast.LtE)):
        strict = isinstance(op, ast.Lt)
        return lambda domain: _applied([a(domain), b(domain)], of_values, lambda x, y: _less(x, y, strict))
    equal = isinstance(op, (ast.Eq, ast.Is))
    return lambda domain: _applied([a(domain), b(domain)], of_values, lambda x, y: _equal(x, y, equal))


def _less(a: Range, b: Range, strict: bool) -> Bounds:
    if a.high < b.low or (not strict and a.high <= b.low):
        return _YES
    return _NO if a.low > b.high or (strict and a.low >= b.high) else _MAYBE


def _equal(a: Range, b: Range, equal: bool) -> Bounds:
    if a.high < b.low or b.high < a.low:
        return _NO if equal else _YES
    return _MAYBE
