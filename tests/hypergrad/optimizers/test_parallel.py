"""Data in parallel: two processes with half a batch each are one process with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.optimizers import DiffThroughOpt, HypergradientDescent, Neumann, OnePass
from whet.hypergrad.penalties import L2

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "one_pass": (OnePass, {"every": 3}),
    "diff_through_opt": (DiffThroughOpt, {"every": 4, "lookback": 3}),
    "neumann": (Neumann, {"every": 3, "scale": 0.2}),
    "hypergradient_descent": (HypergradientDescent, {}),
}

STEPS = 9


def batches(seed: int) -> list[tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(STEPS, 16, 5, generator=rng, dtype=torch.float64)
    return list(zip(x, x.sum(2, keepdim=True).tanh(), strict=True))


def loss(model: Any, batch: Any) -> Tensor:
    return ((model(batch[0]) - batch[1]) ** 2).mean()


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 1)).double()


def trained(name: str, model: nn.Module, rank: int = 0, world: int = 1) -> list[Tensor]:
    """Return weights and hyperparameters after some steps on this process's share of every batch."""
    kind, knobs = KINDS[name]
    start = 0.05 if rank == 0 else 0.3  # the first process's is what counts
    hyper = {"lr": Hyperparameter(start, transform="log10")}
    if name == "neumann":
        hyper = {"decay": Hyperparameter(start, transform="log10")}
    penalty = L2(strength="decay" if name == "neumann" else 0.01)
    opt = kind(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5),
        train_loss=loss,
        val_loss=loss,
        hyper=hyper,
        penalty=penalty,
        **knobs,
    )
    half = slice(rank * 16 // world, (rank + 1) * 16 // world)
    for (x, y), (a, b) in zip(batches(0), batches(1), strict=True):
        opt.step((x[half], y[half]), (a[half], b[half]))
    assert opt.num_hyper_steps > 1
    return [p.detach().clone() for p in [*model.parameters(), *opt.hyper.parameters()]]


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {name: trained(name, nn.parallel.DistributedDataParallel(network()), rank, 2) for name in KINDS}
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_halves_are_one_whole(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    mine, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name in KINDS:
        whole = trained(name, network())
        for first, second, wanted in zip(mine[name], other[name], whole, strict=True):
            assert torch.equal(first, second)
            torch.testing.assert_close(first, wanted, rtol=1e-6, atol=1e-9)
