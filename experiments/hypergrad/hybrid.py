"""A hybrid study against pure search at equal time, on scikit-learn's digits, with the same network, space and steps a trial.

Two tasks. "sources": the training images come from 16 sources, of whose labels between none and all are wrong; each source has a weight
in the loss, so that there are 21 parameters. TPE has to find them all; the hybrid lets TPE choose the other parameters and where the
weights start, and one-pass hypergradients move the weights and the decay within each trial. "plain": clean labels and nine parameters of a usual kind,
the hybrid moves the seven that are continuous. The bounds are for the first: many hyperparameters are what hypergradients are for.

A trial of the hybrid takes longer, so it makes fewer. Trials are selected by their validation loss at the end; the test loss is that of
the trial that was selected. Settings were chosen on other seeds than those that are reported.

A full run draws docs/images/hybrid.svg. The bound is for a machine with nothing else to do.
"""

from __future__ import annotations

import logging
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks._harness import Report, arguments
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

import whet
from whet.hypergrad.penalties import L2
from whet.hypergrad.problem import Bilevel
from whet.hypergrad.updates.sgd import SGD
from whet.space import Choice, Float, Int, Space

SOURCES = 16
_WEIGHTS = [f"source{i}" for i in range(SOURCES)]
_COMMON = {
    "lr": Float(1e-4, 1.0, log=True),
    "momentum": Float(0.0, 0.99),
    "width": Int(8, 128, log=True),
    "activation": Choice(["relu", "tanh"]),
}
STEPS, BATCH = 400, 50
BUDGET_S, QUICK_S = 40.0, 5.0
PLOT = Path(__file__).parents[2] / "docs" / "images" / "hybrid.svg"

Batch = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A trial: when it ended, in seconds since its study began, and its losses."""

    seconds: float
    validation: float
    test: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is tuned: a space, the sizes of training and validation set, the problem, and what the hybrid moves."""

    space: Space
    sizes: tuple[int, int]
    problem: Callable[[Mapping[str, Any]], Bilevel]
    hybrid: Mapping[str, Any]

    def methods(self) -> dict[str, Any]:
        """Return both methods."""
        return {"TPE": "tpe", "hybrid": {"search": "tpe", **self.hybrid}}


def data(sizes: tuple[int, int]) -> tuple[Batch, Batch, Batch]:
    """Return training set (pixels in [0, 1], labels, sources, labels of which a part is wrong), validation and test set (pixels, labels)."""
    pixels, digits = load_digits(return_X_y=True)
    rng = torch.Generator().manual_seed(0)
    order = torch.randperm(len(digits), generator=rng)
    x, y = torch.tensor(pixels, dtype=torch.float32)[order] / 16, torch.tensor(digits)[order]
    num_train, num_val = sizes
    source = torch.arange(num_train) % SOURCES
    share = torch.linspace(0, 1, SOURCES)[torch.randperm(SOURCES, generator=rng)]
    wrong = torch.rand(num_train, generator=rng) < share[source]
    labels = torch.where(wrong, torch.randint(0, 10, (num_train,), generator=rng), y[:num_train])
    val, test = slice(num_train, num_train + num_val), slice(num_train + num_val, None)
    return (x[:num_train], y[:num_train], source, labels), (x[val], y[val]), (x[test], y[test])


def _weighted_loss(model: nn.Module, batch: Batch, hyper: Any) -> Tensor:
    """Return the mean cross-entropy with the labels as the sources have them, each source with its weight."""
    each = torch.stack([torch.as_tensor(hyper[name], dtype=batch[0].dtype) for name in _WEIGHTS])[batch[2]]
    return (each * cross_entropy(model(batch[0]), batch[3], reduction="none")).sum() / each.sum()


def _noisy_loss(model: nn.Module, batch: Batch, hyper: Any) -> Tensor:
    """Return the cross-entropy on noisy inputs with smoothed labels."""
    logits = model(batch[0] + hyper["noise"] * torch.randn_like(batch[0]))
    uniform = -log_softmax(logits, 1).mean()
    return (1 - hyper["smoothing"]) * cross_entropy(logits, batch[1]) + hyper["smoothing"] * uniform


def val_loss(model: nn.Module, batch: Batch, hyper: Any) -> Tensor:
    """Return the cross-entropy."""
    return cross_entropy(model(batch[0]), batch[1])


def _network(config: Mapping[str, Any]) -> nn.Sequential:
    width, act = config["width"], {"relu": nn.ReLU, "tanh": nn.Tanh}[config["activation"]]
    return nn.Sequential(nn.Linear(64, width), act(), nn.Linear(width, width), act(), nn.Linear(width, 10))


