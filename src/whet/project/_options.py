"""Options in a syntax tree: argparse's, click's, typer's, and the constants of a module."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from whet.project.inject import Passing

__all__ = [
    "UNKNOWN",
    "Found",
    "Kind",
    "Unknown",
    "argparse_options",
    "called",
    "click_options",
    "constant",
    "constants",
    "typer_options",
]


class Unknown(Enum):
    """A default that only running the script would tell."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


class Kind(Enum):
    """What values a flag takes."""

    INT = "int"
    FLOAT = "float"
    STR = "str"
    BOOL = "bool"
    LIST = "list"
    ANY = "any"

    @classmethod
    def of(cls, value: object) -> Kind:
        """Return the kind of a default."""
        match value:
            case bool():
                return cls.BOOL
            case int():
                return cls.INT
            case float():
                return cls.FLOAT
            case str():
                return cls.STR
            case list() | tuple():
                return cls.LIST
        return cls.ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An option as the script declares it."""

    options: tuple[str, ...]
    passing: Passing = Passing.VALUE
    kind: Kind = Kind.ANY
    default: object = UNKNOWN
    choices: tuple[object, ...] | None = None
    help: str = ""
    aliases: tuple[str, ...] = ()


_NO_NAMES: Mapping[str, object] = {}
_KINDS = {"int": Kind.INT, "float": Kind.FLOAT, "str": Kind.STR, "bool": Kind.BOOL, "Path": Kind.STR, "INT": Kind.INT,
          "FLOAT": Kind.FLOAT, "STRING": Kind.STR, "BOOL": Kind.BOOL, "IntRange": Kind.INT, "FloatRange": Kind.FLOAT,
          "list": Kind.LIST, "List": Kind.LIST}  # fmt: skip


def constant(node: ast.expr | None, named: Mapping[str, object] = _NO_NAMES) -> object:
    """Return the value of an expression of literals, names in `named` and arithmetic on numbers, or `UNKNOWN`."""
    if node is None:
        return UNKNOWN
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    if isinstance(node, ast.Name):
        return named.get(node.id, UNKNOWN)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = constant(node.operand, named)
        return -inner if isinstance(inner, (int, float)) else UNKNOWN
    if isinstance(node, ast.BinOp):
        return _arithmetic(node, named)
    return UNKNOWN


def _arithmetic(node: ast.BinOp, named: Mapping[str, object]) -> object:
    left, right = constant(node.left, named), constant(node.right, named)
    if not isinstance(left, (int, float)) or not isinstance(right, (int, float)) or max(abs(left), abs(right)) > 1e9:
        return UNKNOWN
    result: object = UNKNOWN
    try:
        match node.op:
            case ast.Add():
                result = left + right
            case ast.Sub():
                result = left - right
            case ast.Mult():
                result = left * right
            case ast.Div():
                result = left / right
            case ast.FloorDiv():
                result = left // right
            case ast.Pow() if abs(right) <= 64:
                result = left**right
    except (ArithmeticError, ValueError):
        return UNKNOWN
    return result if isinstance(result, (int, float)) and math.isfinite(result) else UNKNOWN


def constants(tree: ast.Module) -> dict[str, object]:
    """Return the first module-level assignment of each name where its value is known from the text, up to ``if __name__ == …``."""
    found: dict[str, object] = {}
    for node in tree.body:
        if isinstance(node, ast.If) and any(
            isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test)
        ):
            break
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name) and target.id not in found:
            found[target.id] = constant(value, found)
    return {name: value for name, value in found.items() if value is not UNKNOWN and _plain(value)}


def _plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(isinstance(v, (bool, int, float, str)) for v in value)
    return value is None or isinstance(value, (bool, int, float, str))


def called(node: ast.expr) -> str:
    """Return the last name of what is called or named: ``option`` of ``click.option(…)``; "" for anything else."""
    node = node.func if isinstance(node, ast.Call) else node
    node = node.value if isinstance(node, ast.Subscript) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {k.arg: k.value for k in call.keywords if k.arg is not None}


def _text(node: ast.expr | None) -> str:
    value = constant(node)
    return " ".join(value.split()) if isinstance(value, str) else ""


def _main_first(options: list[str]) -> list[str]:
    """Return the long spelling first: it names the flag."""
    return sorted(options, key=lambda option: not option.startswith("--"))


def _uses(tree: ast.Module, *packages: str) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(a.name.partition(".")[0] in packages for a in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in packages:
            return True
    return False


def argparse_options(tree: ast.Module, named: Mapping[str, object]) -> Iterator[Found | None]:
    """Yield what ``add_argument`` declares on any parser; None where a name is computed or unknown options are let through."""
    if not _uses(tree, "argparse", "configargparse"):
        return
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.end_lineno or 0, call.end_col_offset or 0))  # as written
    defaults: dict[str, object] = {}
    for node in calls:
        if called(node) == "set_defaults":
            defaults |= {name: constant(value, named) for name, value in _keywords(node).items()}
    for node in calls:
        if called(node) == "parse_known_args":
            yield None
        elif called(node) == "add_argument" and isinstance(node.func, ast.Attribute):
            spelled = [constant(arg, named) for arg in node.args]
            options = [text for text in spelled if isinstance(text, str) and text.startswith("-")]
            if options:
                found = _argparse_option(_main_first(options), _keywords(node), named, defaults)
                if found is not None:
                    yield found
            elif UNKNOWN in spelled:
                yield None


def _argparse_option(
    options: list[str], given: Mapping[str, ast.expr], named: Mapping[str, object], defaults: Mapping[str, object]
) -> Found | None:
    action = constant(given["action"], named) if "action" in given else "store"
    if action is UNKNOWN and called(given["action"]) == "BooleanOptionalAction":
        action = "pair"
    if action in ("help", "version"):
        return None
    dest = constant(given.get("dest"), named)
    name = dest if isinstance(dest, str) else options[0].lstrip("-").replace("-", "_")
    default = constant(given["default"], named) if "default" in given else defaults.get(name)
    choices = constant(given.get("choices"), named)
    main: tuple[str, ...] = (options[0],)
    passing, kind = Passing.VALUE, _kind(given.get("type"))
    if action in ("store_true", "store_false", "store_const"):
        # `--no-cuda` (store_false) is named as it is spelled: no-cuda=yes gives it.
        passing, kind, default = Passing.SWITCH, Kind.BOOL, False
    elif action == "pair":
        passing, kind, main = Passing.PAIR, Kind.BOOL, (options[0], f"--no-{options[0].removeprefix('--')}")
    elif action == "append":
        passing, kind = Passing.REPEAT, Kind.LIST
    elif action == "count":
        passing, kind = Passing.COUNT, Kind.INT
    elif action == "extend" or constant(given.get("nargs"), named) not in (UNKNOWN, "?", None):
        passing, kind = Passing.LIST, Kind.LIST
    elif kind is Kind.BOOL:
        passing = Passing.TRUTH
    elif "type" in given and isinstance(default, bool):
        kind = Kind.BOOL  # some str2bool
    elif kind is Kind.ANY and isinstance(choices, (list, tuple)) and all(isinstance(c, str) for c in choices):
        kind = Kind.STR
    return Found(
        options=main, passing=passing, kind=kind, default=default, help=_text(given.get("help")),
        choices=tuple(choices) if isinstance(choices, (list, tuple)) else None,
        aliases=(*(o.lstrip("-") for o in options[1:]), *((name,) if action != "store_false" else ())),
    )  # fmt: skip


def _kind(node: ast.expr | None) -> Kind:
    return Kind.ANY if node is None else _KINDS.get(called(node), Kind.ANY)


def click_options(tree: ast.Module, named: Mapping[str, object]) -> Iterator[Found]:
    """Yield what ``@click.option`` declares."""
    if not _uses(tree, "click", "rich_click", "asyncclick"):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and called(call) == "option":
                    found = _click_option(call, named)
                    if found is not None:
                        yield found


def _click_option(call: ast.Call, named: Mapping[str, object]) -> Found | None:
    given = _keywords(call)
    spelled = [text for text in (constant(arg, named) for arg in call.args) if isinstance(text, str)]
    options = _main_first([text for text in spelled if text.startswith("-")])
    if not options:
        return None
    default = constant(given["default"], named) if "default" in given else None
    on, _, off = (part.strip() for part in options[0].partition("/"))
    kind, choices = _kind(given.get("type")), _click_choices(given.get("type"), named)
    if kind is Kind.ANY:
        kind = Kind.STR if choices is not None or default is None else Kind.of(default)  # as click does
    main: tuple[str, ...] = (on,)
    passing = Passing.VALUE
    if off:
        passing, kind, main = Passing.PAIR, Kind.BOOL, (on, off)
    elif constant(given.get("is_flag"), named) is True or "flag_value" in given:
        passing, kind, default = Passing.SWITCH, Kind.BOOL, False if default is None else default
    elif constant(given.get("count"), named) is True:
        passing, kind = Passing.COUNT, Kind.INT
    elif constant(given.get("multiple"), named) is True:
        passing, kind = Passing.REPEAT, Kind.LIST
    elif constant(given.get("nargs"), named) not in (UNKNOWN, 1):
        passing, kind = Passing.LIST, Kind.LIST
    names = (text for text in spelled if not text.startswith("-"))
    return Found(
        options=main, passing=passing, kind=kind, default=default, choices=choices, help=_text(given.get("help")),
        aliases=(*(o.lstrip("-") for o in options[1:]), *names),
    )  # fmt: skip


def _click_choices(node: ast.expr | None, named: Mapping[str, object]) -> tuple[object, ...] | None:
    if not isinstance(node, ast.Call) or called(node) != "Choice" or not node.args:
        return None
    choices = constant(node.args[0], named)
    return tuple(choices) if isinstance(choices, (list, tuple)) else None


def typer_options(tree: ast.Module, named: Mapping[str, object]) -> Iterator[Found]:
    """Yield the options that typer makes of a command's parameters: those with a default."""
    if not _uses(tree, "typer"):
        return
    run = {called(n.args[0]) for n in ast.walk(tree) if isinstance(n, ast.Call) and called(n) == "run" and n.args}
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if node.name not in run and not any(called(d) in ("command", "callback") for d in node.decorator_list):
            continue
        inner = node.args
        positional = [*inner.posonlyargs, *inner.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(inner.defaults))
        given = [
            *zip(positional, [*defaults, *inner.defaults], strict=True),
            *zip(inner.kwonlyargs, inner.kw_defaults, strict=True),
        ]
        for arg, default in given:
            found = _typer_option(arg, default, named)
            if found is not None:
                yield found


