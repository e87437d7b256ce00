"""A script for Weights & Biases as it is, but for one line: ``import whet as wandb``. Run it with ``python examples/wandb_style.py``.

No account and no server: the sweep is kept in ``.whet/``; afterwards ``whet best`` names the best run and ``whet compare p`` shows all.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import whet as wandb

EPOCHS = 12

sweep_config = {
    "method": "bayes",
    "metric": {"name": "val_accuracy", "goal": "maximize"},
    "parameters": {
        "learning_rate": {"distribution": "log_uniform", "min": 0.0001, "max": 0.01},
        "batch_size": {"values": [16, 32, 64, 128]},
        "optimizer": {"values": ["adam", "sgd"]},
    },
    "early_terminate": {"type": "hyperband", "min_iter": 3},
    "run_cap": 50,
}


def load_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1,797 handwritten digits: pixels (N, 64) in [0, 1] and labels (N,), always in the same order."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]


def build_model() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def build_optimizer(model: nn.Module, name: str, learning_rate: float) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    return torch.optim.Adam(model.parameters(), lr=learning_rate)


def batches(x: torch.Tensor, y: torch.Tensor, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for rows in torch.randperm(len(x)).split(size):
        yield x[rows], y[rows]


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, size: int
) -> float:
    """Train for one epoch and return the mean loss over its batches."""
    model.train()
    losses = []
    for inputs, labels in batches(x, y, size):
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def validate(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    model.eval()
    with torch.no_grad():
        logits = model(x)
    return cross_entropy(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


def train() -> None:
    run = wandb.init()
    torch.manual_seed(0)
    x, y = load_data()
    model = build_model()
    optimizer = build_optimizer(model, wandb.config.optimizer, wandb.config.learning_rate)
    for epoch in range(EPOCHS):
        train_loss = train_epoch(model, optimizer, x[:1200], y[:1200], wandb.config.batch_size)
        val_loss, val_accuracy = validate(model, x[1200:], y[1200:])
        wandb.log({"epoch": epoch, "train_loss": train_loss, "val_loss": val_loss, "val_accuracy": val_accuracy})
    run.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10, help="how many trials (default 10)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"of each trial (default {EPOCHS})")
    arguments = parser.parse_args()
    EPOCHS = arguments.epochs

    sweep_id = wandb.sweep(sweep_config, project="p")
    wandb.agent(sweep_id, function=train, count=arguments.count)
