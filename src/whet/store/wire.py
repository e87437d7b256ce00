"""How the store's values travel over HTTP: JSON for every frozen value, and back by its type.

The JSON is Python's: `NaN`, `Infinity` and `-Infinity` stand for themselves, so that every float comes back as it went in.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from whet.errors import StoreError

__all__ = ["decoder", "encode", "schema"]

_INT64 = 2**63
_TYPES: Mapping[Any, Mapping[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer", "minimum": -_INT64, "maximum": _INT64 - 1},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}
_WORDS = {str: "text", int: "an integer of 64 bits", float: "a number", bool: "true or false"}


def encode(value: Any) -> Any:
    """Return `value` as JSON knows it: values as mappings of their fields, enums as their text."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [encode(inner) for inner in value]
    return value  # what is left is the codec's to write, or to refuse


@cache
def decoder(hint: Any) -> Callable[[Any], Any]:
    """Return the function that turns JSON into a value of type `hint`.

    It raises StoreError, which names the place, where the JSON is not such a value.

    Example:
        >>> from whet.trial import Report
        >>> decoder(tuple[Report, ...])([{"step": 3, "values": [0.5]}])
        (Report(step=3, values=(0.5,)),)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _WORDS:
        return _scalar(hint)
    if hint is type(None):
        return lambda value: None
    if origin in (types.UnionType, typing.Union):
        first, *_ = (decoder(one) for one in inner if one is not type(None))
        return lambda value: None if value is None else first(value)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return _fields(hint)
    if origin in (tuple, list, Sequence, Collection):
        return _several(origin, inner)
    if origin in (dict, Mapping):
        return _mapping(*inner)
    return lambda value: value  # object: whatever JSON holds


def _wanted(value: Any, wanted: str) -> StoreError:
    return StoreError(f"got {value!r:.80}, wanted {wanted}", "send what the API's description says")


def _scalar(kind: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if kind is float and type(value) is int:
            try:
                return float(value)
            except OverflowError:
                raise _wanted(value, "a number that a float can hold") from None
        if type(value) is not kind or (kind is int and not -_INT64 <= value < _INT64):
            raise _wanted(value, _WORDS[kind])
        return value

    return read


def _enum(kind: type[Enum]) -> Callable[[Any], Any]:
    by_value = {one.value: one for one in kind}

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in by_value:
            raise _wanted(value, f"one of {', '.join(by_value)}")
        return by_value[value]

    return read


def _several(origin: Any, inner: tuple[Any, ...]) -> Callable[[Any], Any]:
    make = list if origin is list else tuple
    if origin is tuple and inner[-1] is not ...:
        reads = [decoder(one) for one in inner]

        def read_each(value: Any) -> Any:
            if not isinstance(value, list) or len(value) != len(reads):
                raise _wanted(value, f"a list of {len(reads)}")
            return tuple(read(one) for read, one in zip(reads, value, strict=True))

        return read_each
    read = decoder(inner[0])

    def read_all(value: Any) -> Any:
        if not isinstance(value, list):
            raise _wanted(value, "a list")
        return make(_at(i, read, one) for i, one in enumerate(value))

    return read_all


def _mapping(key: Any, inner: Any) -> Callable[[Any], Any]:
    read = decoder(inner)

    def read_mapping(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _wanted(value, "a mapping")
        if key is int:  # JSON's keys are text
            return {int(name): read(one) for name, one in value.items()}
        return value if inner is object else {name: _at(name, read, one) for name, one in value.items()}

    return read_mapping


def _fields(kind: type) -> Callable[[Any], Any]:
    hints = typing.get_type_hints(kind)
    reads = {field.name: decoder(hints[field.name]) for field in fields(kind)}
    needed = _needed(kind)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _wanted(value, f"a mapping ({kind.__name__})")
        if missing := needed - value.keys():
            raise StoreError(
                f"{kind.__name__} lacks {', '.join(sorted(missing))}", "send every field that has no default"
            )
        if unknown := value.keys() - reads.keys():
            raise StoreError(
                f"{kind.__name__} has no {', '.join(sorted(map(str, unknown)))}", f"its fields are {', '.join(reads)}"
            )
        return kind(**{name: _at(name, reads[name], one) for name, one in value.items()})

    return read


def _needed(kind: Any) -> set[str]:
    return {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}


def _at(place: object, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except StoreError as error:
        raise StoreError(f"{place}: {error.problem}", error.fix) from None


def schema(hint: Any) -> dict[str, Any]:
    """Return the JSON Schema of what `decoder` takes for `hint`."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in _TYPES:
        return dict(_TYPES[hint])
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [schema(one) for one in inner]}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"type": "string", "enum": [one.value for one in hint]}
    if isinstance(hint, type) and is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return {
            "type": "object",
            "properties": {field.name: schema(hints[field.name]) for field in fields(hint)},
            "required": sorted(_needed(hint)),
            "additionalProperties": False,
        }
    if origin is tuple and inner[-1] is not ...:
        return {
            "type": "array",
            "prefixItems": [schema(one) for one in inner],
            "minItems": len(inner),
            "maxItems": len(inner),
        }
    if origin in (tuple, list, Sequence, Collection):
        return {"type": "array", "items": schema(inner[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": schema(inner[1])}
    return {}
