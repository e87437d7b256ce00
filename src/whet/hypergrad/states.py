"""Where the states of a run are kept: slots of one block of memory that is used again and again, and files for what does not fit.

One block, because thousands of large tensors that come and go leave holes between them that nothing fits in: the process then takes
several times the memory that its tensors have.
"""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.tensors import Weights
from whet.hypergrad.updates.base import State

__all__ = ["Moment", "States", "state_bytes"]

_ALIGNED = 64


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The weights and the state of a run before one of its steps.

    Args:
        step: Before which step, counted from 0.
        weights, state: The values.
        slot: Which slot they lie in; None: in memory of their own, which nobody else writes to.
    """

    step: int
    weights: Weights
    state: State
    slot: int | None = None


@final
class States:
    """Slots for states, and a folder for more of them.

    Args:
        like: What the states look like.
        slots: How many fit in memory.
        folder: Where to write others; None: nowhere.
        on_disk: How many will be there at once, to see beforehand whether they fit.
    """

    def __init__(self, like: Moment, *, slots: int, folder: Path | None = None, on_disk: int = 0) -> None:
        self._like = like
        self._sizes: dict[torch.device, int] = {}
        self._places: list[tuple[tuple[str, str, str], Tensor, torch.device, int]] = []
        for key, tensor in _tensors(like):
            # A tensor without memory says which strides a dense copy of it has.
            mould = torch.empty_like(tensor, device="meta")
            offset = self._sizes.get(tensor.device, 0)
            self._places.append((key, mould, tensor.device, offset))
            self._sizes[tensor.device] = offset + _aligned(tensor.numel() * tensor.element_size())
        self._blocks = {d: torch.empty(slots, size, dtype=torch.uint8, device=d) for d, size in self._sizes.items()}
        self._views = [self._slot(i) for i in range(slots)]
        self._free = list(range(slots - 1, -1, -1))
        self._temporary = _folder(folder, on_disk * self.bytes) if folder is not None and on_disk else None

    @property
    def bytes(self) -> int:
        """The bytes of one state."""
        return sum(self._sizes.values())

    def take(self, step: int) -> Moment:
        """Return a free slot, with whatever is in it."""
        index = self._free.pop()
        weights, slots, buffers = self._views[index]
        state = replace(self._like.state, slots=slots, buffers=buffers)
        return Moment(step=step, weights=weights, state=state, slot=index)

    def apart(self, step: int) -> Moment:
        """Return memory for a state that is no slot, for one that is to stay."""
        like = self._like
        state = replace(
            like.state.with_tensors([torch.empty_like(t) for t in like.state.tensors()]),
            buffers={n: torch.empty_like(t) for n, t in like.state.buffers.items()},
        )
        return Moment(step=step, weights={n: torch.empty_like(w) for n, w in like.weights.items()}, state=state)

    def fill(self, moment: Moment, source: Moment) -> Moment:
        """Copy the values of `source` into the memory of `moment`, and return the same moment there."""
        self._write(moment, source.weights, source.state)
        return replace(moment, step=source.step, state=replace(moment.state, step=source.state.step))

    def copy(self, moment: Moment) -> Moment:
        """Return the same moment in a free slot."""
        return self.fill(self.take(moment.step), moment)

    def settle(self, moment: Moment, state: State, buffers: Mapping[str, Tensor]) -> Moment:
        """Return the moment after a step that was taken in the memory of `moment`; `state` is what the update returned."""
        after = replace(moment, step=moment.step + 1, state=replace(moment.state, step=state.step))
        self._write(after, {}, replace(state, buffers=buffers))
        return after

    def free(self, moment: Moment) -> None:
        """Give the moment's slot back."""
        if moment.slot is not None:
            self._free.append(moment.slot)

    def save(self, moment: Moment) -> None:
        """Write a moment to the folder.

        Raises:
            HypergradError: the disk is full, or can't be written to.
        """
        assert moment.slot is not None
        path = self._file(moment.step)
        try:
            with path.open("wb", buffering=0) as file:
                for part in self._parts(moment.slot):
                    _write_all(file, _bytes_of(part.cpu()))
        except OSError as error:
            raise HypergradError(
                f"a state of {self.bytes / 1e6:.0f} MB can't be written to {path.parent}: {error.strerror}",
                "name a folder on a disk with room (disk=Path(...)), or give a greater memory budget",
            ) from error

    def load(self, step: int, state_step: int) -> Moment:
        """Read a moment back into a free slot; the file stays."""
        mine = self.take(step)
        assert mine.slot is not None
        with self._file(step).open("rb", buffering=0) as file:
            for part in self._parts(mine.slot):
                host = part if part.device.type == "cpu" else torch.empty(part.shape, dtype=torch.uint8)
                _read_all(file, _bytes_of(host))
                if host is not part:
                    part.copy_(host)
        return replace(mine, state=replace(mine.state, step=state_step))

    def forget(self, step: int) -> None:
        """Remove a moment's file."""
        self._file(step).unlink()

    def close(self) -> None:
        """Remove the folder and everything in it."""
        if self._temporary is not None:
            self._temporary.cleanup()

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _slot(self, index: int) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]], dict[str, Tensor]]:
        weights: dict[str, Tensor] = {}
        buffers: dict[str, Tensor] = {}
        slots: dict[str, dict[str, Tensor]] = {name: {} for name in self._like.state.slots}
        for (kind, slot, name), mould, device, offset in self._places:
            size = mould.numel() * mould.element_size()
            flat = self._blocks[device][index][offset : offset + size].view(mould.dtype)
            view = flat.as_strided(mould.size(), mould.stride(), flat.storage_offset())
            (weights if kind == "weight" else buffers if kind == "buffer" else slots[slot])[name] = view
        return weights, slots, buffers

    def _write(self, to: Moment, weights: Weights, state: State) -> None:
        for (kind, slot, name), _, _, _ in self._places:
            if kind == "weight":
                source, target = weights.get(name), to.weights[name]
            elif kind == "buffer":
                source, target = state.buffers.get(name), to.state.buffers[name]
            else:
                source, target = state.slots[slot][name], to.state.slots[slot][name]
            if source is not None and source.data_ptr() != target.data_ptr():
                target.copy_(source)

    def _parts(self, slot: int) -> list[Tensor]:
        return [block[slot] for block in self._blocks.values()]

    def _file(self, step: int) -> Path:
        assert self._temporary is not None
        return Path(self._temporary.name) / f"{step}.state"


