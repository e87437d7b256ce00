"""A small reader of Protocol Buffers' wire format: the fields of a message by number. It needs no schema, and no generated code."""

from __future__ import annotations

from collections.abc import Iterator

from whet.errors import TrackError

__all__ = ["Field", "fields", "text", "whole"]

Field = tuple[int, int | bytes]
"""A field's number, and its value: an integer, or the bytes of a text, a message or a number of fixed length."""


def fields(message: bytes) -> Iterator[Field]:
    """Yield the fields of a message in their order, repeated ones several times.

    Raises:
        TrackError: it is no message. Nothing beyond the message's own bytes is ever set aside.

    Example:
        >>> list(fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69])))
        [(1, 150), (2, b'hi')]
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise _damaged(at)
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _damaged(at)
        if length > end - at:
            raise _damaged(at)
        yield number, message[at : at + length]
        at += length


def whole(value: int | bytes) -> int:
    """Return a field as a signed integer of 64 bits; 0 where it is none."""
    if not isinstance(value, int):
        return 0
    return value - (1 << 64) if value >> 63 else value


def text(value: int | bytes) -> str:
    """Return a field as text; "" where it is none."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for i in range(at, min(at + 10, len(data))):
        byte = data[i]
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, i + 1
        shift += 7
    raise _damaged(at)


def _damaged(at: int) -> TrackError:
    return TrackError(f"a message is damaged at its byte {at}", "what it held is lost")
