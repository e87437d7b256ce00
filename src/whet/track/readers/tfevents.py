"""Scalars from TensorBoard's event files, as TensorBoard, torch's SummaryWriter, Keras and Lightning write them.

The frames (TFRecord: length, its checksum, data, its checksum) are read here, so that the offset is exact and a file that is still
being written can be followed; what is in them is read by the `tensorboard` package.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any, final

from whet.errors import MissingDependency
from whet.store.base import Row
from whet.track.readers.base import Reader, Rows

__all__ = ["EventReader", "crc32c", "events_of"]

_NAME = re.compile(r"^events\.out\.tfevents\.(\d+)\.(.*?)(?:\.(\d+)\.(\d+))?(?:\.v2)?$")
_PIECE_BYTES = 4 << 20
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
    """Reads scalars from one event file, and what it says for TensorBoard's HParams page.

    Raises:
        MissingDependency: the `tensorboard` package is not installed.
    """

    def __init__(self, path: Path, offset: int = 0, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path, offset, clock=clock)
        self.hparams: dict[str, object] = {}
        """The configuration of the run, if it was seen in what was read."""
        self.status = ""
        """How the run ended, if that was seen: "success", "failure", or "running"."""
        self.group = ""
        """The session group, if it was seen."""

    def read(self, *, final: bool = False) -> Rows:
        event_type, scalar = _tensorboard()
        start = self.offset
        rows: list[Row] = []
        data = self.bytes_from(start, _PIECE_BYTES)
        for payload, end in _frames(data):
            at, self.offset = self.offset, start + end
            try:
                event = event_type.FromString(payload)
            except Exception:  # protobuf's own, which no other package can name in all of its versions
                self.damaged(f"the event at byte {at}")
                continue
            values: dict[str, float] = {}
            for v in event.summary.value:
                number = scalar(v)
                if number is not None:
                    values[v.tag] = number
                elif v.metadata.plugin_data.plugin_name == "hparams":
                    self._session(v.metadata.plugin_data.content, at)
            if values:
                rows.append(Row(step=int(event.step), time=float(event.wall_time), values=values))
        if self.offset == start and data:
            self._look_at_rest(start, data, final)
        return Rows(rows=tuple(rows), start=start, end=self.offset)

    def _look_at_rest(self, start: int, data: bytes, final: bool) -> None:
        """Pass over a frame longer than a piece, which holds an image or a graph, no scalar; and over what is no frame."""
        if len(data) < 12:
            return
        length, checksum = struct.unpack_from("<QI", data)
        if _masked(crc32c(data[:8])) != checksum:
            # Nothing tells where the next frame begins. What is written behind it, if anything, is lost.
            if final:
                self.damaged(f"what comes after byte {start}")
            return
        if len(data) == _PIECE_BYTES and length < _LONGEST and self.path.stat().st_size >= start + length + 16:
            self.offset = start + length + 16

    def _session(self, content: bytes, at: int) -> None:
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

        try:
            told = HParamsPluginData.FromString(content)
        except Exception:
            self.damaged(f"the event at byte {at}")
            return
        kind = told.WhichOneof("data")
        if kind == "session_start_info":
            for name, value in told.session_start_info.hparams.items():
                which = value.WhichOneof("kind")
                if which in ("number_value", "string_value", "bool_value"):
                    self.hparams[name] = getattr(value, which)
            self.group = told.session_start_info.group_name
        elif kind == "session_end_info":
            self.status = {1: "success", 2: "failure", 3: "running"}.get(told.session_end_info.status, "")


def _frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        if at + length + 16 > len(data):
            return  # still being written (or torn: then nothing more will come)
        yield data[at + 12 : at + 12 + length], at + length + 16
        at += length + 16


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of a few bytes.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


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
            # Asked first: one number with a great shape would be unfolded to that many.
            if any(dim.size != 1 for dim in value.tensor.tensor_shape.dim):
                return None
            try:
                array = tensor_util.make_ndarray(value.tensor)
            except (TypeError, ValueError):
                return None
            if array.size == 1 and array.dtype.kind in "fiub":
                return float(array.reshape(()))
        return None

    return Event, scalar
