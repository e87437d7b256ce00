"""Text to plain data (what JSON can hold), and the line on which each key stands.

YAML as W&B reads it (YAML 1.1 by PyYAML), but: ``1e-4`` is a number, dates stay text, a key that is there twice is an error,
and a text that unfolds to more than 100,000 values is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from whet.config.place import Keys, Place
from whet.errors import ConfigError

__all__ = ["kind", "plain", "read", "read_exponents"]

_MOST_VALUES = 100_000
_DEEPEST = 50
_TOO_MUCH = "write the values out; aliases (*name) multiply"
_GREATEST = 2**1023  # an integer beyond it is no float
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")


def read(text: str, source: str) -> tuple[dict[str, object], Place]:
    """Return the mapping that `text` (YAML or JSON) holds, and its place.

    Raises:
        ConfigError: neither YAML nor JSON, no mapping, a key twice, or too large; with line and column.
    """
    value: object = None
    place = Place(source)
    if text.lstrip().startswith("{"):
        try:
            value = json.loads(text, object_pairs_hook=_pairs)
        except (ValueError, RecursionError):
            pass  # YAML's flow style, or an error that the YAML reader can place
        else:
            place = Place(source, lines=cache(lambda: _lines(text, source)))
            value = plain(value, place)
    if value is None:
        value, found = _yaml(text, source)
        place = Place(source, lines=lambda: found)
    if value is None:
        raise place.error("there is nothing in it", "give at least method and parameters")
    if not isinstance(value, dict):
        raise place.error(f"got {kind(value)} at the top", "write keys such as method, metric and parameters")
    return value, place


def plain(value: object, place: Place, depth: int = 0) -> Any:
    """Return `value` as plain data: mappings as dict, sequences as list, numbers of numpy and torch as Python's.

    Raises:
        ConfigError: something that JSON can't hold.
    """
    if isinstance(value, int) and abs(value) > _GREATEST:
        raise place.error("the number has more than 308 digits", "give a smaller one, or put it in quotes")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (int, float, str)):  # of a subclass: an IntEnum, numpy's float64
        return float(value) if isinstance(value, float) else int(value) if isinstance(value, int) else str(value)
    if depth > _DEEPEST:
        raise place.error(f"it is nested more than {_DEEPEST} deep", "write it flatter")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise place.error(f"the key {key!r} is {kind(key)}", "make it text: put it in quotes")
        return {str(key): plain(inner, place.at(key), depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [plain(inner, place.at(i), depth + 1) for i, inner in enumerate(value)]
    if hasattr(value, "tolist"):  # an array or scalar of numpy or torch
        return plain(value.tolist(), place, depth + 1)
    raise place.error(f"got {kind(value)}", "give text, a number, a truth value, null, a list or a mapping of these")


def kind(value: object) -> str:
    """Return what `value` is, in the user's words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the truth value {value}"
        case int() | float():
            return f"the number {value!r}"
        case str():
            return f"the text {value!r}" if len(value) <= 40 else f"the text {value[:40]!r}…"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
    return f"a {type(value).__name__}"


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _lines(text: str, source: str) -> Mapping[Keys, int]:
    try:
        return _yaml(text, source)[1]
    except ConfigError:
        return {}  # JSON that is no YAML: errors go without lines


@cache
def _loader() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """PyYAML's safe loader with `1e-4` as a number and dates as text."""

        yaml_implicit_resolvers = {
            letter: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
            for letter, rules in base.yaml_implicit_resolvers.items()
        }

    read_exponents(Loader)
    return Loader


def read_exponents(cls: Any) -> None:
    """Let a loader of PyYAML's take `1e-4` for a number, and a dumper quote the text that looks so."""
    cls.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789"))


