"""Tune a small convolutional network on handwritten digits: `make demo`, or ``python -m examples.digits``.

`train` is what you would write yourself; the rest runs it 40 times on two processes and says what came out. Interrupt it whenever you
like: run it again and it goes on.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import whet

EPOCHS = 27
DEFAULT = {
    "optimizer": "sgd",
    "lr": 0.01,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "width": 16,
    "dropout": 0.25,
    "batch_size": 64,
}
SWEEP = {
    "name": "digits",
    "method": "tpe",
    "metric": {"name": "val_loss", "goal": "minimize"},
    "parameters": {
        "optimizer": {"values": ["sgd", "adamw"]},
        "lr": {"min": 1e-4, "max": 0.3, "log": True},
        "momentum": {"min": 0.0, "max": 0.98, "when": {"optimizer": "sgd"}},
        "beta2": {"min": 0.9, "max": 0.9999, "when": {"optimizer": "adamw"}},
        "weight_decay": {"min": 1e-6, "max": 1e-1, "log": True},
        "width": {"min": 8, "max": 32, "log": True},
        "dropout": {"min": 0.0, "max": 0.7},
        "batch_size": {"values": [32, 64, 128]},
    },
    "early_terminate": {"type": "asha", "min_steps": 3, "eta": 3},
    "run_cap": 40,
    "seed": 1,
}


@cache
def data() -> dict[str, tuple[Any, Any]]:
    """Return train, validation and test sets of (inputs (N, 1, H, W) in [0, 1], labels (N,)).

    scikit-learn's 1,797 digits of 8 × 8 pixels, 1,000 / 400 / 397; with Fashion-MNIST's four files in the folder WHET_DATA, 4,000 /
    1,000 / 2,000 of its images, at half their size.
    """
    import torch

    folder = Path(os.environ.get("WHET_DATA", "")) / "fashion-mnist"
    if os.environ.get("WHET_DATA") and (folder / "train-images-idx3-ubyte.gz").is_file():
        import gzip

        def read(name: str, skip: int) -> Any:
            return torch.frombuffer(bytearray(gzip.decompress((folder / name).read_bytes())[skip:]), dtype=torch.uint8)

        images = torch.cat([read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28) for part in ("train", "t10k")])
        labels = torch.cat([read(f"{part}-labels-idx1-ubyte.gz", 8) for part in ("train", "t10k")]).long()
        chosen = torch.cat(
            [torch.arange(5000), torch.arange(60_000, 62_000)]
        )  # 4,000 + 1,000 and 2,000 of the test set
        x, y, sizes = images[chosen, ::2, ::2].float()[:, None] / 255, labels[chosen], (4000, 1000, 2000)
    else:
        from sklearn.datasets import load_digits

        pixels, digits = load_digits(return_X_y=True)
        order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
        x = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8)[order] / 16
        y, sizes = torch.tensor(digits)[order], (1000, 400, 397)
    return dict(zip(("train", "validation", "test"), zip(x.split(sizes), y.split(sizes), strict=True), strict=True))


def network(width: int, dropout: float) -> Any:
    """Return a convolutional network for the images of `data`."""
    from torch import nn

    side = data()["train"][0].shape[-1] // 2
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(dropout), nn.Linear(2 * width * side * side, 10),
    )  # fmt: skip


def epochs(config: Mapping[str, Any], seed: int = 0) -> Any:
    """Train a network as `config` says and yield it after each epoch."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(seed)
    x, y = data()["train"]
    net = network(config["width"], config["dropout"])
    if config["optimizer"] == "sgd":
        kind: Any = torch.optim.SGD
        own = {"momentum": config["momentum"]}
    else:
        kind, own = torch.optim.AdamW, {"betas": (0.9, config["beta2"])}
    optimizer = kind(net.parameters(), lr=config["lr"], weight_decay=config["weight_decay"], **own)
    for _ in range(EPOCHS):
        net.train()
        for batch in torch.randperm(len(x)).split(config["batch_size"]):
            optimizer.zero_grad()
            cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
        yield net


def score(net: Any, part: str) -> tuple[float, float]:
    """Return (loss, accuracy) of `net` on a part of the data."""
    import torch
    from torch.nn.functional import cross_entropy

    net.eval()
    x, y = data()[part]
    with torch.no_grad():
        logits = net(x)
    return cross_entropy(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


def train() -> None:
    """One trial: what the sweep runs."""
    run = whet.init()
    for epoch, net in enumerate(epochs(run.config)):
        loss, accuracy = score(net, "validation")
        whet.log({"val_loss": loss, "val_accuracy": accuracy}, step=epoch)
    run.finish()


def errors(config: Mapping[str, Any], seeds: int) -> list[float]:
    """Return the share of the test set that is got wrong after training anew from each of `seeds` initialisations, none of them the search's."""
    import torch

    torch.set_num_threads(1)  # small networks are slower with more
    wrong = []
    for seed in range(1, seeds + 1):
        *_, net = epochs(config, seed)
        wrong.append(1 - score(net, "test")[1])
    return wrong


def main() -> int:
    """Run the sweep, or go on with it, and print what came out."""
    from whet.analysis.best import best_trial
    from whet.cli.progress import Progress
    from whet.cli.summary import Baseline, print_summary
    from whet.config import parse
    from whet.errors import NotFound
    from whet.store.open import open_store
    from whet.study.create import create_sweep
    from whet.study.engine import Engine
    from whet.tune.pool import pool

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--trials", type=int, default=40, help="how many trials (default 40)")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes (default 2)")
    parser.add_argument("--seeds", type=int, default=5, help="initialisations for the final comparison (default 5)")
    parser.add_argument(
        "--data", help="folder that holds fashion-mnist/ with its four .gz files (default: scikit-learn's digits)"
    )
    args = parser.parse_args()
    if args.data:
        if not (Path(args.data) / "fashion-mnist" / "train-images-idx3-ubyte.gz").is_file():
            parser.error(f"there is no fashion-mnist/train-images-idx3-ubyte.gz in {args.data}")
        os.environ["WHET_DATA"] = args.data

    store = open_store()
    name = f"digits-{args.trials}"
    try:
        sweep = store.sweeps.find(name, "demo").id
        print(f"going on with sweep {name} (whet rm {sweep} starts afresh)")
    except NotFound:
        sweep = create_sweep(store, parse({**SWEEP, "name": name, "run_cap": args.trials}), project="demo")
        print(f"sweep {name}: {args.trials} trials on {args.workers} processes; interrupt and run again as you like")
    engine = Engine(store, sweep)
    with Progress(engine.problem.metrics, total=args.trials) as progress:
        ending = pool(
            store,
            sweep,
            "examples.digits:train",
            workers=args.workers,
            threads=1,
            on_event=progress.event,
            on_tick=progress.tick,
        )
    if ending.interrupted:
        print("interrupted: run it again and it goes on")
        return 130
    engine.sync()
    trials = engine.in_order()
    if not any(trial.complete for trial in trials):
        print_summary(engine.problem, trials, sweep=name)
        return 1
    best = best_trial(engine.problem, trials)
    print(
        f"training the default and the best configuration anew, {args.seeds} times each, for the test set that the search never saw …"
    )
    before, after = (errors(config, args.seeds) for config in (DEFAULT, best.params))
    baseline = Baseline(
        label="the default configuration",
        value=statistics.mean(before),
        best=statistics.mean(after),
        metric=f"test error, mean of {args.seeds} initialisations",
    )
    print_summary(engine.problem, trials, sweep=name, baseline=baseline)
    return 0


if __name__ == "__main__":
    sys.exit(main())
