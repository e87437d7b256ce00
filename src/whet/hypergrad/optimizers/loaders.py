"""Loaders without end, whose place can be saved and found again, and batches on the model's device."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor

from whet.errors import HypergradError

__all__ = ["Cycle", "random_state", "set_random_state", "to_device"]


@final
class Cycle:
    """Goes through a loader again and again, and knows where it is.

    A saved place is found again by starting the epoch with the random state and the loader's generators as they were then, and
    leaving out the batches that had been taken. So the loader must give the same batches from the same random state: a list, a
    `DataLoader` over a map-style data set (of any `num_workers`, but without `persistent_workers`), or any iterable of that kind.

    Args:
        loader: Can be started more than once, if there is more than one epoch.
        name: For errors: ``"the training loader"``.
        device: Where batches go; None: they stay where they are.
        seed: A random state of the loader's own, so that loading leaves torch's, Python's and NumPy's untouched; None: it draws from those.
    """

    def __init__(self, loader: Any, *, name: str, device: torch.device | None = None, seed: int | None = None) -> None:
        if not hasattr(loader, "__iter__"):
            raise HypergradError(f"{name} is {type(loader).__name__}, which gives no batches", "give a DataLoader or a list of batches")  # fmt: skip
        self._loader, self._name, self._device = loader, name, device
        self._own = None if seed is None else _fresh_state(seed)
        self._iterator: Iterator[Any] | None = None
        self._start: dict[str, Any] | None = None
        self.epoch = 0
        self.position = 0

    def next(self, epochs: int | None = None) -> Any:
        """Return the next batch, from a new epoch where one is over.

        Args:
            epochs: After so many, there is none.

        Raises:
            StopIteration: `epochs` are over.
            HypergradError: the loader gives nothing.
        """
        if self._own is None:
            return to_device(self._taken(epochs), self._device)
        outside = random_state()
        set_random_state(self._own)
        try:
            return to_device(self._taken(epochs), self._device)
        finally:
            self._own = random_state()
            set_random_state(outside)

    def seed(self, seed: int) -> None:
        """Seed the generators that the loader has of its own."""
        for generator in _generators(self._loader):
            generator.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return the place."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "start": self._start if self._iterator is not None else None,
            "own": self._own,
            "generators": [g.get_state() for g in _generators(self._loader)],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to that place; torch's random state is changed on the way."""
        self.epoch, self.position, self._iterator = int(state["epoch"]), int(state["position"]), None
        if state["start"] is not None:
            set_random_state(state["start"]["random"])
            _set_generators(self._loader, state["start"]["generators"], self._name)
            self._begin()
            assert self._iterator is not None
            for _ in range(self.position):
                if next(self._iterator, self) is self:
                    raise HypergradError(f"{self._name} has fewer batches than when the checkpoint was saved",
                                         "resume with the same data, or without resume=")  # fmt: skip
        _set_generators(self._loader, state["generators"], self._name)
        self._own = state["own"]

    def _taken(self, epochs: int | None) -> Any:
        while True:
            if self._iterator is None:
                if epochs is not None and self.epoch >= epochs:
                    raise StopIteration
                self._begin()
            assert self._iterator is not None
            try:
                batch = next(self._iterator)
            except StopIteration:
                if self.position == 0:
                    hint = (
                        "can it be started a second time?"
                        if self.epoch
                        else "is the data set shorter than a batch, and drop_last on?"
                    )
                    raise HypergradError(f"{self._name} gives no batch", hint) from None
                self._iterator, self.position, self.epoch = None, 0, self.epoch + 1
                continue
            self.position += 1
            return batch

    def _begin(self) -> None:
        self._start = {"random": random_state(), "generators": [g.get_state() for g in _generators(self._loader)]}
        for sampler in _samplers(self._loader):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(self.epoch)
        self._iterator = iter(self._loader)


def to_device(batch: Any, device: torch.device | None) -> Any:
    """Return a batch with its tensors on `device`: a tensor, or any nesting of mappings, lists and tuples; all else as it is."""
    if device is None:
        return batch
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True) if batch.device != device else batch
    if isinstance(batch, Mapping):
        return {k: to_device(v, device) for k, v in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(v, device) for v in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(v, device) for v in batch)
    return batch.to(device) if hasattr(batch, "to") else batch


def random_state() -> dict[str, Any]:
    """Return the state of torch's generators, of Python's, and of NumPy's if it is in use; nothing but tensors and plain values."""
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if (numpy := sys.modules.get("numpy")) is not None:
        name, keys, *rest = numpy.random.get_state()
        state["numpy"] = (name, keys.tolist(), *rest)
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Undo what was drawn since `random_state`."""
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if "numpy" in state and (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.set_state(state["numpy"])


def _fresh_state(seed: int) -> dict[str, Any]:
    state = {"torch": torch.Generator().manual_seed(seed).get_state(), "python": random.Random(seed).getstate()}
    if (numpy := sys.modules.get("numpy")) is not None:
        name, keys, *rest = numpy.random.RandomState(seed % 2**32).get_state()
        state["numpy"] = (name, keys.tolist(), *rest)
    return state


def _samplers(loader: Any) -> list[Any]:
    batches = getattr(loader, "batch_sampler", None)
    found = [getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None)]
    return list({id(s): s for s in found if s is not None}.values())


def _generators(loader: Any) -> list[torch.Generator]:
    found = [getattr(thing, "generator", None) for thing in (loader, *_samplers(loader))]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


def _set_generators(loader: Any, states: Sequence[Tensor], name: str) -> None:
    found = _generators(loader)
    if len(found) != len(states):
        raise HypergradError(f"{name} has {len(found)} generators, and had {len(states)} when the checkpoint was saved",
                             "make it as it was made then")  # fmt: skip
    for generator, state in zip(found, states, strict=True):
        generator.set_state(state)
