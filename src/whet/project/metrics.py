"""The metrics that a script seems to report, found by reading it. A help for messages: it may miss some, and name some too many."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from whet.project._options import called, constant

__all__ = ["find_metrics"]

_PRINTED = re.compile(r"([A-Za-z_][\w./-]*)\s*[:=]\s*(?:\{|%)")
_LABEL = re.compile(r"([A-Za-z_][\w./-]*)\s*[:=]\s*$")
_LOGGERS = ("log", "log_metrics", "log_dict")
_ONE_BY_ONE = ("add_scalar", "log_metric", "scalar", "log")
_STEPS = ("epoch", "step", "iter", "iteration", "global_step")


def find_metrics(script: Path) -> list[str]:
    """Return names from ``log({"loss": …})``, ``add_scalar("loss", …)`` and ``print(f"loss: {…}")``, in their order; steps are none.

    Example:
        >>> find_metrics(Path("train.py"))  # doctest: +SKIP
        ['loss', 'val_accuracy']
    """
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    found = [name for call in calls for name in _reported(call)]
    return [name for name in dict.fromkeys(found) if name.lower() not in _STEPS]


def _reported(call: ast.Call) -> list[str]:
    name, first = called(call), call.args[0] if call.args else None
    if name in _LOGGERS and isinstance(first, ast.Dict):
        return [key.value for key in first.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    if name in _ONE_BY_ONE and len(call.args) > 1 and isinstance(constant(first), str):
        return [str(constant(first))]
    if name not in ("print", "echo", "info", "write", "format"):
        return []
    found: list[str] = []
    for i, arg in enumerate(call.args):
        text = _template(arg)
        found += _PRINTED.findall(text)
        label = _LABEL.search(text) if i + 1 < len(call.args) else None  # print("loss:", loss)
        found += [label[1]] if label else []
    return found


def _template(node: ast.expr) -> str:
    """Return text with its values as ``{}``."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "{" for v in node.values)
    if isinstance(node, ast.BinOp):
        return _template(node.left)
    if isinstance(node, ast.Call) and called(node) == "format" and isinstance(node.func, ast.Attribute):
        return _template(node.func.value)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
