"""How values lie in the database: JSON for mappings, columns of numbers for metrics."""

from __future__ import annotations

import contextlib
import json
import re
import struct
import sys
import zlib
from array import array
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from whet.errors import StoreError
from whet.filters import scalar
from whet.store.values import Row, Stat

__all__ = [
    "dump",
    "dump_stats",
    "finite",
    "floats",
    "item",
    "item_number",
    "join",
    "load",
    "load_stats",
    "pack",
    "text",
    "unpack",
]


_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")


def _plain(value: object) -> object:
    """Return `value` as JSON knows it: NumPy's and torch's scalars are numbers, sets are lists."""
    if hasattr(value, "item"):
        with contextlib.suppress(TypeError, ValueError, RuntimeError):  # it has several, or is something else
            return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise StoreError(
        f"{value!r} of type {type(value).__name__} can't be kept, only numbers, text, booleans, None, lists and mappings can",
        "convert it, str(…) will often do",
    )


_encode = json.JSONEncoder(separators=(",", ":"), default=_plain).encode
load = json.loads
"""The reverse of `dump`."""


def dump(value: object) -> str:
    """Return compact JSON; NaN and the infinities as Python's own reader knows them.

    Raises:
        StoreError: JSON can't hold it.
    """
    if not value and isinstance(value, Mapping):
        return "{}"
    try:
        return _encode(value if type(value) is dict else dict(value) if isinstance(value, Mapping) else value)
    except (TypeError, ValueError) as error:  # a key that is a tuple; a circle
        raise StoreError(f"{value!r} can't be kept ({error})", "use text as keys, and plain values") from error


_decode_finite = json.JSONDecoder(parse_constant=lambda _: None).decode
_keys = lru_cache(maxsize=256)(json.loads)


def finite(kept: str | None) -> str | None:
    """Return what `dump` wrote as every reader of JSON knows it: NaN and the infinities become null."""
    return None if kept is None else _encode(_decode_finite(kept))


def item(kept: str | None, path: str) -> float | str | None:
    """Return the number or text at a path (a JSON list of keys) of a mapping that `dump` wrote, else None."""
    value = None if kept is None else _decode_finite(kept)
    for key in _keys(path):
        if isinstance(value, dict):
            value = value.get(key)
        else:
            value = value[key] if isinstance(value, list) and isinstance(key, int) and key < len(value) else None
    return value if isinstance(value, bool) else scalar(value)


def item_number(kept: str | None, path: str) -> float | None:
    """Return as `item` does, but numbers only, and no truth value."""
    value = item(kept, path)
    return None if isinstance(value, (str, bool)) else value


def text(value: str) -> str:
    """Return `value` as every database can hold it: NUL and lone surrogates become U+FFFD."""
    return value if value.isascii() and "\0" not in value else _UNKEEPABLE.sub("\ufffd", value)


def floats(values: Sequence[float] | None) -> tuple[float, ...] | None:
    """Return a result as plain floats."""
    return None if values is None else tuple(map(float, values))


def dump_stats(stats: Mapping[str, Stat]) -> str:
    """Return statistics as JSON."""
    return dump({n: [s.last, s.last_step, s.min, s.min_step, s.max, s.max_step, s.count] for n, s in stats.items()})


def load_stats(text: str) -> dict[str, Stat]:
    """Return what `dump_stats` was given."""
    if text == "{}":
        return {}
    return {
        n: Stat(last=s[0], last_step=s[1], min=s[2], min_step=s[3], max=s[4], max_step=s[5], count=s[6])
        for n, s in load(text).items()
    }


# -- metrics: a header (JSON: number of rows, and each name with its number of values), then columns of little-endian numbers:
# steps (int64), times (float64), and per name its rows (uint32, only where it is not in every row) and values (float64);
# all of it squeezed by zlib at its fastest level. Bytes, unlike text, keep every float as it is and load 30 times as fast.

_HEAD = struct.Struct("<BI")
_VERSION = 1


