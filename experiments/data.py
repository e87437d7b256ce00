"""Data sets that are read from a folder of this machine; nothing is downloaded."""

from __future__ import annotations

import gzip
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

__all__ = ["FashionMNIST", "fashion_mnist"]

FOLDERS = (Path("/usr/share/datasets/fashion-mnist"), Path("/usr/local/share/datasets/fashion-mnist"))
_PARTS = {"train": 60_000, "t10k": 10_000}
_IMAGES, _LABELS = 0x803, 0x801  # the format's magic numbers: bytes in three dimensions, and in one


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FashionMNIST:
    """Fashion-MNIST as it is stored: pixels 0 … 255 of shape (N, 28, 28) in uint8, and labels 0 … 9 in int64."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def fashion_mnist(data_dir: str | Path | None = None, *, limit: int | None = None) -> FashionMNIST:
    """Return Fashion-MNIST: 60,000 training and 10,000 test examples.

    Args:
        data_dir: The folder with the four ``.gz`` files, or one that has them in ``fashion-mnist/``. None: ``$WHET_DATA``, then where
            Debian's package `dataset-fashion-mnist` puts them.
        limit: Read the first so many examples of each part only.

    Raises:
        FileNotFoundError: the files are in none of these places; says how to get them.
    """
    folder = _folder(data_dir)
    arrays = {}
    for part, size in _PARTS.items():
        count = size if limit is None else min(limit, size)
        arrays[part, "images"] = _read(folder / f"{part}-images-idx3-ubyte.gz", _IMAGES, (size, 28, 28), count)
        arrays[part, "labels"] = _read(folder / f"{part}-labels-idx1-ubyte.gz", _LABELS, (size,), count).long()
    return FashionMNIST(
        train_images=arrays["train", "images"],
        train_labels=arrays["train", "labels"],
        test_images=arrays["t10k", "images"],
        test_labels=arrays["t10k", "labels"],
    )


def _folder(given: str | Path | None) -> Path:
    if given is None and os.environ.get("WHET_DATA"):
        given = os.environ["WHET_DATA"]
    roots = FOLDERS if given is None else (Path(given), Path(given) / "fashion-mnist")
    for root in roots:
        if (root / "train-images-idx3-ubyte.gz").exists():
            return root
    raise FileNotFoundError(
        f"Fashion-MNIST is not in {' or '.join(str(r) for r in roots)}: on Debian and Ubuntu `apt install dataset-fashion-mnist`; elsewhere put "
        "the four .gz files of https://github.com/zalandoresearch/fashion-mnist into a folder and name it with --data or $WHET_DATA"
    )


def _read(path: Path, magic: int, shape: tuple[int, ...], count: int) -> Tensor:
    with gzip.open(path) as file:
        header = file.read(4 + 4 * len(shape))
        found = [int.from_bytes(header[i : i + 4], "big") for i in range(0, len(header), 4)]
        if found != [magic, *shape]:
            raise ValueError(
                f"{path} begins with {found}, not {[magic, *shape]}: it is damaged or another file; get it again"
            )
        content = file.read(count * math.prod(shape[1:]))
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(count, *shape[1:])
