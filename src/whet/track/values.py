"""What may be logged, and how it becomes a number or plain data."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any, final

from whet.errors import TrackError

__all__ = ["PLAIN", "TEXT", "Later", "Settled", "plain", "settle", "whole"]

PLAIN = frozenset({int, float, bool})
TEXT = frozenset({str})


@final
class Later:
    """A number that still lies on an accelerator: copied there at once, fetched by the writer's thread.

    Fetching it within `log` would make the training wait until the device has done all that it was given.
    """

    __slots__ = ("_ready", "_tensor")

    def __init__(self, tensor: Any) -> None:
        # A copy, for the training may change the tensor in place; its place on the training's stream is marked by an event,
        # for the writer's thread has another current stream.
        self._tensor = tensor.detach().clone()
        self._ready: Any = None
        if tensor.device.type == "cuda":
            self._ready = sys.modules["torch"].cuda.current_stream(tensor.device).record_event()

    def get(self) -> float:
        """Return the number; waits for the device."""
        if self._ready is not None:
            self._ready.synchronize()
        return float(self._tensor.item())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One call's values, flattened: numbers to be kept as metrics, texts for the summary, and what can't be kept."""

    numbers: dict[str, Any]
    texts: dict[str, str]
    skipped: dict[str, str]


def settle(metrics: Mapping[Any, Any]) -> Settled:
    """Return the numbers, texts and unknown things in `metrics`; nested mappings get dotted names (``{"a": {"b": 1}}`` → ``a.b``).

    Raises:
        TrackError: a name that is no text, or empty.
    """
    settled = Settled(numbers={}, texts={}, skipped={})
    _settle(metrics, "", settled)
    return settled


def _settle(metrics: Mapping[Any, Any], prefix: str, into: Settled) -> None:
    for key, value in metrics.items():
        if not isinstance(key, str) or not key:
            raise TrackError(
                f"metric name {key!r} is no text" if key != "" else "a metric name is empty",
                'log a mapping of names to numbers: run.log({"loss": 0.5})',
            )
        name = prefix + str(key)
        if type(value) in PLAIN:
            into.numbers[name] = value
        elif isinstance(value, str):
            into.texts[name] = str(value)
        elif isinstance(value, Mapping):
            _settle(value, name + ".", into)
        else:
            number = _number(value)
            if number is None:
                into.skipped[name] = type(value).__name__
            else:
                into.numbers[name] = number


def _number(value: Any) -> float | Later | None:
    try:
        if hasattr(value, "detach") and hasattr(value, "numel"):  # a torch tensor
            if value.numel() != 1 or value.is_complex():
                return None
            return float(value.item()) if value.device.type == "cpu" else Later(value)
        if hasattr(value, "item") and getattr(value, "size", None) == 1:  # NumPy, JAX
            return float(value.item())
        return float(value) if hasattr(value, "__float__") else None
    except (TypeError, ValueError, OverflowError):
        return None


def plain(value: Any) -> Any:
    """Return `value` as data that JSON can hold (and nan, inf): NumPy and torch scalars as numbers, the unknown as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) <= 2:  # NumPy and torch
        listed = value.tolist()
        return plain(listed) if isinstance(listed, bool | int | float | str | list) else str(value)
    number = _number(value)
    if isinstance(number, float):
        return (
            int(number) if math.isfinite(number) and number == int(number) and hasattr(value, "__index__") else number
        )
    return str(value)


def whole(step: Any) -> int:
    """Return a step as an int.

    Raises:
        TrackError: it is no whole number.
    """
    try:
        number = float(step)
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise TrackError(f"step {step!r} is no whole number", "give an int: run.log(…, step=3)")
