"""What is found within limits that only trials can tell: Whet's default search beside Optuna's TPE and Gaussian process with constraints, and random search.

    python -m benchmarks.search limits [--quick] [--json FILE] [--check] [--repeats N]

Problems with a known best within their limits:

    disc        Branin's function within a disc that leaves one of its three optima (Gelbart et al., 2014): 2 parameters, 1 limit
    gardner1    cos 2x cos y + sin x, with a sinusoid to be kept low: two islands (Gardner et al., 2014): 2 parameters, 1 limit
    gardner2    sin x + y, with a limit so tight that a random point in 25 keeps it (the same): 2 parameters, 1 limit
    gramacy     x + y, with two limits that cut out curved regions (Gramacy et al., 2016): 2 parameters, 2 limits
    hartmann6   Hartmann's function, with its parameters' norm at most 1: 6 parameters, 1 limit
    mixed       a made-up network: depth, width, format, learning rate; loss, with limits on latency and accuracy: 4 parameters, 2 limits

Regret is 0 at the best that keeps the limits, and 1 at what random search has after 10 trials that keep them (the median over many
searches). A run that found nothing within the limits has the regret of the worst of the random points that keep them.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import random
import statistics
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from benchmarks._harness import Report, arguments, number
from benchmarks.search.problems import suggested, usual_loss
from whet.plugins import build
from whet.space import Choice, Float, Int, Space
from whet.trial import Limit, Phase, Trial
from whet.trial import Problem as Search

__all__ = ["FIRST_SEED", "PROBLEMS", "Problem", "main", "study"]

FIRST_SEED = 1000
AT = (50, 100)
_DRAWS = 20_000
_NEAREST = 1e-4  # regrets below it are equal
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A loss and the values that are limited, over a space.

    Args:
        space, loss: What is searched, and what for.
        measured: The limited values, by name.
        limits: On them.
    """

    space: Space
    loss: Callable[[Params], float]
    measured: Callable[[Params], Mapping[str, float]]
    limits: tuple[Limit, ...]

    def keeps(self, params: Params) -> bool:
        """Return whether a configuration keeps all limits."""
        said = self.measured(params)
        return not any(limit.excess(said[limit.name]) for limit in self.limits)


