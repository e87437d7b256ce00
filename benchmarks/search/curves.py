"""Learning curves of a small network on scikit-learn's digits, trained once and kept as a table.

    python -m benchmarks.search curves [--quick] [--json FILE] [--check] [--repeats N]

A network with one hidden layer (64 pixels, `width` rectified units, 10 digits) is trained with every configuration of a full grid (2,916 of
them) for 27 epochs on 1,000 digits; after each epoch the mean cross-entropy and the share of wrong answers on the other 797 are noted. A
diverging training has a loss of at most 10. The seconds of an epoch are measured, too: the median over all epochs of that shape (width,
batch, optimizer, dropout or not), so that a machine that is busy now and then does not matter.

The table is `data/curves.npz`; `Curves` reads it. Made anew, losses differ in the last digits between machines, and seconds as machines do.
With ``--quick`` a few configurations are trained anew and held against the table.
"""

from __future__ import annotations

import functools
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import Report, arguments
from whet.space import Choice, Float, Int, Space

__all__ = ["EPOCHS", "SPACE", "Curves", "curves", "main", "train"]

Array = np.ndarray[Any, Any]

TABLE = Path(__file__).parent / "data" / "curves.npz"
EPOCHS = 27
TRAINED_ON = 1000
WORST = 10.0

SPACE = Space(
    {
        "optimizer": Choice(["sgd", "adam"]),
        "log_lr": Float(-4.0, 0.0, step=0.5),
        "momentum": Float(0.0, 0.9, step=0.9),
        "log_batch": Int(4, 8, step=2),
        "log_width": Int(4, 8, step=2),
        "dropout": Float(0.0, 0.5, step=0.25),
        "log_decay": Int(-6, -2, step=2),
    }
)
"""Powers of ten for the rate and the weight decay, of two for batch and width; `momentum` is SGD's, and Adam's first beta."""


