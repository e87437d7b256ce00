"""A small task: a network with BatchNorm and dropout, losses, and batches of drawn data; and sklearn's digits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[Tensor, Tensor]


class Task:
    """Three classes of 6 features, drawn; everything float64."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        self.x = torch.randn(200, 6, generator=rng, dtype=torch.float64)
        self.y = (self.x @ torch.randn(6, 3, generator=rng, dtype=torch.float64)).argmax(1)

    def model(self, *, touchy: bool = False, dtype: torch.dtype = torch.float64) -> nn.Module:
        """A network; a touchy one has BatchNorm and dropout, so that random state and buffers matter."""
        with torch.random.fork_rng():
            torch.manual_seed(1)
            middle = [nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3)] if touchy else [nn.Tanh()]
            return nn.Sequential(nn.Linear(6, 8), *middle, nn.Linear(8, 3)).to(dtype)

    def batches(self, count: int, size: int = 20, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Batch]:
        rng = torch.Generator().manual_seed(seed)
        rows = [torch.randint(0, 200, (size,), generator=rng) for _ in range(count)]
        return [(self.x[r].to(dtype), self.y[r]) for r in rows]

    @staticmethod
    def loss(model: Any, batch: Batch, hyper: Any = None) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])


class Digits:
    """600 rows to train, 600 to validate, 597 to test; a network of one hidden layer."""

    def __init__(self) -> None:
        datasets = pytest.importorskip("sklearn.datasets")
        data, labels = datasets.load_digits(return_X_y=True)
        order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
        x, y = torch.tensor(data, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]
        self.train, self.val, self.test = ((x[s], y[s]) for s in (slice(600), slice(600, 1200), slice(1200, None)))

    @staticmethod
    def model() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    @staticmethod
    def drawn(data: Batch, count: int, seed: int) -> Iterator[Batch]:
        rng = torch.Generator().manual_seed(seed)
        for _ in range(count):
            rows = torch.randint(0, len(data[0]), (50,), generator=rng)
            yield data[0][rows], data[1][rows]

    @staticmethod
    def loss(model: Any, batch: Batch, hyper: Any = None) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])

    def score(self, model: nn.Module, data: Batch) -> float:
        with torch.no_grad():
            return float(self.loss(model, data))


@pytest.fixture(scope="session")
def task() -> Task:
    return Task()


@pytest.fixture(scope="session")
def digits() -> Digits:
    return Digits()


class Ridge:
    """Linear regression with a penalty, all in float64: the best strength is known, by a fine grid over the closed form."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(3)
        truth = torch.randn(20, 1, generator=rng, dtype=torch.float64) / 5

        def batch() -> Batch:
            x = torch.randn(30, 20, generator=rng, dtype=torch.float64)
            return x, x @ truth + torch.randn(30, 1, generator=rng, dtype=torch.float64)

        self.train, self.val = batch(), batch()
        grid = torch.linspace(-3, 2, 501, dtype=torch.float64)
        values = torch.stack([self.best_val(10**g) for g in grid])
        self.log10 = float(grid[values.argmin()])
        self.lowest = float(values.min())

    @staticmethod
    def model() -> nn.Module:
        model = nn.Linear(20, 1, bias=False).double()
        nn.init.zeros_(model.weight)
        return model

    @staticmethod
    def loss(model: Any, batch: Batch, hyper: Any = None) -> Tensor:
        return 0.5 * ((model(batch[0]) - batch[1]) ** 2).mean()

    def best_val(self, decay: Tensor) -> Tensor:
        x, y = self.train
        w = torch.linalg.solve(x.T @ x / len(x) + decay * torch.eye(20, dtype=torch.float64), x.T @ y / len(x))
        return 0.5 * ((self.val[0] @ w - self.val[1]) ** 2).mean()


@pytest.fixture(scope="session")
def ridge() -> Ridge:
    return Ridge()
