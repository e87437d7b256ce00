"""The records of W&B's run files, which are logs in LevelDB's format.

A file begins with seven bytes (``:W&B``, 0xBEE1, a version). Records lie in blocks of 32 KiB; each piece of one has a header: CRC-32 of
what follows, length, and kind (whole, first, middle, last).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from whet.errors import TrackError

__all__ = ["HEADER_BYTES", "records"]

HEADER_BYTES = 7
"""Before the first block."""
_MAGIC = b":W&B\xe1\xbe"
_BLOCK = 32 << 10
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_LONGEST = 64 << 20


def records(path: Path, offset: int, most_bytes: int = 2 << 20) -> Iterator[tuple[bytes | None, int]]:
    """Yield the records of a file from `offset` (0, or where a record ended), each with the byte at which it ends.

    None stands for one that is damaged; reading goes on in the next block. What is not whole yet is left for later.

    Raises:
        TrackError: it is no file of W&B, or a record is too long.
    """
    with path.open("rb") as file:
        if offset == 0:
            head = file.read(HEADER_BYTES)
            if len(head) < HEADER_BYTES:
                return
            if not head.startswith(_MAGIC):
                raise TrackError(f"{path} is no file of W&B: it begins with {head!r}", "leave it out")
            offset = HEADER_BYTES
        file.seek(offset)
        start = at = offset
        parts: list[bytes] = []
        size = 0
        while at - start < most_bytes or parts:
            room = _BLOCK - at % _BLOCK
            if room < 7:  # too little for a header: zeros
                if len(file.read(room)) < room:
                    return
                at += room
                continue
            head = file.read(7)
            if len(head) < 7:
                return
            checksum, length, kind = struct.unpack("<IHB", head)
            if length <= room - 7:
                data = file.read(length)
                if len(data) < length:
                    return
                intact = zlib.crc32(data, zlib.crc32(head[6:7])) == checksum
            else:
                data, intact = b"", False
            if not intact:
                parts, size = [], 0
                at += room
                file.seek(at)
                if not file.read(1):
                    return  # the last block may still be written
                file.seek(at)
                yield None, at
                continue
            if kind in (_MIDDLE, _LAST) and not parts:  # what is left of a record whose beginning was damaged
                at += 7 + length
                continue
            if kind in (_WHOLE, _FIRST) and parts:  # its end was never written
                parts, size = [], 0
                yield None, at
            at += 7 + length
            parts.append(data)
            size += length
            if size > _LONGEST:
                raise TrackError(f"{path} has a record of more than {_LONGEST} bytes before byte {at}", "leave it out")
            if kind in (_WHOLE, _LAST):
                yield b"".join(parts), at
                parts, size = [], 0
