"""Checkpoints of a fit: one file, whole at any moment, that holds all that a bit-for-bit continuation needs."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whet.errors import HypergradError

__all__ = ["load", "save"]

_FORMAT = 1


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path`; whoever reads sees the old file or the new one, whenever the process is killed.

    Args:
        path: Its folder is made where it is missing.
        content: Tensors and plain values, nested.

    Raises:
        HypergradError: there is something else in it, which could not be read back.
    """
    _check(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            torch.save({"whet_fit": _FORMAT, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


_PLAIN = (Tensor, str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device, torch.Size)


def _check(value: Any) -> None:
    if isinstance(value, Mapping) and type(value) in (dict, OrderedDict):
        value = value.values()
    elif type(value) not in (list, tuple, set):
        if not isinstance(value, _PLAIN):
            raise HypergradError(
                f"a checkpoint can't hold a {type(value).__name__}",
                "let the loader give batches of tensors, numbers, strings, lists, tuples and dicts; or leave out checkpoint=",
            )
        return
    for part in value:
        _check(part)


def load(path: Path) -> dict[str, Any]:
    """Return what was saved, on the CPU.

    Raises:
        HypergradError: the file is no checkpoint of a fit.
    """
    fix = "remove it, give another checkpoint=, or resume=False to write over it"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise HypergradError(f"{path} can't be read as a checkpoint ({type(error).__name__})", fix) from error
    if not isinstance(content, dict) or content.get("whet_fit") != _FORMAT:
        raise HypergradError(f"{path} holds something else than a checkpoint of fit()", fix)
    return content
