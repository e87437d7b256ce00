"""Population-based training beside fixed configurations, with the same number of training steps.

   python -m benchmarks.search population [--quick] [--json FILE] [--check] [--repeats N] [--tasks TASK …]

The table has PBT, PB2, PBT without exploration, and random search, whose trials train as
long with one configuration each. Population and steps are the same for all; founders are the same draws for the three populations.

- ``toy``: the quadratic of the PBT paper's Figure 2: maximise 1.2 − θ₀² − θ₁² by gradients of 1.2 − h₀θ₀² − h₁θ₁², here with
  h₀ + h₁ ≤ 1, so that no h serves both at once. Shown: the distance from the optimum.
- ``noisy``: stochastic gradients of a badly conditioned quadratic: a great rate comes near fast, only a small one comes nearer. Shown: log₁₀ of the loss.
- ``digits``: a network of 32 hidden units on scikit-learn's digits, learning rate, momentum and weight decay. Shown: the test error, in per cent, of
  what has the least validation loss.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks._harness import Report, arguments
from whet.plugins import build
from whet.space import Float, Space
from whet.trial import Phase, Problem, Trial

State = Any
Task = tuple[
    Space,
    Callable[[int], State],
    Callable[[State, Mapping[str, float], int], State],
    Callable[[State], tuple[float, float]],
]
"""A space, the first state by seed, a stretch of training (by a seed of its own), and (what is searched by, what is shown) of a state."""


def toy() -> Task:
    space = Space({"h0": Float(0.0, 1.0), "h1": Float(0.0, 1.0)}, constraints=["h0 + h1 <= 1"])

    def train(theta: State, h: Mapping[str, float], seed: int) -> State:
        for _ in range(4):
            theta = (theta[0] * (1 - 0.02 * h["h0"]), theta[1] * (1 - 0.02 * h["h1"]))
        return theta

    return space, lambda seed: (0.9, 0.9), train, lambda theta: (theta[0] ** 2 + theta[1] ** 2,) * 2


def noisy() -> Task:
    space = Space({"lr": Float(1e-4, 1.0, log=True)})
    curvature = np.logspace(-2, 0, 20)

    def train(w: State, p: Mapping[str, float], seed: int) -> State:
        rng = np.random.default_rng(seed)
        for _ in range(20):
            w = w - p["lr"] * (curvature * w + np.sqrt(curvature) * rng.normal(size=w.shape))
        return w

    def loss(w: State) -> tuple[float, float]:
        value = float(0.5 * (curvature * w * w).sum())
        return value, math.log10(value) if math.isfinite(value) and value > 0 else 9.0

    return space, lambda seed: 10 * np.random.default_rng(seed).normal(size=20), train, loss


@lru_cache
def _digits() -> tuple[Any, ...]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x / 16.0)[order], y[order]
    return x[:600], y[:600], x[600:1100], y[600:1100], x[1100:], y[1100:]


def digits() -> Task:
    space = Space(
        {"lr": Float(1e-3, 3.0, log=True), "momentum": Float(0.0, 0.99), "decay": Float(1e-6, 1e-1, log=True)}
    )
    train_x, train_y, val_x, val_y, test_x, test_y = _digits()

    def first(seed: int) -> State:
        rng = np.random.default_rng(seed)
        weights = [rng.normal(size=(64, 32)) / 8, np.zeros(32), rng.normal(size=(32, 10)) / 6, np.zeros(10)]
        return weights, [np.zeros_like(w) for w in weights]

    def scores(weights: list[Any], x: Any) -> tuple[Any, Any]:
        hidden = np.maximum(x @ weights[0] + weights[1], 0.0)
        return hidden, hidden @ weights[2] + weights[3]

    def softmax(score: Any) -> Any:
        e = np.exp(score - score.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def train(state: State, p: Mapping[str, float], seed: int) -> State:
        weights, velocity = ([a.copy() for a in part] for part in state)
        order = np.random.default_rng(seed).permutation(len(train_x))
        for batch in order.reshape(-1, 30):
            x, y = train_x[batch], train_y[batch]
            hidden, score = scores(weights, x)
            delta = softmax(score)
            delta[np.arange(len(y)), y] -= 1.0
            delta /= len(y)
            back = (delta @ weights[2].T) * (hidden > 0)
            gradient = [x.T @ back, back.sum(0), hidden.T @ delta, delta.sum(0)]
            for w, v, g in zip(weights, velocity, gradient, strict=True):
                v *= p["momentum"]
                v -= p["lr"] * (g + p["decay"] * w)
                w += v
        return weights, velocity

    def loss(state: State) -> tuple[float, float]:
        with np.errstate(all="ignore"):
            chance = softmax(scores(state[0], val_x)[1])[np.arange(len(val_y)), val_y]
            value = float(-np.log(np.maximum(chance, 1e-12)).mean())
            wrong = 100 * float((scores(state[0], test_x)[1].argmax(1) != test_y).mean())
        return value if math.isfinite(value) else 1e9, wrong

    return space, first, train, loss


TASKS = {"toy": (toy, 4, 40), "noisy": (noisy, 8, 20), "digits": (digits, 8, 20)}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "pbt": ("pbt", {}),
    "pb2": ("pb2", {}),
    "pbt, exploit only": ("pbt", {"resample": 0.0, "factor": 1.0001}),
    "random": ("pbt", {"truncation": 0.0}),  # the founders go on as they are
}


def run(task: Task, method: str, population: int, stretches: int, seed: int) -> float:
    """Return what is shown of the best state at the end."""
    space, first, train, loss = task
    name, knobs = METHODS[method]
    knobs = {"truncation": 0.25, **knobs, "population": population, "generations": stretches}
    searcher = build("searcher", name, Problem(space=space), knobs_given=knobs, seed=seed)
    states: dict[int, State] = {}
    last: list[tuple[float, float]] = []
    for number in range(population * stretches):
        (suggestion,) = searcher.ask(1)
        before = first(1000 * seed + number) if suggestion.parent is None else states[suggestion.parent]
        with np.errstate(all="ignore"):
            states[number] = train(before, suggestion.params, 7919 * seed + number)
            value, shown = loss(states[number])
        last.append((value, shown))
        params = dict(suggestion.params)
        searcher.tell(
            [Trial(number=number, params=params, parent=suggestion.parent, phase=Phase.FINISHED, values=(value,))], []
        )
    return min(last[-population:])[1]


def main() -> int:
    """Run every method on every task, and hold it against the bounds."""

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--tasks", nargs="*", choices=list(TASKS), help="which (default all, with --quick toy and noisy)"
        )

    given = arguments(__doc__ or "", repeats=20, quick_repeats=3, more=more)
    names = given.tasks or (["toy", "noisy"] if given.quick else list(TASKS))
    report = Report(title=f"Populations beside fixed configurations, {given.repeats} seeds")
    rows: list[list[str]] = []
    for name in names:
        make, population, stretches = TASKS[name]
        task = make()
        found = {
            m: np.array([run(task, m, population, stretches, seed) for seed in range(given.repeats)]) for m in METHODS
        }
        print(f"  {name}", file=sys.stderr, flush=True)
        report.data[name] = {method: values.tolist() for method, values in found.items()}
        won = int((found["pbt"] < found["random"]).sum())
        better = int((found["pb2"] < found["pbt"]).sum())
        wins = [f"{count} of {given.repeats}" for count in (won, better)]
        rows.append([name, f"{population} × {stretches}", *map(_text, found.values()), *wins])
        if not given.quick:
            got = float(found["pbt"].mean() - found["random"].mean())
            report.bound(f"{name}: PBT's mean is not above that of fixed configurations", got, got <= 0)
    columns = ["task", "population × stretches", *METHODS, "pbt < random", "pb2 < pbt"]
    report.table("what is shown of the best state, less is better", columns, rows)
    return report.finish(given)


def _text(values: Any) -> str:
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{values.mean():.3g} ± {values.std(ddof=1) / math.sqrt(len(values)):.1g}"
