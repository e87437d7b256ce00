"""`fit`: a plain loop's data and numbers, logs, checkpoints that are whole, and resumption to the last bit."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from whet.errors import HypergradError
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.optimizers import checkpoint as files
from whet.hypergrad.optimizers.base import HyperOptimizer
from whet.hypergrad.optimizers.diff_through_opt import DiffThroughOpt
from whet.hypergrad.optimizers.drmad import DrMAD
from whet.hypergrad.optimizers.hypergradient_descent import HypergradientDescent
from whet.hypergrad.optimizers.loaders import Cycle, to_device
from whet.hypergrad.optimizers.one_pass import OnePass
from whet.hypergrad.optimizers.unrolled import Unrolled


def made(task: Any, kind: Any = OnePass, **more: Any) -> HyperOptimizer:
    model = task.model(touchy=True)
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    hyper = {"lr": Hyperparameter(0.05, transform="log10")}
    return kind(model, sgd, **{"train_loss": task.loss, "val_loss": task.loss, "hyper": hyper, "every": 4, **more})


def loaders(task: Any, *, own: bool = False, workers: int = 0) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Shuffled, with generators of their own or without."""
    train, val = TensorDataset(task.x[:130], task.y[:130]), TensorDataset(task.x[130:], task.y[130:])
    rng = [torch.Generator().manual_seed(s) if own else None for s in (4, 5)]
    return (DataLoader(train, batch_size=20, shuffle=True, generator=rng[0], num_workers=workers),
            DataLoader(val, batch_size=30, shuffle=True, generator=rng[1]))  # fmt: skip


def same(a: HyperOptimizer, b: HyperOptimizer) -> bool:
    mine, theirs = ([*o.model.state_dict().values(), *o.hyper.parameters()] for o in (a, b))
    return all(torch.equal(x, y) for x, y in zip(mine, theirs, strict=True))


def test_without_hyper_steps_it_is_a_plain_loop_over_the_loader(task: Any) -> None:
    torch.manual_seed(0)
    train, val = loaders(task)
    opt = made(task, every=math.inf)
    result = opt.fit(train, val, epochs=3, progress=False)
    assert (result.steps, result.epochs, result.val_loss, result.resumed) == (21, 3, None, False)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    train, _ = loaders(task)
    model = task.model(touchy=True)
    sgd = torch.optim.SGD(model.parameters(), lr=opt.hyper["lr"].item(), momentum=0.9)
    for _ in range(3):
        for batch in train:
            sgd.zero_grad()
            task.loss(model, batch).backward()
            sgd.step()
    assert all(
        torch.equal(a, b) for a, b in zip(opt.model.state_dict().values(), model.state_dict().values(), strict=True)
    )
    assert torch.equal(after, torch.get_rng_state())