def _bytes(kind: str, values: Sequence[float]) -> bytes:
    column = array(kind, values)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def pack(rows: Sequence[Row]) -> bytes:
    """Return `rows` as one chunk.

    Raises:
        StoreError: a step that is not a 64-bit integer.
    """
    columns: dict[str, tuple[list[int], list[float]]] = {}
    for i, row in enumerate(rows):
        for name, value in row.values.items():
            where, values = columns.setdefault(name, ([], []))
            where.append(i)
            values.append(value)
    header = dump({"rows": len(rows), "columns": [[n, len(values)] for n, (_, values) in columns.items()]}).encode()
    try:
        parts = [_bytes("q", [row.step for row in rows])]
    except (OverflowError, TypeError) as error:
        raise StoreError(f"a step can't be kept ({error})", "count steps in 64-bit integers") from error
    parts.append(_bytes("d", [row.time for row in rows]))
    for where, values in columns.values():
        if len(values) < len(rows):
            parts.append(_bytes("I", where))
        parts.append(_bytes("d", values))
    return _HEAD.pack(_VERSION, len(header)) + header + zlib.compress(b"".join(parts), 1)


Columns = tuple[int, Sequence[int], Sequence[float], list[tuple[str, Sequence[int] | None, Sequence[float]]]]


def unpack(
    chunk: bytes, names: Collection[str] | None = None
) -> dict[str, tuple[Sequence[int], Sequence[float], Sequence[float]]]:
    """Return (steps, values, times) by name, of `names` only where given.

    Raises:
        StoreError: the chunk is damaged, or of a newer Whet.
    """
    _, steps, times, columns = _columns(chunk)
    curves: dict[str, tuple[Sequence[int], Sequence[float], Sequence[float]]] = {}
    for name, where, values in columns:
        if names is not None and name not in names:
            continue
        if where is None:
            curves[name] = (steps, values, times)
        else:
            curves[name] = ([steps[i] for i in where], values, [times[i] for i in where])
    return curves


def join(chunks: Sequence[bytes]) -> bytes:
    """Return one chunk with the rows of all of them, in their order."""
    num_rows = 0
    steps, times = array("q"), array("d")
    joined: dict[str, tuple[array[Any], array[Any]]] = {}
    for chunk in chunks:
        count, more_steps, more_times, columns = _columns(chunk)
        steps.extend(more_steps)
        times.extend(more_times)
        for name, where, values in columns:
            rows, kept = joined.setdefault(name, (array("q"), array("d")))
            rows.extend(range(num_rows, num_rows + count) if where is None else [num_rows + i for i in where])
            kept.extend(values)
        num_rows += count
    header = dump({"rows": num_rows, "columns": [[n, len(values)] for n, (_, values) in joined.items()]}).encode()
    parts = [_bytes("q", steps), _bytes("d", times)]
    for rows, kept in joined.values():
        if len(kept) < num_rows:
            parts.append(_bytes("I", rows))
        parts.append(_bytes("d", kept))
    return _HEAD.pack(_VERSION, len(header)) + header + zlib.compress(b"".join(parts), 6)  # it is done once


def _columns(chunk: bytes) -> Columns:
    try:
        version, size = _HEAD.unpack_from(chunk)
        if version == _VERSION:
            return _read(chunk, size)
    except (struct.error, zlib.error, ValueError, TypeError, LookupError, OverflowError, MemoryError) as error:
        raise StoreError(f"a chunk of metrics is damaged ({error})", "restore it from a back-up") from error
    raise StoreError(
        f"a chunk of metrics has the format {version}, wanted {_VERSION}", "use the newer Whet that wrote it"
    )


def _read(chunk: bytes, size: int) -> Columns:
    header: dict[str, Any] = load(chunk[_HEAD.size : _HEAD.size + size])
    body = zlib.decompress(chunk[_HEAD.size + size :])
    place = 0

    def column(kind: str, count: int) -> array[Any]:
        nonlocal place
        values: array[Any] = array(kind)
        end = place + count * values.itemsize
        if end > len(body):
            raise ValueError("it ends early")
        values.frombytes(body[place:end])
        place = end
        if sys.byteorder == "big":
            values.byteswap()
        return values

    num_rows: int = header["rows"]
    steps, times = column("q", num_rows), column("d", num_rows)
    columns: list[tuple[str, Sequence[int] | None, Sequence[float]]] = []
    for name, count in header["columns"]:
        if not 0 <= count <= num_rows:
            raise ValueError(f"{count} values in {num_rows} rows")
        where = column("I", count) if count < num_rows else None
        if where and max(where) >= num_rows:
            raise ValueError(f"a value in row {max(where)} of {num_rows}")
        columns.append((name, where, column("d", count)))
    if place != len(body):  # nothing but the body's length vouches for the header's numbers
        raise ValueError("it goes on where it should end")
    return num_rows, steps, times, columns
