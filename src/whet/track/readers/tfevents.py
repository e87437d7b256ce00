"""Scalars from TensorBoard's event files, as TensorBoard, torch's SummaryWriter, Keras and Lightning write them.

The frames (TFRecord: length, its checksum, data, its checksum) are read here, so that the offset is exact and a file that is still
being written can be followed; what is in them is read by the `tensorboard` package.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, final

from whet.errors import MissingDependency
from whet.store.base import Row
from whet.track.readers.base import Reader, Rows

__all__ = ["EventReader", "events_of"]

_NAME = re.compile(r"^events\.out\.tfevents\.(\d+)\.(.*?)(?:\.(\d+)\.(\d+))?(?:\.v2)?$")
_PIECE_BYTES = 8 << 20
_LONGEST = 1 << 30


def events_of(
    pids: Collection[int],
    folders: Collection[Path],
    since: float = 0.0,
    *,
    recursive: bool = True,
) -> list[Path]:
    """Return the event files under `folders` that the processes `pids` began, oldest first.

    Writers put the time, host and process into a file's name: ``events.out.tfevents.<time>.<host>.<pid>.<n>``.

    Args:
        pids: Process ids; empty: any process.
        folders: Where to look.
        since: Seconds since the epoch; files begun before (a second of tolerance) are somebody else's.
        recursive: Look in everything below, too.
    """
    found: dict[Path, int] = {}
    for folder in folders:
        for path in folder.glob("**/events.out.tfevents.*" if recursive else "events.out.tfevents.*"):
            name = _NAME.match(path.name)
            if name is None or int(name[1]) < since - 1:
                continue
            if pids and (name[3] is None or int(name[3]) not in pids):
                continue
            found[path] = int(name[1])
    return sorted(found, key=lambda p: (found[p], str(p)))


@final
class EventReader(Reader):
    """Reads scalars from one event file.

    Raises:
        MissingDependency: the `tensorboard` package is not installed.
    """

    def read(self, *, final: bool = False) -> Rows:
        event_type, scalar = _tensorboard()
        start = self.offset
        rows: list[Row] = []
        data = self.bytes_from(start, _PIECE_BYTES)
        for payload, end in _frames(data):
            self.offset = start + end
            event = event_type.FromString(payload)
            values = {v.tag: x for v in event.summary.value if (x := scalar(v)) is not None}
            if values:
                rows.append(Row(step=int(event.step), time=float(event.wall_time), values=values))
        if self.offset == start and len(data) == _PIECE_BYTES:
            self._skip_large(start)
        return Rows(rows=tuple(rows), start=start, end=self.offset)

    def _skip_large(self, start: int) -> None:
        # A frame longer than a piece holds an image or a graph, not a scalar.
        (length,) = struct.unpack("<Q", self.bytes_from(start, 8))
        if length < _LONGEST and self.path.stat().st_size >= start + length + 16:
            self.offset = start + length + 16


def _frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + length + 16 > len(data):
            return  # still being written (or torn: then nothing more will come)
        yield data[at + 12 : at + 12 + length], at + length + 16
        at += length + 16


def _tensorboard() -> tuple[Any, Any]:
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.util import tensor_util
    except ImportError as error:
        raise MissingDependency.of("tensorboard", "tensorboard", "reading TensorBoard's event files") from error

    def scalar(value: Any) -> float | None:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            return float(value.simple_value)
        if kind == "tensor" and value.metadata.plugin_data.plugin_name in ("scalars", ""):
            array = tensor_util.make_ndarray(value.tensor)
            if array.size == 1 and array.dtype.kind in "fiub":
                return float(array.reshape(()))
        return None

    return Event, scalar