def _yaml(text: str, source: str) -> tuple[object, dict[Keys, int]]:
    import yaml

    place = Place(source)
    try:
        _check_depth(yaml.parse(text, Loader=_loader()), place)
        loader = _loader()(text)
        try:
            node = loader.get_single_node()
            return (None, {}) if node is None else _Builder(loader, source).build(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        detail = " ".join(filter(None, (error.context, error.problem)))
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        where = f"{source}:{line}:{column}" if mark else source
        raise ConfigError(
            f"{where}: this is not YAML: {detail}",
            "correct that line (tabs, a missing colon, bracket or quote, uneven indentation)",
            source=source, line=line, column=column, path="",
        ) from None  # fmt: skip
    except yaml.YAMLError as error:  # a character that YAML does not allow
        detail = str(error).splitlines()[0]
        raise ConfigError(
            f"{source}: this is not YAML: {detail}", "take it out", source=source, line=None, path=""
        ) from None


def _check_depth(events: Iterable[Any], place: Place) -> None:
    # Before the composer recurses: the C one would run out of stack.
    import yaml

    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            here = place.on(event.start_mark.line + 1)
            raise here.error(f"it is nested more than {_DEEPEST} deep", "write it flatter")
        if count > 3 * _MOST_VALUES:
            raise place.error(f"it holds more than {_MOST_VALUES:,} values", _TOO_MUCH)


class _Builder:
    """Builds plain data from YAML's nodes and notes the line of each."""

    def __init__(self, loader: Any, source: str) -> None:
        self.loader, self.source = loader, source
        self.lines: dict[Keys, int] = {}
        self.count = 0

    def build(self, node: Any) -> tuple[object, dict[Keys, int]]:
        return self.value(node, ()), self.lines

    def value(self, node: Any, path: Keys) -> object:
        import yaml

        self.count += 1
        place = Place(self.source, path, lambda: self.lines)
        top = Place(self.source, path[:1], place.lines)  # below it, an alias leads to other lines
        self.lines.setdefault(path, node.start_mark.line + 1)
        if self.count > _MOST_VALUES:
            raise top.error(f"it unfolds to more than {_MOST_VALUES:,} values", _TOO_MUCH)
        if len(path) > _DEEPEST:
            raise top.error("an alias (*name) stands within its own anchor", "write the values out")
        if isinstance(node, yaml.ScalarNode):
            try:
                value = self.loader.construct_object(node)
            except (ValueError, KeyError):  # a number of 5,000 digits, or !!int before what is none
                raise place.error(f"{node.value[:40]!r} can't be read as {node.tag}", "put it in quotes") from None
            if value is not None and not isinstance(value, (bool, int, float, str)):
                raise place.error(f"got {kind(value)}", "write it as text, in quotes")
            return plain(value, place)
        if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise place.error(f"the tag {node.tag} is not read here", "leave it out")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(inner, (*path, i)) for i, inner in enumerate(node.value)]
        return self.mapping(node, path, place)

    def mapping(self, node: Any, path: Keys, place: Place) -> dict[str, object]:
        found: dict[str, object] = {}
        merged: list[object] = []
        where: dict[str, int] = {}
        for key_node, inner in node.value:
            line = key_node.start_mark.line + 1
            here = place.on(line)
            if key_node.tag == "tag:yaml.org,2002:merge":
                below = self.value(inner, path)
                merged += below if isinstance(below, list) else [below]
                continue
            key = self.loader.construct_object(key_node) if hasattr(key_node.value, "lower") else None
            if not isinstance(key, str):
                shown = key_node.value if isinstance(key_node.value, str) else "of several values"
                raise here.error(f"the key {shown} is read as {kind(key)}", "put it in quotes")
            if key in where:
                raise (
                    place.at(key).on(line).error(f"the key is there twice, first on line {where[key]}", "leave one out")
                )
            where[key] = self.lines[(*path, key)] = line
            found[key] = self.value(inner, (*path, key))
        for below in merged:
            if not isinstance(below, dict):
                raise place.error("<< does not name a mapping", "give an alias (*name) of one")
            found |= {key: value for key, value in below.items() if key not in found}
        return found
