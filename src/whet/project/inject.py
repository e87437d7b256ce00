"""Runs a script with other values than the ones written in it, and otherwise as `python script.py` would.

``python -m whet.project.inject --whet-set '{"lr": 0.1}' train.py --epochs 3`` runs train.py with its module-level ``lr = …`` changed
to 0.1. The file is not touched: the first top-level assignment of each name is rewritten in the syntax tree, so line numbers, tracebacks,
``__file__``, ``__name__ == "__main__"``, ``sys.argv`` and ``sys.path[0]`` are as ever.

Options (all before the script; what comes after it belongs to the script):

- ``--whet-set JSON``: names and values. Must come first.
- ``--whet-pass JSON``: for names that are no module-level assignment, how the script takes them: ``{"amp": ["switch", "--amp"]}``
  (see `Passing`); ``{"lr": ["config"]}`` is a key of the configuration file.
- ``--whet-config FILE``: a YAML or JSON file that the script reads. It gets a changed copy: as the argument of ``--whet-config-option
  OPTION``, or without that option wherever it opens the file.
- ``-m``: the script is a module, as in ``python -m``.

Processes that the script starts by `multiprocessing` (spawn, forkserver) or by running ``python -m`` on its main module's name
see the same values. This file is imported before every such script, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys
from enum import Enum
from types import ModuleType
from typing import Any

__all__ = ["Passing", "arguments", "main", "merged", "rewritten"]

_ENV = "WHET_INJECT"
_OPTIONS = {
    "--whet-set": "set",
    "--whet-pass": "pass",
    "--whet-config": "config",
    "--whet-config-option": "config_option",
}


class Passing(Enum):
    """How a script takes a value."""

    GLOBAL = "global"  # a module-level assignment
    CONFIG = "config"  # a key of its configuration file; dots nest
    VALUE = "value"  # --lr=0.1
    SWITCH = "switch"  # --amp when true, nothing when false
    PAIR = "pair"  # --amp when true, --no-amp when false
    TRUTH = "truth"  # argparse's type=bool, to which every text but the empty one is true: --amp=1, --amp=
    LIST = "list"  # --units 64 32
    REPEAT = "repeat"  # --layer=64 --layer=32
    COUNT = "count"  # -v -v -v


def arguments(passing: Passing, options: list[str], value: Any) -> list[str]:
    """Return the arguments that give `value` to a script.

    Args:
        passing: How it takes the value.
        options: The option's spelling; of a PAIR the one for true and the one for false.
        value: Text, number, truth value or a list of them.

    Example:
        >>> arguments(Passing.LIST, ["--units"], [64, 32])
        ['--units', '64', '32']
    """
    option = options[0] if options else ""
    if passing is Passing.SWITCH:
        return [option] if value else []
    if passing is Passing.PAIR:
        return [options[0 if value else 1]]
    if passing is Passing.TRUTH:
        return _given(option, "1" if value else "")
    if passing is Passing.COUNT:
        return [option] * int(value)
    if passing is Passing.LIST:
        return [option, *map(str, value if isinstance(value, list) else [value])]
    if passing is Passing.REPEAT:
        return [part for v in (value if isinstance(value, list) else [value]) for part in _given(option, str(v))]
    return _given(option, str(value))


def _given(option: str, text: str) -> list[str]:
    return [f"{option}={text}"] if option.startswith("--") else [option, text]


def rewritten(source: bytes, filename: str, values: dict[str, Any]) -> Any:
    """Return the code of `source` with the first top-level assignment of each name in `values` changed.

    Raises:
        NameError: a name is not assigned at the top level.
        SyntaxError: the source is not Python.
    """
    import ast

    def literal(value: Any, old: ast.expr) -> ast.expr:
        if isinstance(value, list):
            kind = ast.Tuple if isinstance(old, ast.Tuple) else ast.List
            return kind(elts=[literal(v, ast.Constant(None)) for v in value], ctx=ast.Load())
        if isinstance(value, dict):
            keys: list[ast.expr | None] = [ast.Constant(k) for k in value]
            return ast.Dict(keys=keys, values=[literal(v, ast.Constant(None)) for v in value.values()])
        return ast.Constant(value)

    tree = ast.parse(source, filename)
    left = dict(values)
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or targets[0].id not in left:
            continue
        assert isinstance(node, (ast.Assign, ast.AnnAssign))
        if node.value is None:  # `lr: float`, an annotation alone
            continue
        old = node.value
        node.value = literal(left.pop(targets[0].id), old)
        for part in ast.walk(node.value):
            if isinstance(part, ast.expr):
                ast.copy_location(part, old)
    if left:
        raise NameError(f"{filename} has no module-level assignment of {', '.join(left)}")
    # dont_inherit: the __future__ imports of this file are not the script's
    return compile(tree, filename, "exec", dont_inherit=True)


def merged(text: str, changes: dict[str, Any], *, is_json: bool) -> str:
    """Return the configuration `text` (YAML or JSON) with `changes` by dotted name; a key that has the dots in its name comes first."""
    import json

    if is_json:
        tree = json.loads(text)
    else:
        import yaml

        tree = yaml.safe_load(text)
    tree = tree if isinstance(tree, dict) else {}
    for name, value in changes.items():
        branch, rest = tree, name
        while rest not in branch and "." in rest:
            key, _, rest = rest.partition(".")
            below = branch.get(key)
            if not isinstance(below, dict):
                below = branch[key] = {}
            branch = below
        branch[rest] = value
    return json.dumps(tree, indent=2) if is_json else yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def main(argv: list[str] | None = None) -> None:
    """Run a script as said in this module's docstring."""
    import json

    rest = list(sys.argv[1:] if argv is None else argv)
    if (not rest or rest[0] != "--whet-set") and _ENV in os.environ:
        # A launcher (Lightning's, for instance) started another process of the script by its main module's name.
        plan = json.loads(os.environ[_ENV])
        _run(plan, rest)
        return
    plan = {}
    while rest and rest[0] in _OPTIONS and len(rest) > 1:
        key, text = _OPTIONS[rest.pop(0)], rest.pop(0)
        plan[key] = json.loads(text) if key in ("set", "pass") else text
    plan["module"] = rest[:1] == ["-m"]
    rest = rest[1:] if plan["module"] else rest
    if "set" not in plan or not rest:
        sys.exit(
            "usage: python -m whet.project.inject --whet-set JSON [--whet-pass JSON] [--whet-config FILE] [-m] SCRIPT [ARGUMENT …]"
        )
    plan["target"] = rest.pop(0)
    _sort_out(plan, rest)
    os.environ[_ENV] = json.dumps(plan)
    _run(plan, rest)