def _branin(p: Params) -> float:
    x, y = p["x"], p["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def _hartmann(p: Params) -> float:
    from benchmarks.search.problems import _A, _C, _P

    x = np.array([p[f"x{i}"] for i in range(6)])
    return -float(_C @ np.exp(-(_A * (x - _P) ** 2).sum(1)))


_SPEED = {"fp32": 1.0, "fp16": 0.55, "int8": 0.35}
_HARM = {"fp32": 0.0, "fp16": 0.004, "int8": 0.02}


def _network(p: Params) -> tuple[float, float, float]:
    """Return loss, latency in ms and accuracy: what is larger is better and slower, what is coarser faster and worse."""
    size = p["depth"] * p["width"] ** 1.5
    off = math.log10(p["lr"] / 3e-3 * math.sqrt(p["depth"] / 6))
    loss = 0.08 + 2.2 * size**-0.32 + 0.12 * off**2 + _HARM[p["format"]] * (1 + 12 / p["width"] ** 0.5)
    return loss, 2.0 + _SPEED[p["format"]] * size / 350, 0.99 - 0.25 * loss - 1.5 * _HARM[p["format"]]


_SQUARE = Space({"x": Float(0, 6), "y": Float(0, 6)})
_UNIT = Space({"x": Float(0, 1), "y": Float(0, 1)})

PROBLEMS: Mapping[str, Problem] = {
    "disc": Problem(
        space=Space({"x": Float(-5, 10), "y": Float(0, 15)}),
        loss=_branin,
        measured=lambda p: {"far": (p["x"] - 2.5) ** 2 + (p["y"] - 7.5) ** 2},
        limits=(Limit(name="far", max=50.0),),
    ),
    "gardner1": Problem(
        space=_SQUARE,
        loss=lambda p: math.cos(2 * p["x"]) * math.cos(p["y"]) + math.sin(p["x"]),
        measured=lambda p: {"c": math.cos(p["x"]) * math.cos(p["y"]) - math.sin(p["x"]) * math.sin(p["y"])},
        limits=(Limit(name="c", max=0.5),),
    ),
    "gardner2": Problem(
        space=_SQUARE,
        loss=lambda p: math.sin(p["x"]) + p["y"],
        measured=lambda p: {"c": math.sin(p["x"]) * math.sin(p["y"])},
        limits=(Limit(name="c", max=-0.95),),
    ),
    "gramacy": Problem(
        space=_UNIT,
        loss=lambda p: p["x"] + p["y"],
        measured=lambda p: {
            "sinus": 0.5 * math.sin(2 * math.pi * (p["x"] ** 2 - 2 * p["y"])) + p["x"] + 2 * p["y"],
            "norm": p["x"] ** 2 + p["y"] ** 2,
        },
        limits=(Limit(name="sinus", min=1.5), Limit(name="norm", max=1.5)),
    ),
    "hartmann6": Problem(
        space=Space({f"x{i}": Float(0, 1) for i in range(6)}),
        loss=_hartmann,
        measured=lambda p: {"norm": math.sqrt(sum(v * v for v in p.values()))},
        limits=(Limit(name="norm", max=1.0),),
    ),
    "mixed": Problem(
        space=Space({"depth": Int(2, 24), "width": Int(16, 512, log=True), "format": Choice(list(_SPEED)),
                     "lr": Float(1e-4, 1e-1, log=True)}),
        loss=lambda p: _network(p)[0],
        measured=lambda p: dict(zip(("latency_ms", "accuracy"), _network(p)[1:], strict=True)),
        limits=(Limit(name="latency_ms", max=20.0), Limit(name="accuracy", min=0.9)),
    ),
}  # fmt: skip


@functools.cache
def scale(name: str) -> tuple[float, float, float]:
    """Return the best loss within the limits, the loss whose regret is 1, and the worst of many random points within them."""
    problem = PROBLEMS[name]
    rng = random.Random(f"limits/{name}")
    losses: list[float] = []
    kept: list[tuple[float, dict[str, object]]] = []
    for _ in range(_DRAWS):
        params = problem.space.sample(rng)
        if problem.keeps(params):
            loss = problem.loss(params)
            losses.append(loss)
            kept.append((loss, params))
    kept.sort(key=lambda entry: entry[0])
    found = _best_network() if name == "mixed" else min(_polished(problem, params) for _, params in kept[:12])
    return found, usual_loss(losses, rng), max(losses)


def _polished(problem: Problem, params: Mapping[str, object]) -> float:
    """Return the least loss within the limits near `params`, by SLSQP."""
    names = list(problem.space)

    def placed(u: Any) -> dict[str, object]:
        units = np.clip(u, 0.0, 1.0).tolist()
        return {n: problem.space[n].decode(v) for n, v in zip(names, units, strict=True)}

    def slack(u: Any) -> list[float]:
        said = problem.measured(placed(u))
        both = ((said[k.name], k) for k in problem.limits)
        return [
            s for v, k in both for s in ([] if k.max is None else [k.max - v]) + ([] if k.min is None else [v - k.min])
        ]

    start = np.array([problem.space[n].encode(params[n]) for n in names])
    made = minimize(
        lambda u: problem.loss(placed(u)), start, method="SLSQP", bounds=[(0.0, 1.0)] * len(names),
        constraints=[{"type": "ineq", "fun": slack}], options={"maxiter": 200, "ftol": 1e-12},
    )  # fmt: skip
    return problem.loss(placed(made.x)) if min(slack(made.x)) >= -1e-6 else math.inf


def _best_network() -> float:
    """Return the least loss of `mixed`: of each depth, width and format with the best learning rate."""
    problem = PROBLEMS["mixed"]
    every = (
        {"depth": depth, "width": width, "format": name, "lr": 3e-3 / math.sqrt(depth / 6)}
        for depth, width, name in itertools.product(range(2, 25), range(16, 513), _SPEED)
    )
    return min(problem.loss(params) for params in every if problem.keeps(params))


def study(method: str, name: str, seed: int, count: int) -> list[float]:
    """Return the best loss within the limits after 1, 2, … trials; infinite while there is none."""
    problem = PROBLEMS[name]
    peer = method.removeprefix("optuna ")
    found = _whet(method, problem, seed, count) if peer == method else _optuna(peer, problem, seed, count)
    losses = (problem.loss(params) if problem.keeps(params) else math.inf for params in found)
    return list(itertools.accumulate(losses, min))


def _whet(method: str, problem: Problem, seed: int, count: int) -> list[Params]:
    searcher: Any = build(
        "searcher", method, Search(space=problem.space, limits=problem.limits), knobs_given={}, seed=seed
    )
    found: list[Params] = []
    for turn in range(count):
        params = searcher.ask(1)[0].params
        found.append(params)
        loss, said = problem.loss(params), problem.measured(params)
        searcher.tell([Trial(number=turn, params=params, phase=Phase.FINISHED, values=(loss,), attrs=said)], [])
    return found


def _optuna(sampler: str, problem: Problem, seed: int, count: int) -> list[Params]:
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    excess = {limit.name: limit for limit in problem.limits}

    def constraints(trial: Any) -> list[float]:
        # Signed, as its manual asks: how far below the bound counts as well.
        said = trial.user_attrs
        return [said[n] - k.max if k.max is not None else k.min - said[n] for n, k in excess.items()]  # type: ignore[operator]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = {"tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler}[sampler]
        made = optuna.create_study(sampler=kind(seed=seed, constraints_func=constraints))
        found: list[Params] = []
        for _ in range(count):
            trial = made.ask()
            params = suggested(trial, problem.space)
            for key, value in problem.measured(params).items():
                trial.set_user_attr(key, value)
            made.tell(trial, problem.loss(params))
            found.append(params)
    return found


def _regrets(task: tuple[str, str, int]) -> tuple[tuple[str, str, int], list[tuple[float, bool]]]:
    method, name, seed = task
    best, usual, worst = scale(name)
    curve = study(method, name, seed, AT[-1])
    return task, [(max(min(curve[n - 1], worst) - best, 0.0) / (usual - best), curve[n - 1] < math.inf) for n in AT]


_METHODS = ("bayes", "tpe", "optuna tpe", "optuna gp", "random")
_TITLES = {
    "bayes": "Whet bayes",
    "tpe": "Whet tpe",
    "optuna tpe": "Optuna TPE",
    "optuna gp": "Optuna GP",
    "random": "random",
}
_PEERS = ("optuna tpe", "optuna gp")


def main() -> int:
    """Run everything, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=10, quick_repeats=2, more=_more)
    names = ["disc", "gardner1", "mixed"] if given.quick else list(PROBLEMS)
    seeds = range(given.first, given.first + given.repeats)
    tasks = [(method, name, seed) for name in names for seed in seeds for method in _METHODS]
    found: dict[tuple[str, str], list[list[tuple[float, bool]]]] = {}
    with ProcessPoolExecutor(given.jobs) as pool:
        for done, ((method, name, _), at) in enumerate(pool.map(_regrets, tasks), 1):
            found.setdefault((method, name), []).append(at)
            if done % 20 == 0 or done == len(tasks):
                print(f"  {done} of {len(tasks)} searches", file=sys.stderr, flush=True)
    report = Report(title=f"Limits, {len(names)} problems, {given.repeats} seeds")
    for place, count in enumerate(AT):
        mean = {key: statistics.fmean(at[place][0] for at in runs) for key, runs in found.items()}
        hits = {key: sum(at[place][1] for at in runs) for key, runs in found.items()}
        rows = []
        for name in names:
            cells = [f"{number(mean[m, name])} ({hits[m, name]}/{given.repeats})" for m in _METHODS]
            rows.append([name, *cells])
        rows.append(["all, mean", *(number(statistics.fmean(mean[m, n] for n in names)) for m in _METHODS)])
        report.table(
            f"mean regret within the limits after {count} trials (searches that found any)",
            ["problem", *(_TITLES[m] for m in _METHODS)],
            rows,
        )
        report.data[str(count)] = {
            f"{m} {n}": {"regret": mean[m, n], "found": hits[m, n]} for m in _METHODS for n in names
        }
        for name in names:
            for peer in _PEERS:
                mine, theirs = mean["bayes", name], max(mean[peer, name], _NEAREST)
                report.bound(
                    f"{name} after {count}: regret at most that of {_TITLES[peer]}", mine / theirs, mine <= theirs
                )
    return report.finish(given)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes at a time (default 2)")
    parser.add_argument("--first", type=int, default=FIRST_SEED, metavar="SEED", help=f"default {FIRST_SEED}")


if __name__ == "__main__":
    sys.exit(main())
