"""Floating-point operations, peak memory and time of one call."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["MEMORY_KNOWN", "gflop", "peak_mb", "seconds"]

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEMORY_KNOWN = sys.platform == "linux" and _CLEAR.exists()
"""Whether the peak of this process's resident memory can be set back, which only Linux offers."""


def gflop(call: Callable[[], Any]) -> float:
    """Return the floating-point operations of matrix products and convolutions, forward and backward, in billions."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


def seconds(call: Callable[[], Any], count: int, device: str) -> tuple[float, float]:
    """Return wall-clock and CPU seconds of one call, the mean of `count` in a row."""
    _wait(device)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        call()
    _wait(device)
    return (time.perf_counter() - began) / count, (time.process_time() - cpu) / count


def peak_mb(call: Callable[[], Any], device: str) -> float:
    """Return by how many MB (10⁶ bytes) memory rises above where it is now, at most, during one call.

    On the CPU this is resident memory, so it means something in a fresh process alone: memory that was freed may still be resident.
    On a GPU it is the allocator's count.
    """
    gc.collect()
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    _CLEAR.write_text("5")  # the peak becomes what is resident now
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 1e6


def _status(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key + ":"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"{_STATUS} has no {key}")


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