@functools.cache
def digits() -> tuple[Array, Array, Array, Array]:
    """Return pixels in [0, 1] and labels of the training set, and of the validation set."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order]
    return x[:TRAINED_ON], y[:TRAINED_ON], x[TRAINED_ON:], y[TRAINED_ON:]


def train(params: Mapping[str, Any], seed: int) -> tuple[Array, Array, Array]:
    """Return the validation loss, the share of wrong answers and the seconds of each epoch."""
    x, y, x_val, y_val = digits()
    rng = np.random.default_rng(seed)
    width, batch, dropout = 2 ** params["log_width"], 2 ** params["log_batch"], params["dropout"]
    lr, decay, beta = 10 ** params["log_lr"], 10 ** params["log_decay"], params["momentum"]
    adam = params["optimizer"] == "adam"
    sizes = [64 * width, width, width * 10, 10]
    bounds = list(itertools.accumulate(sizes, initial=0))
    weights = np.zeros(bounds[-1], np.float32)
    gradient, first, second = np.zeros_like(weights), np.zeros_like(weights), np.zeros_like(weights)
    shapes = [(64, width), (width,), (width, 10), (10,)]
    w1, b1, w2, b2 = (weights[a:b].reshape(s) for a, b, s in zip(bounds, bounds[1:], shapes, strict=False))
    g1, h1, g2, h2 = (gradient[a:b].reshape(s) for a, b, s in zip(bounds, bounds[1:], shapes, strict=False))
    w1[:] = rng.normal(0, np.sqrt(2 / 64), w1.shape)
    w2[:] = rng.normal(0, np.sqrt(1 / width), w2.shape)
    losses, errors, seconds, steps = [], [], [], 0
    for _ in range(EPOCHS):
        began = time.perf_counter()
        order = rng.permutation(len(x))
        with np.errstate(all="ignore"):
            for start in range(0, len(x), batch):
                rows = order[start : start + batch]
                inputs = x[rows]
                hidden = np.maximum(inputs @ w1 + b1, 0)
                if dropout:
                    hidden *= (rng.random(hidden.shape, dtype=np.float32) >= dropout) / np.float32(1 - dropout)
                output = hidden @ w2 + b2
                output -= output.max(axis=1, keepdims=True)
                np.exp(output, out=output)
                output /= output.sum(axis=1, keepdims=True)
                output[np.arange(len(rows)), y[rows]] -= 1
                output /= len(rows)
                np.matmul(hidden.T, output, out=g2)
                output.sum(axis=0, out=h2)
                back = output @ w2.T
                back *= (hidden > 0) if not dropout else (hidden > 0) / np.float32(1 - dropout)
                np.matmul(inputs.T, back, out=g1)
                back.sum(axis=0, out=h1)
                gradient += decay * weights
                steps += 1
                if adam:
                    first *= beta
                    first += (1 - beta) * gradient
                    second *= 0.999
                    second += 0.001 * gradient * gradient
                    rate = lr * np.sqrt(1 - 0.999**steps) / (1 - beta**steps)
                    weights -= rate * first / (np.sqrt(second) + 1e-8)
                else:
                    first *= beta
                    first += gradient
                    weights -= lr * first
            logits = np.maximum(x_val @ w1 + b1, 0) @ w2 + b2
            logits -= logits.max(axis=1, keepdims=True)
            loss = float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y_val)), y_val]).mean())
        losses.append(min(loss, WORST) if loss == loss else WORST)
        errors.append(float((logits.argmax(axis=1) != y_val).mean()) if loss == loss else 0.9)
        seconds.append(time.perf_counter() - began)
    return np.array(losses), np.array(errors), np.array(seconds)


def grid() -> list[dict[str, Any]]:
    """Return every configuration, the last parameter changing fastest."""
    return [dict(zip(SPACE, values, strict=True)) for values in itertools.product(*map(_values, SPACE.values()))]


def _values(p: Any) -> Sequence[Any]:
    if isinstance(p, Choice):
        return list(p.options)
    count = round((p.high - p.low) / p.step) + 1
    return [type(p.low)(p.low + i * p.step) for i in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """The table: one row a configuration of `grid`, one column an epoch.

    Args:
        loss, error: On the validation set [configuration, epoch].
        seconds: Of one epoch [configuration].
    """

    loss: Array
    error: Array
    seconds: Array

    def row(self, params: Mapping[str, Any]) -> int:
        """Return the row of a configuration."""
        index = 0
        for name, p in SPACE.items():
            if isinstance(p, Choice):
                place, count = p.index(params[name]), len(p.options)
            else:
                assert isinstance(p, (Float, Int))
                step = p.step or 1
                place, count = round((params[name] - p.low) / step), round((p.high - p.low) / step) + 1
            index = index * count + place
        return index

    def weights(self, params: Mapping[str, Any]) -> int:
        """Return how many weights the network has."""
        return int(75 * 2 ** params["log_width"] + 10)


@functools.cache
def curves() -> Curves:
    """Return the table."""
    with np.load(TABLE) as table:
        return Curves(
            loss=table["loss"].astype(float), error=table["error"] / 797, seconds=table["seconds"].astype(float)
        )


def _shape(params: Mapping[str, Any]) -> tuple[Any, ...]:
    return params["log_width"], params["log_batch"], params["optimizer"], params["dropout"] > 0


def main() -> int:
    """Make the table, or with ``--quick`` train some of it anew."""
    given = arguments(__doc__ or "", repeats=1)
    every = grid()
    rows = list(range(len(every)))
    if given.quick:
        rows = [int(i) for i in np.random.default_rng(1).choice(rows, 20, replace=False)]
    loss, error, seconds = (np.zeros((len(rows), EPOCHS)) for _ in range(3))
    for done, row in enumerate(rows):
        loss[done], error[done], seconds[done] = train(every[row], row)
        if done % 200 == 199:
            print(f"  {done + 1} of {len(rows)} configurations", file=sys.stderr, flush=True)
    report = Report(title=f"{len(rows)} learning curves of {EPOCHS} epochs")
    report.data["best loss"] = float(loss[:, -1].min())
    if given.quick:
        far = float(np.median(np.abs(loss - curves().loss[rows]) / loss))
        report.bound("the median difference to the table is under 2 %", far, far < 0.02)
        return report.finish(given)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        groups.setdefault(_shape(every[row]), []).append(row)
    epoch_s = np.zeros(len(rows))
    for group in groups.values():
        epoch_s[group] = np.median(seconds[group])
    np.savez_compressed(
        TABLE, loss=loss.astype(np.float16), error=np.round(error * 797).astype(np.uint16),
        seconds=epoch_s.astype(np.float32),
    )  # fmt: skip
    report.remark(f"{TABLE.name}: {TABLE.stat().st_size / 1e3:,.0f} kB; an epoch takes "
                  f"{1e3 * epoch_s.min():.2f} to {1e3 * epoch_s.max():.2f} ms")  # fmt: skip
    return report.finish(given)
