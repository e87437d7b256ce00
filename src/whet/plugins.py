"""Name to class through entry points: the one place where a plug-in's name is looked up, and how its knobs are checked.

Groups are ``whet.searchers``, ``whet.stoppers`` and ``whet.executors``. Nothing that is named here is imported before it is used,
so a plug-in with a heavy dependency costs nothing until somebody asks for it.
"""

from __future__ import annotations

import inspect
import math
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from whet.errors import ConfigError, MissingDependency, UnknownName

__all__ = ["KINDS", "build", "find", "knob_flag", "knob_number", "knob_whole", "knobs", "names"]

KINDS = {"searcher": "whet.searchers", "stopper": "whet.stoppers", "executor": "whet.executors"}


@cache
def _registered(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=KINDS[kind])}


def names(kind: str) -> list[str]:
    """Return the names of all plug-ins of `kind` ("searcher", "stopper" or "executor"), sorted."""
    return sorted(_registered(kind))


def find(kind: str, name: str) -> type[Any]:
    """Return the class that is registered as `name`.

    Raises:
        UnknownName: nobody registered that name.
        MissingDependency: its module needs a package that is not installed, or has no such class.
    """
    point = _registered(kind).get(name)
    if point is None:
        raise UnknownName.of(kind if kind != "searcher" else "method", name, _registered(kind))
    try:
        loaded: type[Any] = point.load()
    except (ImportError, AttributeError) as error:
        if isinstance(error, MissingDependency):
            raise
        raise MissingDependency(
            f"{kind} {name!r} can't be loaded ({error})", f"install what it needs, then try again ({point.value})"
        ) from error
    return loaded


def knobs(cls: type[Any]) -> list[str]:
    """Return the names of the keyword-only arguments of `cls`, its knobs, `seed` left out."""
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "seed"]


def build(kind: str, name: str, *args: object, knobs_given: dict[str, Any], **fixed: object) -> Any:
    """Return the plug-in `name`, made from `args`, the user's `knobs_given` and what is `fixed`.

    Raises:
        UnknownName: no such plug-in, or a knob that it has not got.
        ConfigError: a knob whose value it refuses.
    """
    cls = find(kind, name)
    accepts_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(cls).parameters.values())
    for knob in knobs_given:
        if knob not in knobs(cls) and not accepts_any:
            raise UnknownName.of(f"knob of {name}", knob, knobs(cls))
    try:
        return cls(*args, **fixed, **knobs_given)
    except TypeError as error:
        raise ConfigError(
            f"{kind} {name!r} refuses {knobs_given} ({error})", f"its knobs: {', '.join(knobs(cls))}"
        ) from error


def knob_number(owner: str, name: str, value: object, low: float, high: float = math.inf) -> float:
    """Return the knob `value` if it is a finite number in [low, high].

    Raises:
        ConfigError: it is not.
    """
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fine or not low <= value <= high:  # type: ignore[operator]
        wanted = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ConfigError(f"{owner} has {name}={value!r}, not a number {wanted}", f"give {name} a number {wanted}")
    assert isinstance(value, (int, float))
    return value


def knob_whole(owner: str, name: str, value: object, low: int) -> int:
    """Return the knob `value` as an int if it is a whole number of at least `low`.

    Raises:
        ConfigError: it is not.
    """
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fine or int(value) != value or value < low:  # type: ignore[operator, call-overload]
        wanted = f"a whole number of at least {low}"
        raise ConfigError(f"{owner} has {name}={value!r}, not {wanted}", f"give {name} {wanted}")
    assert isinstance(value, (int, float))
    return int(value)


def knob_flag(owner: str, name: str, value: object) -> bool:
    """Return the knob `value` if it is true or false.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{owner} has {name}={value!r}, not true or false", f"give {name} true or false")
    return value
