"""An objective for Optuna as it is, but for one line: ``import whet as optuna``. Run it with ``python examples/optuna_style.py``.

The number of layers decides which other parameters exist; nobody declares that, the study learns it from the trials.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import whet as optuna

BATCH_SIZE = 64
EPOCHS = 10


def define_model(trial: optuna.Trial) -> nn.Module:
    n_layers = trial.suggest_int("n_layers", 1, 3)
    layers: list[nn.Module] = []
    in_features = 64
    for i in range(n_layers):
        out_features = trial.suggest_int(f"n_units_l{i}", 4, 128, log=True)
        layers += [nn.Linear(in_features, out_features), nn.ReLU()]
        layers.append(nn.Dropout(trial.suggest_float(f"dropout_l{i}", 0.0, 0.5)))
        in_features = out_features
    layers.append(nn.Linear(in_features, 10))
    return nn.Sequential(*layers)


def get_data() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1,797 handwritten digits: pixels (N, 64) in [0, 1] and labels (N,), always in the same order."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]


def objective(trial: optuna.Trial) -> float:
    torch.manual_seed(0)
    model = define_model(trial)
    optimizer_name = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    optimizer = getattr(torch.optim, optimizer_name)(model.parameters(), lr=lr)

    x, y = get_data()
    accuracy = 0.0
    for epoch in range(EPOCHS):
        model.train()
        for batch in torch.randperm(1200).split(BATCH_SIZE):
            optimizer.zero_grad()
            cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()

        model.eval()
        with torch.no_grad():
            accuracy = (model(x[1200:]).argmax(1) == y[1200:]).float().mean().item()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned()
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=30, help="how many (default 30)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"of each trial (default {EPOCHS})")
    arguments = parser.parse_args()
    EPOCHS = arguments.epochs

    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=arguments.trials, timeout=600)

    pruned = study.get_trials(states=[optuna.TrialState.PRUNED])
    complete = study.get_trials(states=[optuna.TrialState.COMPLETE])
    print(f"{len(study.trials)} trials: {len(complete)} complete, {len(pruned)} pruned")
    print("Best trial:")
    print("  Value:", study.best_trial.value)
    print("  Params:")
    for name, value in study.best_trial.params.items():
        print(f"    {name}: {value}")