def test_training_data_come_in_the_same_order_whatever_is_validated_on(task: Any) -> None:
    seen: list[list[float]] = []
    for every in (1, math.inf):
        rows: list[float] = []

        def loss(model: Any, batch: Any, hyper: Any, rows: list[float] = rows) -> Any:
            if model.training:
                rows.append(float(batch[0].sum()))
            return task.loss(model, batch)

        torch.manual_seed(0)
        opt = made(task, every=every)
        opt = OnePass(opt.model, opt._inner.optimizer, train_loss=loss, val_loss=loss, hyper=opt.hyper, every=every)  # type: ignore[attr-defined]
        opt.fit(*loaders(task), epochs=2, progress=False)
        seen.append(rows)
    assert len(seen[0]) == 14
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("kind", "more", "own", "workers"),
    [
        (OnePass, {}, False, 0),
        (OnePass, {}, True, 0),
        (DiffThroughOpt, {"every": 5, "lookback": 4}, False, 0),
        (HypergradientDescent, {"every": 1}, False, 0),
        (Unrolled, {"every": 4}, False, 0),
        pytest.param(OnePass, {}, False, 2, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_killed_ends_with_the_same_bits(
    task: Any, tmp_path: Path, kind: Any, more: Any, own: bool, workers: int
) -> None:
    """Killed at every place within an epoch; logs go on as they would have."""
    torch.manual_seed(0)
    whole, logs = made(task, kind, **more), []
    wanted = whole.fit(*loaders(task, own=own, workers=workers), steps=18, log=logs.append, log_every=4, progress=False)
    for at in (3, 7, 9) if kind is OnePass and not workers else (9,):  # within an epoch, and at its end
        path = tmp_path / f"{at}.pt"
        torch.manual_seed(0)
        killed, count = made(task, kind, **more), [0]

        class Killed(Exception):
            pass

        def die(
            metrics: Any, count: list[int] = count, at: int = at, killed: Any = killed, error: Any = Killed
        ) -> None:
            if killed.num_steps > at:
                raise error

        with pytest.raises(Killed):
            killed.fit(
                *loaders(task, own=own, workers=workers),
                steps=18,
                checkpoint=path,
                checkpoint_every=at,
                log=die,
                log_every=1,
                progress=False,
            )
        torch.manual_seed(99)
        random.seed(99)
        again, rest = made(task, kind, **more), []
        result = again.fit(
            *loaders(task, own=own, workers=workers),
            steps=18,
            checkpoint=path,
            log=rest.append,
            log_every=4,
            progress=False,
        )
        assert result.resumed
        assert again.num_steps == 18
        assert same(again, whole)
        assert result.train_loss == wanted.train_loss
        assert (result.epochs, result.hyper, result.val_loss) == (wanted.epochs, wanted.hyper, wanted.val_loss)
        kept = [m for m in logs if m["step"] > at]
        assert [m["step"] for m in rest] == [m["step"] for m in kept]
        # The killed run logged each step, so the means of the first log cover other steps than those of the whole run.
        means = ("train_loss", "val_loss")
        assert [{k: v for k, v in m.items() if k not in means} for m in rest[:1]] == [
            {k: v for k, v in m.items() if k not in means} for m in kept[:1]
        ]
        assert rest[1:] == kept[1:]


SCRIPT = """
import sys, torch
from torch.utils.data import DataLoader, TensorDataset
from whet.hypergrad.hyperparameter import Hyperparameter
from whet.hypergrad.optimizers.one_pass import OnePass
torch.manual_seed(0)
x = torch.randn(60, 4); y = x.sum(1, keepdim=True)
model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.1), torch.nn.Linear(4, 1))
loss = lambda m, b: ((m(b[0]) - b[1]) ** 2).mean()
opt = OnePass(model, torch.optim.SGD(model.parameters(), lr=0.01), train_loss=loss, val_loss=loss, every=3,
              hyper={"lr": Hyperparameter(0.01, transform="log10")})
loader = DataLoader(TensorDataset(x, y), batch_size=10, shuffle=True)
print("ready", flush=True)
opt.fit(loader, loader, steps=int(sys.argv[2]), checkpoint=sys.argv[1], checkpoint_every=10, log=lambda m: print(m["step"], flush=True), log_every=1)
print(float(sum(p.double().sum() for p in model.parameters())).hex(), opt.hyper["lr"].item().hex())
"""


@pytest.mark.slow
def test_ctrl_c_saves_between_two_steps_and_a_second_run_ends_as_one_would_have(tmp_path: Path) -> None:
    def run(path: Path, steps: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(path), str(steps)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole, _ = run(tmp_path / "whole.pt", 400).communicate(timeout=300)
    first = run(tmp_path / "cut.pt", 400)
    assert first.stdout is not None
    while first.stdout.readline().strip() != "25":
        pass
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=300)
    assert first.returncode != 0
    assert said.rstrip().endswith("KeyboardInterrupt")
    done = files.load(tmp_path / "cut.pt")["fit"]["done"]
    assert 25 <= done < 400
    second, _ = run(tmp_path / "cut.pt", 400).communicate(timeout=300)
    assert second.splitlines()[1] == str(done + 1)
    assert second.splitlines()[-1] == whole.splitlines()[-1]


def test_an_interrupt_between_two_steps_is_saved_and_passed_on(task: Any, tmp_path: Path) -> None:
    opt, path = made(task), tmp_path / "x.pt"
    before = signal.getsignal(signal.SIGINT)

    def stop(metrics: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        opt.fit(*loaders(task), steps=50, checkpoint=path, log=stop, log_every=6, progress=False)
    assert opt.num_steps == 6
    assert files.load(path)["fit"]["done"] == 6
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_logged(task: Any) -> None:
    logs: list[dict[str, float]] = []
    opt = made(task)
    result = opt.fit(*loaders(task), steps=10, log=logs.append, log_every=3, progress=False)
    assert [m["step"] for m in logs] == [3, 6, 9, 10]
    assert [m["epoch"] for m in logs] == [0, 0, 1, 1]
    assert "val_loss" not in logs[0]  # no hyper-step yet
    assert set(logs[-1]) == {"step", "epoch", "train_loss", "val_loss", "hyper/lr"}
    assert logs[-1]["hyper/lr"] == opt.hyper["lr"].item() == result.hyper["lr"]
    assert result.train_loss == logs[-1]["train_loss"]
    assert all(isinstance(v, float | int) for m in logs for v in m.values())


def test_losses_are_means_since_the_last_log(task: Any) -> None:
    logs: list[dict[str, float]] = []
    opt, losses = made(task, every=math.inf), []
    step = opt.step

    def heard(*args: Any) -> Any:
        result = step(*args)
        losses.append(float(result.train_loss))
        return result

    opt.step = heard  # type: ignore[method-assign]
    opt.fit(*loaders(task), steps=6, log=logs.append, log_every=3, progress=False)
    assert [m["train_loss"] for m in logs] == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 3])


def test_evaluation_leaves_no_trace(task: Any) -> None:
    ends = []
    for evaluate in (None, lambda m: {"noise": m.eval()(torch.rand(9, 6, dtype=torch.float64)).sum()}):
        torch.manual_seed(0)
        logs: list[dict[str, float]] = []
        opt = made(task)
        result = opt.fit(
            *loaders(task), steps=9, evaluate=evaluate, evaluate_every=4, log=logs.append, log_every=100, progress=False
        )
        ends.append(opt)
    assert same(*ends)
    assert opt.model.training
    assert [m["step"] for m in logs] == [4, 8, 9]
    assert all("noise" in m for m in logs)
    assert result.evaluated == {"noise": logs[-1]["noise"]}


def test_algorithms_without_validation_need_no_loader_for_it(task: Any) -> None:
    opt = made(task, HypergradientDescent)
    assert opt.fit(loaders(task)[0], epochs=1, progress=False).steps == 7


def test_runs_that_are_cut_short_are_finished(task: Any) -> None:
    """Unrolled gathers batches; those that make no whole run are trained on at the end."""
    opt = made(task, Unrolled, every=4, restart=False)
    torch.manual_seed(0)
    logs: list[dict[str, float]] = []
    opt.fit(*loaders(task), steps=6, log=logs.append, log_every=1, progress=False)
    assert opt.num_hyper_steps == 1
    assert "train_loss" not in logs[0]
    assert "train_loss" in logs[3]
    assert int(opt.model[1].num_batches_tracked) == 6


def test_a_rest_that_makes_no_whole_run_is_left_out_where_runs_start_anew(task: Any) -> None:
    values = []
    for steps in (8, 10):
        opt = made(task, Unrolled, every=4)
        torch.manual_seed(0)
        opt.fit(*loaders(task), steps=steps, progress=False)
        assert opt.num_hyper_steps == 2
        values.append([p.detach().clone() for p in opt.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*values, strict=True))


@pytest.mark.parametrize("kind", [Unrolled, DrMAD])
def test_runs_draw_the_random_numbers_of_a_plain_loop(task: Any, kind: Any) -> None:
    runs = made(task, kind, restart=False, outer=lambda raws: torch.optim.SGD(raws, lr=0.0))
    plain = made(task, every=math.inf)
    for opt in (runs, plain):
        torch.manual_seed(0)
        for batch in task.batches(12):
            opt.step(batch, task.batches(1, seed=9)[0])
    for a, b in zip(runs.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_validation_data_that_draws_numbers_leaves_those_of_training_alone(task: Any) -> None:
    class Noisy(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 60

        def __getitem__(self, i: int) -> Any:
            return task.x[130 + i] + 0.01 * np.random.randn() + 0.01 * random.random(), task.y[130 + i]

    def loss(model: Any, batch: Any, hyper: Any) -> Any:
        return task.loss(model, (batch[0] + 0.01 * np.random.randn() + 0.01 * random.random(), batch[1]))

    found = []
    for val in (loaders(task)[1], DataLoader(Noisy(), batch_size=30)):
        torch.manual_seed(0), random.seed(0), np.random.seed(0)
        opt = made(task, train_loss=loss, outer=lambda raws: torch.optim.SGD(raws, lr=0.0))
        opt.fit(loaders(task, own=True)[0], val, steps=10, progress=False)
        found.append(opt)
    assert same(*found)


def test_batches_that_a_checkpoint_could_not_give_back_are_refused_when_it_is_saved(tmp_path: Path) -> None:
    class Pair(NamedTuple):
        x: torch.Tensor
        y: torch.Tensor

    path = tmp_path / "x.pt"
    with pytest.raises(HypergradError, match="a checkpoint can't hold a Pair: let the loader give batches of tensors"):
        files.save(path, {"pending": [Pair(torch.zeros(1), torch.zeros(1))]})
    assert not path.exists()


def test_a_run_that_is_over_is_over(task: Any, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.pt"
    first, second = made(task), made(task)
    wanted = first.fit(*loaders(task), epochs=2, checkpoint=path, progress=False)
    logs: list[Any] = []
    found = second.fit(*loaders(task), epochs=2, checkpoint=path, log=logs.append, progress=False)
    assert logs == []
    assert same(first, second)
    assert (found.steps, found.train_loss, found.resumed) == (wanted.steps, wanted.train_loss, True)
    third = made(task)
    assert third.fit(*loaders(task), epochs=3, checkpoint=path, progress=False).steps == 21
    assert made(task).fit(*loaders(task), epochs=1, checkpoint=path, resume=False, progress=False).steps == 7
    assert list(path.parent.iterdir()) == [path]  # no drafts


def test_a_checkpoint_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pt"
    files.save(path, {"a": 1})

    def broken(content: Any, file: Any) -> None:
        file.write(b"some of it")
        raise RuntimeError("half way")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(RuntimeError, match="half way"):
        files.save(path, {"a": 2})
    assert files.load(path)["a"] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_files_that_are_no_checkpoints(task: Any, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": 1}, path) if content is None else path.write_bytes(content)
    with pytest.raises(HypergradError, match="checkpoint") as caught:
        made(task).fit(*loaders(task), steps=1, checkpoint=path, progress=False)
    assert "resume=False" in caught.value.fix


def test_checkpoints_of_other_runs(task: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    made(task).fit(*loaders(task), steps=9, checkpoint=path, progress=False)
    with pytest.raises(HypergradError, match="not of DiffThroughOpt"):
        made(task, DiffThroughOpt, lookback=2).fit(*loaders(task), steps=20, checkpoint=path, progress=False)
    other = made(task)
    other.model.add_module("more", torch.nn.Linear(1, 1))
    with pytest.raises(HypergradError, match="another model"):
        other.fit(*loaders(task), steps=20, checkpoint=path, progress=False)
    with pytest.raises(HypergradError, match="has 1 generators, and had 0"):
        made(task).fit(*loaders(task, own=True), steps=20, checkpoint=path, progress=False)
    short = [(task.x[:20], task.y[:20])]
    with pytest.raises(HypergradError, match="fewer batches"):
        made(task).fit(short, short, steps=20, checkpoint=path, progress=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": None}, "neither steps nor epochs"),
        ({"steps": 0}, "steps=0"),
        ({"log_every": 0}, "log_every=0"),
        ({"train_loader": []}, "the training loader gives no batch"),
        ({"val_loader": []}, "the validation loader gives no batch"),
        ({"val_loader": None}, "OnePass needs validation data"),
        ({"train_loader": 3}, "the training loader is int"),
        ({"train_loader": iter([])}, "the training loader gives no batch"),
    ],
)
def test_bad_input(task: Any, change: dict[str, Any], says: str) -> None:
    train, val = loaders(task)
    with pytest.raises(HypergradError, match=says) as caught:
        made(task).fit(**{"train_loader": train, "val_loader": val, "steps": 5, "progress": False, **change})
    assert caught.value.fix


def test_an_iterator_that_runs_dry_is_told(task: Any) -> None:
    with pytest.raises(HypergradError, match="gives no batch") as caught:
        made(task).fit(iter(task.batches(3)), task.batches(3), steps=5, progress=False)
    assert "second time" in caught.value.fix


def test_progress_in_a_pipe_is_a_few_lines(task: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made(task).fit(*loaders(task), steps=40, log_every=1)
    lines = capsys.readouterr().err.splitlines()
    assert 8 <= len(lines) <= 12
    assert lines[-1].startswith("OnePass: step 40/40 · train_loss ")
    assert " · lr " in lines[-1]
    made(task).fit(*loaders(task), steps=40, progress=False)
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_is_a_bar(task: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made(task).fit(*loaders(task), epochs=2, progress=True)
    assert "14/14" in capsys.readouterr().err


def test_batches_go_to_the_device_whatever_they_are_made_of() -> None:
    from collections import namedtuple

    Pair = namedtuple("Pair", "x y")
    batch = {"a": torch.ones(1), "b": [torch.ones(1), "text"], "c": Pair(torch.ones(1), 3)}
    moved = to_device(batch, torch.device("meta"))
    assert moved["a"].device.type == moved["b"][0].device.type == moved["c"].x.device.type == "meta"
    assert (moved["b"][1], moved["c"].y, type(moved["c"])) == ("text", 3, Pair)


def test_samplers_are_told_the_epoch() -> None:
    class Sampler:
        def __init__(self) -> None:
            self.epochs: list[int] = []

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    class Loader(list[int]):
        sampler = Sampler()

    loader = Loader([1, 2])
    cycle = Cycle(loader, name="it")
    assert [cycle.next() for _ in range(5)] == [1, 2, 1, 2, 1]
    assert loader.sampler.epochs == [0, 1, 2]
