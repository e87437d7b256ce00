"""Graphs of training steps that do not hold the weights, so that many of them can be kept.

The weights are kept elsewhere or found anew; the rest, activations and their derivatives, is copied into slots of one block of memory
(see `states` for why), or left where it is where memory is no concern.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from whet.errors import HypergradError
from whet.hypergrad.tensors import Weights

__all__ = ["Place", "Recorder", "TapeSlots", "tensors_in"]

_ALIGNED = 64
_SMALL = 512


@final
class Place:
    """Where a walk stands: the weights that its graphs are gone through with."""

    def __init__(self) -> None:
        self.weights: Weights = {}


@final
class Recorder:
    """Says how autograd keeps the tensors of one graph: weights by name, the caller's own tensors as they are, the rest as copies.

    Args:
        weights: The weights that the step is taken with.
        known: Tensors that outlive the graph and are not changed: hyperparameters, the batch.
        place: Has the weights' values when the graph is gone through.
        room: Memory for the copies, of bytes; what does not fit gets memory of its own. None: all does.
        copies: Whether to copy; without, tensors are kept where autograd left them, but for small parts of large ones.
    """

    def __init__(self, weights: Weights, known: Iterable[Tensor], place: Place, room: Tensor | None = None, *, copies: bool = True) -> None:  # fmt: skip
        self.bytes = 0
        """The bytes of all that is kept."""
        self._spans = sorted((w.data_ptr(), w.data_ptr() + _extent(w), n) for n, w in weights.items() if w.numel())
        self._dtypes = {n: w.dtype for n, w in weights.items()}
        self._known = {t.untyped_storage().data_ptr() for t in known}
        self._place = place
        self._room = room
        self._copying = copies
        self._own = set() if room is None else {room.untyped_storage().data_ptr()}
        self._copies: dict[tuple[Any, ...], Tensor] = {}
        self._left: set[tuple[Any, ...]] = set()
        self._alive: list[Tensor] = []

    def know(self, tensors: Iterable[Tensor]) -> None:
        """Take these for tensors of the caller's, too."""
        self._known.update(t.untyped_storage().data_ptr() for t in tensors)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Keep, in this way, what autograd saves in this block."""
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack):
                yield
        finally:
            self._copies.clear()
            self._alive.clear()

    def moved(self, grads: Weights) -> dict[str, Tensor]:
        """Return copies of the gradients, beside those of the graph."""
        return {n: self._fresh(g).copy_(g) for n, g in grads.items()}

    def _pack(self, tensor: Tensor) -> Tensor | _Spot | _Borrowed:
        if tensor.layout != torch.strided or tensor.is_conj() or tensor.is_neg() or not tensor.numel():
            return tensor.clone()
        spot = self._spot(tensor)
        if spot is not None:
            return spot
        memory = tensor.untyped_storage().data_ptr()
        if memory in self._own:  # a copy that was made when the loss was run, and is used again in its gradient
            return tensor
        if memory in self._known:
            return _Borrowed(tensor, tensor._version)
        return self._copy(tensor)

    def _unpack(self, packed: Tensor | _Spot | _Borrowed) -> Tensor:
        if isinstance(packed, _Spot):
            whole = self._place.weights[packed.name]
            return whole.as_strided(packed.size, packed.stride, whole.storage_offset() + packed.offset)
        if isinstance(packed, _Borrowed):
            if packed.tensor._version != packed.version:
                raise HypergradError(
                    "the training loss changes in place what its gradient needs: its batch, a hyperparameter, or something in between",
                    "change a copy of it instead",
                )
            return packed.tensor
        return packed

    def _spot(self, tensor: Tensor) -> _Spot | None:
        start = tensor.data_ptr()
        index = bisect.bisect_right(self._spans, start, key=lambda span: span[0]) - 1
        if index < 0:
            return None
        first, end, name = self._spans[index]
        if start >= end or tensor.dtype != self._dtypes[name]:
            return None
        return _Spot(name, tuple(tensor.shape), tensor.stride(), (start - first) // tensor.element_size())

    def _copy(self, tensor: Tensor) -> Tensor | _Borrowed:
        storage = tensor.untyped_storage()
        size = tensor.numel() * tensor.element_size()
        whole = storage.nbytes() <= 2 * size + _SMALL  # else a small part of something large
        key: tuple[Any, ...] = (storage.data_ptr(), tensor._version)
        if whole and not self._copying:
            if key not in self._left:
                self._left.add(key)
                self.bytes += storage.nbytes()
            return _Borrowed(tensor.detach(), tensor._version)
        if not whole:
            key += (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        copy = self._copies.get(key)
        if copy is None:
            self._alive.append(tensor)  # lest another tensor get its memory, and be taken for it
            source = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage) if whole else tensor
            copy = self._copies[key] = self._fresh(source).copy_(source)
            self._own.add(copy.untyped_storage().data_ptr())
        if not whole:
            return copy
        typed = copy[: copy.numel() // tensor.element_size() * tensor.element_size()].view(tensor.dtype)
        return typed.as_strided(tensor.shape, tensor.stride(), typed.storage_offset() + tensor.storage_offset())

    def _fresh(self, like: Tensor) -> Tensor:
        size, start = like.numel() * like.element_size(), self.bytes
        self.bytes += -(-size // _ALIGNED) * _ALIGNED
        if self._room is None or size <= _SMALL or self.bytes > self._room.numel() or like.device != self._room.device:
            return torch.empty(like.shape, dtype=like.dtype, device=like.device)
        return self._room[start : start + size].view(like.dtype).view(like.shape)


@final
class TapeSlots:
    """Slots of one block of memory for the copies of many graphs.

    Args:
        slots: How many.
        size: The bytes of each.
        device: Where.
    """

    def __init__(self, slots: int, size: int, device: torch.device) -> None:
        self._block = torch.empty(slots, -(-size // _ALIGNED) * _ALIGNED, dtype=torch.uint8, device=device)
        self._free = list(range(slots - 1, -1, -1))

    def take(self) -> tuple[int, Tensor] | tuple[None, None]:
        """Return a free slot, if there is one."""
        if not self._free:
            return None, None
        index = self._free.pop()
        return index, self._block[index]

    def give(self, index: int | None) -> None:
        """Give a slot back."""
        if index is not None:
            self._free.append(index)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a batch: a tensor, or any nesting of sequences, mappings and objects with them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Part of a weight."""

    name: str
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class _Borrowed:
    """A tensor that is left where it is: the caller's, or one that nobody else has."""

    tensor: Tensor
    version: int


def _extent(tensor: Tensor) -> int:
    """Return the bytes from a tensor's first element to behind its last."""
    last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    return int(last + 1) * int(tensor.element_size())