def state_bytes(like: Moment) -> int:
    """Return the bytes that a state takes in a slot."""
    return sum(_aligned(t.numel() * t.element_size()) for _, t in _tensors(like))


def _tensors(moment: Moment) -> Iterator[tuple[tuple[str, str, str], Tensor]]:
    yield from ((("weight", "", n), t) for n, t in moment.weights.items())
    yield from ((("slot", s, n), t) for s, group in moment.state.slots.items() for n, t in group.items())
    yield from ((("buffer", "", n), t) for n, t in moment.state.buffers.items())


def _folder(where: Path, wanted: int) -> tempfile.TemporaryDirectory[str]:
    try:
        free = shutil.disk_usage(where).free
        if free < wanted:
            raise HypergradError(
                f"{where} has {free / 1e6:.0f} MB free, and {wanted / 1e6:.0f} MB of states are to be written there",
                "name a folder on a disk with room (disk=Path(...)), or give a greater memory budget",
            )
        return tempfile.TemporaryDirectory(prefix="whet-states-", dir=where, ignore_cleanup_errors=True)
    except OSError as error:
        raise HypergradError(
            f"states can't be written to {where}: {error.strerror}", "name a folder that can be written to"
        ) from error


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _bytes_of(tensor: Tensor) -> memoryview:
    # The tensor's own memory, without NumPy, which torch can do without.
    return memoryview((ctypes.c_char * tensor.numel()).from_address(tensor.data_ptr())).cast("B")


def _write_all(file: Any, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]


def _read_all(file: Any, data: memoryview) -> None:
    while data:
        count = file.readinto(data)
        if not count:
            raise HypergradError(f"{file.name} ends too early", "leave the temporary folder alone while a run lasts")
        data = data[count:]
