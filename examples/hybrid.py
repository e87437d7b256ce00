"""One training, two kinds of method: ``python -m examples.hybrid --method tpe``, and the same with ``--method one_pass``.

TPE searches everything. The hybrid lets TPE choose the width and where learning rate, momentum and weight decay start; inside each trial
a hypergradient moves these three on, while the weights train.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import whet
from examples.digits import data
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.sgd import SGD

SPACE = {
    "width": {"min": 16, "max": 128, "log": True},
    "lr": {"min": 1e-3, "max": 1.0, "log": True},
    "momentum": {"min": 0.0, "max": 0.99},
    "decay": {"min": 1e-6, "max": 1e-1, "log": True},
}
METHODS: dict[str, Any] = {"tpe": "tpe", "one_pass": {"name": "one_pass", "search": "tpe"}}


def loss(model: nn.Module, batch: tuple[Tensor, Tensor], hyper: Any) -> Tensor:
    return cross_entropy(model(batch[0].flatten(1)), batch[1])


def problem(config: Mapping[str, Any]) -> Bilevel:
    """A network and how it trains; "lr", "momentum" and "decay" are found in the space by their names."""
    model = nn.Sequential(nn.Linear(64, config["width"]), nn.ReLU(), nn.Linear(config["width"], 10))
    update = SGD(lr="lr", momentum="momentum")
    return Bilevel(model=model, train_loss=loss, val_loss=loss, update=update, penalty=L2(strength="decay"))


def batches(config: Mapping[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
    x, y = data()["train"]
    while True:
        for rows in torch.randperm(len(x)).split(50):
            yield x[rows], y[rows]


def main() -> int:
    """Run a study, and train its best trial once more for the test set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, default="one_pass")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--steps", type=int, default=600, help="weight steps of a trial")
    args = parser.parse_args()

    torch.set_num_threads(1)  # the networks are small
    whet.logging.set_verbosity(logging.WARNING)
    training = whet.Training(problem, train=batches, val=[data()["validation"]], steps=args.steps)
    study = whet.create_study(space=SPACE, method=METHODS[args.method], metrics=["val_loss"], seed=1, storage="memory")
    study.optimize(training, n_trials=args.trials)

    best = study.best_trial
    print(f"best of {len(study.trials)} trials: val_loss {best.value:.4f}")
    tuned: Any = best.user_attrs.get("tuned", {})
    for name, value in best.params.items():
        print(f"  {name} = {value:.4g}" + (f", tuned to {tuned[name]:.4g}" if name in tuned else ""))
    model = training.replay(study).model.eval()
    with torch.no_grad():
        x, y = data()["test"]
        wrong = float((model(x.flatten(1)).argmax(1) != y).float().mean())
    print(f"test error of its model: {wrong:.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
