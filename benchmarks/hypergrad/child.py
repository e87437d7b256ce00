"""What runs in the processes in which memory is measured: importing it imports all that a case may need, and runs nothing."""

from __future__ import annotations

import gc
import importlib
import warnings

import torch

from benchmarks.hypergrad import peers
from benchmarks.hypergrad.cases import Setting, find
from benchmarks.hypergrad.measure import peak_mb

__all__ = ["peak_of"]

importlib.import_module("torch._dynamo")  # or torch.optim would load it at the first step
for _name in peers.PEERS:
    peers.load(_name)
gc.freeze()  # the collector would copy the pages that are shared with the server


def peak_of(setting: Setting, key: str) -> float:
    """Return the peak of one case in MB, the first call in this process."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    return peak_mb(find(setting.model, key).build(setting), setting.device)
