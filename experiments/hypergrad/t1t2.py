"""What T1–T2 adds to the time of a training run: 1.86 million decays on Fashion-MNIST, a hyper-step every 20 weight steps (the default) or 10.

Plain training and T1–T2 run turn by turn on the same network, data and batches.
"""

from __future__ import annotations

import sys
import time

import torch
from benchmarks._harness import Report, arguments, spread

from experiments.hypergrad.fashion import Images, batches, cross_entropy, evaluate, mlp, need, parts
from whet.hypergrad import L2, Hyperparameter
from whet.hypergrad.optimizers import T1T2

SIZES, BATCH, STEPS = (784, 1024, 1024, 10), 64, 400
PACES = (20, 10)


def plain(images: Images, seed: int, steps: int) -> dict[str, float]:
    """Return seconds and validation loss of a plain run."""
    train, val = parts(images.train, 10_000, 10_000, seed=seed)
    model = mlp(*SIZES, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    train_batches, began = batches(train, BATCH, seed=seed), time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model, next(train_batches)).backward()
        optimizer.step()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "val": evaluate(model, val)}


def tuned(images: Images, seed: int, steps: int, every: int) -> dict[str, float]:
    """Return seconds and validation loss of a run with one decay a weight, tuned by T1–T2."""
    train, val = parts(images.train, 10_000, 10_000, seed=seed)
    model = mlp(*SIZES, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    hyper = {"decay": Hyperparameter(1e-3, transform="log10", per="weight", low=1e-8, high=1.0)}
    method = T1T2(
        model,
        optimizer,
        train_loss=cross_entropy,
        val_loss=cross_entropy,
        hyper=hyper,
        penalty=L2(strength="decay"),
        every=every,
    )
    train_batches, val_batches, began = (
        batches(train, BATCH, seed=seed),
        batches(val, BATCH, seed=seed + 1000),
        time.perf_counter(),
    )
    for _ in range(steps):
        method.step(next(train_batches), val_batches.__next__)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "val": evaluate(model, val)}


def main() -> int:
    """Run it, print a table, and with ``--check`` hold it against the bound."""
    given = arguments(__doc__ or "", repeats=7, data=True)
    images = need(given.data)
    torch.set_num_threads(1)
    steps = 50 if given.quick else STEPS
    report = Report(title=f"T1–T2 beside plain training, Fashion-MNIST {'-'.join(map(str, SIZES))}, {steps} steps")
    turns = [
        {"plain": plain(images, seed, steps), **{f"every {n}": tuned(images, seed, steps, n) for n in PACES}}
        for seed in range(given.repeats)
    ]
    ratio = {n: spread(t[f"every {n}"]["seconds"] / t["plain"]["seconds"] for t in turns) for n in PACES}
    report.table("Median of the turns", ["", "seconds", "× plain", "validation loss"], [
        [name, spread(t[name]["seconds"] for t in turns).text(), ratio[n].text() if n else "1",
         spread(t[name]["val"] for t in turns).text(4)]
        for name, n in (("plain", 0), *((f"every {n}", n) for n in PACES))
    ])  # fmt: skip
    report.data["turns"] = turns
    got = ratio[PACES[0]].median
    report.bound("at the default pace <= 1.3 times a plain run's time", got, got <= 1.3)
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