def _typer_option(arg: ast.arg, default: ast.expr | None, named: Mapping[str, object]) -> Found | None:
    note, option = arg.annotation, None
    if isinstance(note, ast.Subscript) and called(note) == "Annotated" and isinstance(note.slice, ast.Tuple):
        note, *extra = note.slice.elts
        option = next((e for e in extra if isinstance(e, ast.Call) and called(e) in ("Option", "Argument")), None)
    texts = option.args if option is not None else []
    if isinstance(default, ast.Call) and called(default) in ("Option", "Argument"):
        option, texts = default, default.args[1:]
        default = default.args[0] if default.args else _keywords(default).get("default")
    if default is None or (option is not None and called(option) == "Argument"):
        return None
    spelled = _main_first([t for t in (constant(a, named) for a in texts) if isinstance(t, str) and t.startswith("-")])
    value = constant(default, named)
    kind = _kind(note) if note is not None else Kind.of(value)
    on, _, off = (spelled[0] if spelled else f"--{arg.arg.replace('_', '-')}").partition("/")
    main: tuple[str, ...] = (on,)
    passing = Passing.VALUE
    if kind is Kind.BOOL and (off or not spelled):
        passing, main = Passing.PAIR, (on, off or f"--no-{on.removeprefix('--')}")
    elif kind is Kind.BOOL:
        passing = Passing.SWITCH
    elif kind is Kind.LIST:
        passing = Passing.REPEAT
    return Found(
        options=main, passing=passing, kind=kind, default=value,
        help=_text(_keywords(option).get("help")) if option is not None else "",
        aliases=(arg.arg, *(o.lstrip("-") for o in spelled[1:])),
    )  # fmt: skip
