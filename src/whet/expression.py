"""Expressions over parameters: the one small language of conditions (`when`) and constraints.

Python's own syntax, parsed by `ast` and compiled to closures: comparisons (`in` too), `and or not`, arithmetic, literals,
lists, and `abs min max round int float log log2 log10 exp sqrt`. Names are parameters; `optimizer.lr` is the nested
parameter ``optimizer.lr``, `params["batch-size"]` one whose name is no identifier. There is no call, attribute or subscript
beyond these, and nothing is ever handed to `eval`.
"""

from __future__ import annotations

import ast
import contextlib
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from whet.errors import ExpressionError

__all__ = ["Expression", "parse", "syntax"]

_Node = Callable[[Mapping[str, object]], object]


def _round(value: float, digits: int = 0) -> float:
    if abs(digits) > 400:  # round(5, -10**9) would fill the memory
        raise ValueError(f"round to {digits} digits")
    return round(value, digits) if digits else round(value)


_FUNCTIONS: dict[str, Callable[..., object]] = {
    "abs": abs, "min": min, "max": max, "round": _round, "int": int, "float": float,
    "log": math.log, "log2": math.log2, "log10": math.log10, "exp": math.exp, "sqrt": math.sqrt,
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.eq, ast.IsNot: operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    # As floats, so that 9**9**9 overflows at once instead of filling the memory.
    ast.Pow: lambda a, b: float(a) ** float(b),
}  # fmt: skip
_LONGEST = 2000
_DEEPEST = 400  # far from where Python's own stack ends, wherever a library has moved that


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A parsed expression: call it with a mapping of parameter values.

    Example:
        >>> parse("batch * accumulate <= 512")({"batch": 64, "accumulate": 4})
        True
    """

    source: str
    names: frozenset[str]
    _node: _Node

    def __call__(self, values: Mapping[str, object]) -> object:
        """Return the value for `values`.

        Raises:
            ExpressionError: a name is missing, or the values have the wrong type.
        """
        try:
            return self._node(values)
        except KeyError as error:
            raise ExpressionError(
                f"{self.source!r} needs the parameter {error.args[0]!r}, which has no value"
            ) from None
        except (TypeError, ValueError, ArithmeticError) as error:
            raise ExpressionError(f"{self.source!r} can't be evaluated for {dict(values)}: {error}") from None
        except RecursionError:
            raise ExpressionError(f"{self.source!r} is nested too deeply", "write it with fewer brackets") from None

    def __str__(self) -> str:
        return self.source

    def __repr__(self) -> str:
        return f"parse({self.source!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __reduce__(self) -> tuple[object, ...]:
        return parse, (self.source,)


@lru_cache(maxsize=4096)
def parse(source: str) -> Expression:
    """Parse `source`.

    Args:
        source: At most 2,000 characters.

    Raises:
        ExpressionError: bad syntax, or syntax outside the language.
    """
    tree = syntax(source)
    names: set[str] = set()
    with _in(source):
        node = _compile(tree, names)
    return Expression(source.strip(), frozenset(names), node)


def syntax(source: str) -> ast.expr:
    """Return the syntax tree of `source`: neither too long nor too deep, and nothing in it judged yet.

    Raises:
        ExpressionError: it is not Python's syntax.
    """
    if len(source) > _LONGEST:
        raise ExpressionError(f"an expression of {len(source)} characters is too long", f"keep it under {_LONGEST}")
    with _in(source):
        tree = ast.parse(source.strip(), mode="eval")
        if _deeper(tree.body, _DEEPEST):
            raise ExpressionError("it is nested too deeply", "write it with fewer brackets")
        return tree.body


@contextlib.contextmanager
def _in(source: str) -> Iterator[None]:
    try:
        yield
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, ExpressionError):
            raise ExpressionError(f"in {source!r}: {error.problem}", error.fix) from None
        detail = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ExpressionError(
            f"{source!r} is not an expression ({detail})", "write one such as lr < 0.1 and depth >= 2"
        ) from None


def _deeper(node: ast.AST, most: int) -> bool:
    layer: list[ast.AST] = [node]
    for _ in range(most):
        layer = [child for parent in layer for child in ast.iter_child_nodes(parent)]
        if not layer:
            return False
    return True


def _compile(node: ast.expr, names: set[str]) -> _Node:
    match node:
        case ast.Constant(value=value) if value is None or isinstance(value, (bool, int, float, str)):
            return lambda values: value
        case ast.Name() | ast.Attribute() | ast.Subscript():
            name = _name(node)
            names.add(name)
            return lambda values: values[name]
        case ast.List(elts=elts) | ast.Tuple(elts=elts) | ast.Set(elts=elts):
            parts = [_compile(e, names) for e in elts]
            return lambda values: [part(values) for part in parts]
        case ast.BoolOp(op=op, values=operands):
            parts = [_compile(e, names) for e in operands]
            if isinstance(op, ast.And):
                return lambda values: all(part(values) for part in parts)
            return lambda values: any(part(values) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            part = _compile(operand, names)
            return lambda values: not part(values)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            part = _compile(operand, names)
            return lambda values: -_number(part(values))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            part = _compile(operand, names)
            return lambda values: _number(part(values))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            a, b, do = _compile(left, names), _compile(right, names), _ARITHMETIC[type(op)]
            return lambda values: do(_number(a(values)), _number(b(values)))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            parts = [_compile(e, names) for e in (left, *comparators)]
            tests = [_COMPARE[type(op)] for op in ops]
            return lambda values: _chain([part(values) for part in parts], tests)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            t, yes, no = _compile(test, names), _compile(body, names), _compile(orelse, names)
            return lambda values: yes(values) if t(values) else no(values)
        case ast.Call(func=ast.Name(id=function), args=args, keywords=[]) if function in _FUNCTIONS:
            call, parts = _FUNCTIONS[function], [_compile(e, names) for e in args]
            return lambda values: call(*[part(values) for part in parts])
        case ast.Call(func=ast.Name(id=function)):
            raise ExpressionError(f"{function}() is not a function here", f"use one of {', '.join(_FUNCTIONS)}")
    raise ExpressionError(
        f"{ast.unparse(node)!r} is not allowed", "use parameters, literals, comparisons, and/or/not and arithmetic"
    )


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{_name(value)}.{attr}"
        case ast.Subscript(value=ast.Name(id="params"), slice=ast.Constant(value=str(name))):
            return name
    raise ExpressionError(f"{ast.unparse(node)!r} names no parameter", 'write name, group.name or params["name"]')


def _number(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return value


def _chain(values: list[object], tests: list[Callable[[Any, Any], bool]]) -> bool:
    return all(test(a, b) for test, a, b in zip(tests, values, values[1:], strict=False))
