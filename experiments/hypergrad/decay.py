"""A weight decay of its own for each of 1.86 million weights, against the best single one of a 20-point grid.

784-1024-1024-10 on Fashion-MNIST with 10,000 training and 10,000 validation images, SGD with momentum, 1,000 steps of 64. The grid runs
once for each decay. The hypergradient run starts from the grid's middle, 10⁻³, and moves every weight's log-decay each tenth step by the
Neumann series (Lorraine et al., AISTATS 2020). Both are selected on the same validation set; the test loss stands beside it.
"""

from __future__ import annotations

import sys
import time
from statistics import fmean

import torch
from benchmarks._harness import Report, arguments, spread

from experiments.hypergrad.fashion import Images, batches, cross_entropy, evaluate, mlp, need, parts
from whet.hypergrad import L2, Hyperparameter
from whet.hypergrad.optimizers import Neumann

SIZES = (784, 1024, 1024, 10)
STEPS, BATCH, LR, MOMENTUM = 1000, 64, 0.05, 0.9
GRID = [10 ** (-6 + 6 * i / 19 - 0.0) for i in range(20)]
START, OUTER_LR = 1e-3, 0.05


def run(images: Images, seed: int, steps: int, decay: float | None) -> dict[str, float]:
    """Return the losses of a run with one `decay`, or with one a weight that is tuned if it is None, and its seconds."""
    train, val = parts(images.train, 10_000, 10_000, seed=seed)
    model = mlp(*SIZES, seed=seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=decay or 0.0)
    train_batches, val_batches = batches(train, BATCH, seed=seed), batches(val, BATCH, seed=seed + 1000)
    began = time.perf_counter()
    if decay is not None:
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(model, next(train_batches)).backward()
            optimizer.step()
    else:
        hyper = {"decay": Hyperparameter(START, transform="log10", per="weight", low=1e-8, high=1.0)}
        tuned = Neumann(
            model, optimizer, train_loss=cross_entropy, val_loss=cross_entropy, hyper=hyper, penalty=L2(strength="decay"),
            outer=lambda raws: torch.optim.Adam(raws, lr=OUTER_LR), terms=5, every=10,
        )  # fmt: skip
        for _ in range(steps):
            tuned.step(next(train_batches), val_batches.__next__)
    seconds = time.perf_counter() - began
    return {"val": evaluate(model, val), "test": evaluate(model, images.test), "seconds": seconds}


def main() -> int:
    """Run it, print a table, and with ``--check`` hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=3, data=True)
    images = need(given.data)
    torch.set_num_threads(1)
    steps, grid = (60, GRID[::5]) if given.quick else (STEPS, GRID)
    report = Report(
        title=f"Per-weight decay, Fashion-MNIST {'-'.join(map(str, SIZES))}, {steps:,} steps, {given.repeats} seed(s)"
    )
    rows, gains, shares = [], [], []
    for seed in range(given.repeats):
        tuned = run(images, seed, steps, None)
        points = {}
        for decay in grid:
            points[decay] = run(images, seed, steps, decay)
            print(
                f"  seed {seed}  decay {decay:.2g}  validation {points[decay]['val']:.4f}", file=sys.stderr, flush=True
            )
        best = min(points, key=lambda d: points[d]["val"])
        seconds = sum(p["seconds"] for p in points.values())
        gains.append(points[best]["val"] - tuned["val"])
        shares.append(tuned["seconds"] / seconds)
        rows.append([
            str(seed), f"{points[best]['val']:.4f} (at {best:.1e})", f"{tuned['val']:.4f}", f"{points[best]['test']:.4f}", f"{tuned['test']:.4f}",
            f"{seconds:.0f} s", f"{tuned['seconds']:.0f} s",
        ])  # fmt: skip
        report.data[f"seed {seed}"] = {"grid": {f"{d:.3g}": p for d, p in points.items()}, "tuned": tuned}
    report.table("Cross-entropy", ["seed", "validation, grid", "one a weight", "test, grid", "one a weight", "time, grid", "one a weight"], rows)  # fmt: skip
    report.remark(
        f"share of the grid's time: {spread(shares).text(2)}; gain in validation loss: mean {fmean(gains):.4f}"
    )
    if not given.quick:
        report.bound(
            "validation loss below the grid's best, in every seed (least gain > 0)", min(gains), min(gains) > 0
        )
        report.bound("less time than the grid (greatest share < 1)", max(shares), max(shares) < 1)
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