def _sources(config: Mapping[str, Any]) -> Bilevel:
    return Bilevel(
        model=_network(config), train_loss=_weighted_loss, val_loss=val_loss, update=SGD(lr="lr", momentum="momentum"),
        penalty=L2(strength="decay"),
    )  # fmt: skip


def _plain(config: Mapping[str, Any]) -> Bilevel:
    penalty = tuple(
        L2(strength=f"decay{i + 1}", only=lambda name, layer=layer: name == f"{layer}.weight")
        for i, layer in enumerate((0, 2, 4))
    )
    update = SGD(lr="lr", momentum="momentum")
    return Bilevel(model=_network(config), train_loss=_noisy_loss, val_loss=val_loss, update=update, penalty=penalty)


TASKS = {
    "sources": Task(
        space=Space({**_COMMON, "decay": Float(1e-6, 0.1, log=True), **{name: Float(0.01, 1.0, log=True) for name in _WEIGHTS}}),
        sizes=(800, 200), problem=_sources, hybrid={"name": "one_pass", "tune": [*_WEIGHTS, "decay"], "outer_lr": 0.2},
    ),
    "plain": Task(
        space=Space({**_COMMON, **{f"decay{i}": Float(1e-6, 0.1, log=True) for i in (1, 2, 3)},
                     "noise": Float(1e-3, 1.0, log=True), "smoothing": Float(1e-4, 0.5, log=True)}),
        sizes=(600, 400), problem=_plain, hybrid={"name": "one_pass"},
    ),
}  # fmt: skip


def study(task: Task, method: Any, seed: int, budget_s: float, steps: int, limit: int | None = None) -> list[Point]:
    """Return the trials of a study of so many seconds, at most `limit`; one that runs at the end of them does not count."""
    train, val, test = data(task.sizes)
    latest = math.nan

    def batches(config: Mapping[str, Any]) -> Iterator[Batch]:
        while True:
            for rows in torch.randperm(len(train[0])).split(BATCH):
                yield tuple(part[rows] for part in train)

    def metric(model: nn.Module) -> float:
        nonlocal latest
        latest = float(val_loss(model, test, None))
        return float(val_loss(model, val, None))

    def note(_: whet.Study, trial: whet.FrozenTrial) -> None:
        if trial.complete and trial.value is not None:
            points.append(Point(seconds=time.perf_counter() - began, validation=trial.value, test=latest))

    points: list[Point] = []
    training = whet.Training(task.problem, train=batches, val=[val], steps=steps, evaluate_every=steps, metric=metric)
    made = whet.create_study(space=task.space, method=method, seed=seed, stopper="none", storage="memory")
    began = time.perf_counter()
    made.optimize(training, n_trials=limit, timeout=budget_s, callbacks=[note])
    return [point for point in points if point.seconds <= budget_s]


def best(points: Sequence[Point], seconds: float) -> Point | None:
    """Return the best by validation loss of those that had ended by then."""
    return min((p for p in points if p.seconds <= seconds), key=lambda p: p.validation, default=None)


def main() -> int:
    """Run both on every seed, in turns, and say who is ahead when."""
    given = arguments(__doc__ or "", repeats=10, quick_repeats=2)
    torch.set_num_threads(1)
    whet.logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", module="whet")
    budget_s, steps = (QUICK_S, 100) if given.quick else (BUDGET_S, STEPS)
    report = Report(title=f"Digits, {steps} steps a trial, {budget_s:.0f} s a study, {given.repeats} seeds")
    for label, task in TASKS.items():
        methods = task.methods()
        for method in methods.values():  # what is loaded at its first use is no part of the comparison
            study(task, method, 1000, math.inf, 20, limit=2)
        found: dict[str, list[list[Point]]] = {name: [] for name in methods}
        for seed in range(given.repeats):
            for name in list(methods)[:: 1 if seed % 2 else -1]:
                found[name].append(study(task, methods[name], seed, budget_s, steps))
                print(f"  {label}  seed {seed}  {name}  {len(found[name][-1])} trials", file=sys.stderr, flush=True)
        wins = _tabulate(report, label, found, budget_s, given.repeats)
        if label == "sources" and not given.quick:
            draw(found, budget_s)
            report.remark(f"drawn: {PLOT.relative_to(PLOT.parents[2])}")
            ratio = _final(found["hybrid"], budget_s) / _final(found["TPE"], budget_s)
            report.bound(
                "sources: the hybrid's median validation loss below TPE's at equal time (ratio < 1)", ratio, ratio < 1
            )
            report.bound("sources: the hybrid ahead on more than half of the seeds", wins, wins > given.repeats / 2)
    return report.finish(given)


