"""Random numbers of training steps that are run twice: dropout must drop the same units the second time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from whet.hypergrad.tensors import Weights

__all__ = ["Replay"]


@final
class Replay:
    """Has a step that is run again draw the random numbers that it drew at first.

    A step that draws none costs no memory; one that does 5 kB on the CPU, and 16 bytes on a CUDA device.

    Args:
        weights: Their CUDA devices' generators are replayed beside the CPU's; generators of the loss's own are not.
    """

    def __init__(self, weights: Weights) -> None:
        self._devices = sorted({w.device.index for w in weights.values() if w.device.type == "cuda"})
        self._starts: dict[int, list[Tensor]] = {}
        self._seen: set[int] = set()

    @contextlib.contextmanager
    def at(self, step: int) -> Iterator[None]:
        """Run `step` in this block: for the first time with the random state as it is, then with that of the first time."""
        before = self._state()
        if step in self._starts:
            self._set(self._starts[step])
        try:
            yield
        except BaseException:
            self._set(before)
            raise
        if step not in self._seen:
            self._seen.add(step)
            if any(not torch.equal(a, b) for a, b in zip(before, self._state(), strict=True)):
                self._starts[step] = before

    def _state(self) -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in self._devices)]

    def _set(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        for device, state in zip(self._devices, states[1:], strict=True):
            torch.cuda.set_rng_state(state, device)