def _sort_out(plan: dict[str, Any], args: list[str]) -> None:
    """Turn the values that are no globals into arguments (added to `args`) and into a changed copy of the configuration file."""
    in_config: dict[str, Any] = {}
    for name, (kind, *options) in plan.pop("pass", {}).items():
        if name not in plan["set"]:  # inactive in this trial
            continue
        value, passing = plan["set"].pop(name), Passing(kind)
        if passing is Passing.CONFIG:
            in_config[options[0] if options else name] = value
        else:
            args += arguments(passing, options, value)
    if in_config:
        path = plan["config"]
        with open(path, encoding="utf-8") as file:
            text = merged(file.read(), in_config, is_json=path.endswith(".json"))
        plan["copy"] = _keep(text, os.path.basename(path))
        if option := plan.pop("config_option", None):
            args += _given(option, plan["copy"])
            plan.pop("config")


def _keep(text: str, name: str) -> str:
    if "WHET_DIR" in os.environ and "WHET_RUN_ID" in os.environ:
        folder = os.path.join(os.environ["WHET_DIR"], "runs", os.environ["WHET_RUN_ID"])
        os.makedirs(folder, exist_ok=True)
    else:
        import tempfile

        folder = tempfile.mkdtemp(prefix="whet-")
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _run(plan: dict[str, Any], args: list[str]) -> None:
    filename, module = plan["target"], ModuleType("__main__")
    names = module.__dict__
    if plan["module"]:
        import importlib.util

        spec = importlib.util.find_spec(filename)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{filename}.__main__")
        if spec is None or spec.origin is None:
            sys.exit(f"{sys.executable}: No module named {filename}")
        filename, names["__package__"], names["__spec__"] = spec.origin, spec.parent, spec
        sys.argv = [filename, *args]
    else:
        sys.argv = [filename, *args]
        filename = os.path.abspath(filename)
        if not getattr(sys.flags, "safe_path", False):
            sys.path[0] = os.path.dirname(os.path.realpath(filename))
        # So that children of multiprocessing import this file for their main module, and so get the same values: see the end.
        names["__package__"], names["__spec__"] = None, globals().get("__spec__")
    names |= {"__file__": filename, "__builtins__": __builtins__, "__cached__": None}
    _strip_tracebacks(names)
    sys.modules["__main__"] = module
    _execute(plan, filename, names)


def _execute(plan: dict[str, Any], filename: str, names: dict[str, Any]) -> None:
    if "copy" in plan and "config" in plan:
        _redirect(plan["config"], plan["copy"])
    try:
        with open(filename, "rb") as file:
            source = file.read()
    except OSError as error:
        sys.stderr.write(f"{sys.executable}: can't open file {filename!r}: [Errno {error.errno}] {error.strerror}\n")
        sys.exit(2)
    try:
        code = rewritten(source, filename, plan["set"])
    except NameError as error:
        sys.exit(f"whet.project.inject: {error}: give it as an argument instead")
    exec(code, names)


def _redirect(path: str, copy: str) -> None:
    """Let whoever opens `path` to read it get `copy`."""
    import builtins
    import io

    plain, base, real = io.open, os.path.basename(path), os.path.realpath(path)

    def open_(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if (
            isinstance(file, (str, os.PathLike))
            and not set(mode) & set("wax+")
            and os.path.basename(os.fspath(file)) == base
            and os.path.realpath(file) == real
        ):
            file = copy
        return plain(file, mode, *args, **kwargs)

    builtins.open = io.open = open_


def _strip_tracebacks(names: dict[str, Any]) -> None:
    """Let an uncaught error show the script's frames only, as a plain run does."""
    plain = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        inner = trace
        while inner is not None and inner.tb_frame.f_globals is not names:
            inner = inner.tb_next
        if inner is not None or isinstance(error, SyntaxError):
            error = error.with_traceback(inner)
        plain(kind, error, inner or trace)

    sys.excepthook = hook


def _again(names: dict[str, Any]) -> None:
    """Become the script's module in a child of multiprocessing, which imports the main module again."""
    import json

    plan = json.loads(os.environ[_ENV])
    filename = os.path.abspath(plan["target"])
    for name in [name for name in names if not name.startswith("__")]:
        del names[name]
    names |= {"__file__": filename, "__package__": None, "__cached__": None, "__doc__": None}
    _execute(plan, filename, names)


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__" and _ENV in os.environ:
    from whet.project import inject  # this module's own names make room for the script's

    inject._again(globals())