def _tabulate(report: Report, label: str, found: Mapping[str, list[list[Point]]], budget_s: float, repeats: int) -> int:
    """Show one task, and return on how many seeds the hybrid is ahead at the end."""
    rows, wins = [], 0
    for share in (0.1, 0.25, 0.5, 1.0):
        at = {name: [best(points, share * budget_s) for points in runs] for name, runs in found.items()}
        cells = [statistics.median(p.validation if p else math.inf for p in at[name]) for name in found]
        tests = [statistics.median(p.test if p else math.inf for p in at[name]) for name in found]
        wins = sum(_loss(h) < _loss(t) for h, t in zip(at["hybrid"], at["TPE"], strict=True))
        rows.append([f"{share * budget_s:.0f} s", *(f"{v:.4f}" for v in cells), f"{wins} of {repeats}", *(f"{v:.4f}" for v in tests)])  # fmt: skip
    report.table(f"{label}: median of the best validation loss so far, and the test loss of the same trials",
                 ["after", *found, "hybrid ahead", *(f"{name}, test" for name in found)], rows)  # fmt: skip
    counts = {name: statistics.median(len(points) for points in runs) for name, runs in found.items()}
    report.remark(", ".join(f"{name}: {count:g} trials" for name, count in counts.items()) + " (medians)")
    report.data[label] = {
        name: [{"trials": len(points), "improvements": [asdict(p) for p in _improving(points)]} for points in runs]
        for name, runs in found.items()
    }
    return wins


def _improving(points: Sequence[Point]) -> list[Point]:
    return [p for i, p in enumerate(points) if all(p.validation < before.validation for before in points[:i])]


def _loss(point: Point | None) -> float:
    return math.inf if point is None else point.validation


def _final(runs: Sequence[Sequence[Point]], seconds: float) -> float:
    return statistics.median(_loss(best(points, seconds)) for points in runs)


# -- the plot -------------------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 400, 64, 40, 20, 48
_COLOURS = {"TPE": "#777777", "hybrid": "#0b6cb8"}


def draw(found: Mapping[str, Sequence[Sequence[Point]]], budget_s: float) -> None:
    """Draw medians over the seeds, with the quartiles as bands, against seconds."""
    times = [budget_s * i / 200 for i in range(1, 201)]
    bands: dict[str, list[tuple[float, float, float, float]]] = {}
    for name, runs in found.items():
        rows = [(t, sorted(_loss(best(points, t)) for points in runs)) for t in times]
        bands[name] = [(t, *_quartiles(v)) for t, v in rows if math.isfinite(_quartiles(v)[2])]
    values = [value for band in bands.values() for _, *three in band for value in three]
    low, high = math.log10(min(values) * 0.95), math.log10(max(values) * 1.05)

    def place(seconds: float, value: float) -> str:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / budget_s
        y = _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - math.log10(value)) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]  # fmt: skip
    steps = [m * 10.0**e for e in range(-4, 2) for m in (1, 1.5, 2, 3, 4, 5, 6, 8)]
    for value in (v for v in steps if low <= math.log10(v) <= high):
        x, y = place(0, value).split(",")
        parts.append(f'<path d="M{x},{y}H{_WIDTH - _RIGHT}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for i in range(5):
        x = place(budget_s * i / 4, 10**low).split(",")[0]
        parts.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{budget_s * i / 4:.0f}</text>')
    for i, (name, band) in enumerate(bands.items()):
        colour = _COLOURS[name]
        edge = [place(t, upper) for t, _, _, upper in band] + [place(t, lower) for t, lower, _, _ in reversed(band)]
        parts.append(f'<polygon points="{" ".join(edge)}" fill="{colour}" opacity="0.18"/>')
        middle = " ".join(place(t, median) for t, _, median, _ in band)
        parts.append(f'<polyline points="{middle}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = _TOP + 20 * i + 8
        parts.append(f'<path d="M{_WIDTH - 190},{y}h24" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_WIDTH - 160}" y="{y + 4}">{name}</text>')
    parts += [
        f'<text x="{_LEFT}" y="22" font-weight="bold">Digits from 16 sources: best validation loss, median and quartiles of {len(next(iter(found.values())))} seeds</text>',
        f'<text x="{(_WIDTH + _LEFT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">seconds</text>',
        "</svg>",
    ]  # fmt: skip
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    PLOT.write_text("\n".join(parts) + "\n")


def _quartiles(ordered: Sequence[float]) -> tuple[float, float, float]:
    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = ordered[math.floor(place)]
        high = ordered[math.ceil(place)]
        return low if low == high else low + (place - math.floor(place)) * (high - low)

    return at(0.25), at(0.5), at(0.75)


if __name__ == "__main__":
    sys.exit(main())
