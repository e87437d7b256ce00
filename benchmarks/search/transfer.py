"""What a sweep gains from earlier ones, and what misleading ones cost it: `start_from` beside a search from scratch.

    python -m benchmarks.search transfer [--quick] [--json FILE] [--check] [--repeats N] [--methods NAMES]

Families of related problems: Branin's and Hartmann's functions, shifted and bent at random; published grids of networks, of which one data set is
new and three others have been searched before. An earlier sweep has 50 trials of `bayes` on its own problem. Regret is that of
`regret`: 0 at the best, 1 at the median of random search after 10 trials; of each problem the median over the seeds is taken, and over the
problems the mean.

"misled" begins with sweeps that looked for the worst: same problems, the losses reversed.

What Whet does was chosen on seeds below 1000; seeds from 1000 on, which are reported, had no part in it.
"""

from __future__ import annotations

import argparse
import functools
import math
import random
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from benchmarks._harness import Report, arguments
from benchmarks.search.tables import network
from whet.config import Plugin, SweepConfig
from whet.space import Float, Space
from whet.study.earlier import taken
from whet.study.searching import searcher_of
from whet.trial import Earlier, Phase, Trial
from whet.trial import Problem as Search

__all__ = ["FAMILIES", "FIRST_SEED", "Task", "family", "main", "study"]

FIRST_SEED = 1000
AT = (10, 25, 50)
_PAST = 50
_WAYS = ("scratch", "transfer", "misled")
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A loss over a space, the least of it, and what a regret of 1 is."""

    space: Space
    loss: Callable[[Params], float]
    best: float
    scale: float


def study(
    method: str, task: Task, seed: int, count: int, earlier: tuple[Earlier, ...] = (), sign: float = 1.0
) -> list[Trial]:
    """Return the trials of a sweep."""
    searcher = searcher_of(
        SweepConfig(problem=Search(space=task.space, earlier=earlier), method=Plugin(name=method), seed=seed)
    )
    found: list[Trial] = []
    for number in range(count):
        params = searcher.ask(1)[0].params
        found.append(Trial(number=number, params=params, phase=Phase.FINISHED, values=(sign * task.loss(params),)))
        searcher.tell(found[-1:], [])
    return found


# -- families -------------------------------------------------------------------------------------------------------------


def _task(space: Space, loss: Callable[[Params], float], best: float) -> Task:
    bests = []
    for seed in range(20):
        rng = random.Random(f"scale/{seed}")
        bests.append(min(loss(space.sample(rng)) for _ in range(10)))
    return Task(space=space, loss=loss, best=best, scale=max(statistics.median(bests) - best, 1e-12))


def _least(value: Callable[[np.ndarray[Any, Any]], float], bounds: list[tuple[float, float]], starts: int) -> float:
    rng = np.random.default_rng(0)
    low, high = np.array(bounds).T
    points = low + rng.random((starts, len(bounds))) * (high - low)
    points = points[np.argsort([value(p) for p in points])[:20]]
    return min(float(minimize(value, p, bounds=bounds, method="L-BFGS-B").fun) for p in points)


def _branin(seed: str) -> Task:
    rng = random.Random(seed)
    dx, dy = rng.uniform(-1.5, 1.5), rng.uniform(-1.5, 1.5)
    a, tilt = rng.uniform(0.7, 1.4), rng.uniform(-0.5, 0.5)

    def value(at: np.ndarray[Any, Any]) -> float:
        x, y = at[0] - dx, at[1] - dy
        bowl = a * (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
        return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 + tilt * x)

    space = Space({"x": Float(-5, 10), "y": Float(0, 15)})
    best = _least(value, [(-5, 10), (0, 15)], 2000)
    return _task(space, lambda params: value(np.array([params["x"], params["y"]])), best)


def _hartmann(seed: str) -> Task:
    from benchmarks.search.problems import _A, _C, _P

    rng = np.random.default_rng(int.from_bytes(seed.encode(), "big") % 2**32)
    c, p = _C * np.exp(0.2 * rng.standard_normal(4)), _P + 0.05 * rng.standard_normal(_P.shape)

    def value(x: np.ndarray[Any, Any]) -> float:
        return -float(c @ np.exp(-(_A * (x - p) ** 2).sum(1)))

    space = Space({f"x{i}": Float(0, 1) for i in range(6)})
    best = _least(value, [(0, 1)] * 6, 2000)
    return _task(space, lambda params: value(np.array([params[f"x{i}"] for i in range(6)])), best)


def _table(suite: str, data: str) -> Task:
    space, loss, best = network(suite, data)
    return _task(space, loss, best)


_HPOBENCH = ("car", "vehicle", "segment", "phoneme", "australian", "kc1")
_HPOLIB = ("protein_structure", "naval_propulsion", "slice_localization", "parkinsons_telemonitoring")
_NAS = ("cifar10", "cifar100", "imagenet")

FAMILIES: Mapping[str, Callable[[str], Task]] = {
    "branin": _branin,
    "hartmann6": _hartmann,
    **{f"mlp-{data}": functools.partial(_table, "HPOBench") for data in _HPOBENCH[:3]},
    **{f"net-{data.partition('_')[0]}": functools.partial(_table, "HPOLib") for data in _HPOLIB[:3]},
    "nas-cifar100": functools.partial(_table, "NASBench201"),
}
"""What makes a problem of each family from a seed or the name of a data set."""


@functools.cache
def family(name: str, seed: int) -> tuple[Task, tuple[Task, ...]]:
    """Return the new problem of a family, and the three (or two) that were searched before."""
    kind, _, data = name.partition("-")
    make = FAMILIES[name]
    known = {"mlp": _HPOBENCH, "net": _HPOLIB, "nas": ("cifar100", *(n for n in _NAS if n != "cifar100"))}.get(kind)
    if known is None:
        return make(f"{seed}/new"), tuple(make(f"{seed}/{i}") for i in range(3))
    new = next(n for n in known if n.startswith(data))
    others = [n for n in known if n != new]
    random.Random(f"{name}/{seed}").shuffle(others)
    return _cached(name, new), tuple(_cached(name, other) for other in others[:3])


@functools.cache
def _cached(name: str, data: str) -> Task:
    return FAMILIES[name](data)


@functools.cache
def _earlier(name: str, seed: int, sign: float) -> tuple[Earlier, ...]:
    found = []
    for i, task in enumerate(family(name, seed)[1]):
        trials = study("bayes", task, 7 * seed + i + 1, _PAST, sign=sign)
        found.append(taken(f"{name} {i}", Search(space=task.space), trials))
    return tuple(found)


def _run(job: tuple[str, int, tuple[str, ...], int]) -> list[tuple[str, str, str, int, list[float]]]:
    warnings.simplefilter("ignore")
    name, seed, methods, count = job
    task = family(name, seed)[0]
    found = []
    for method in methods:
        for way in _WAYS:
            earlier = () if way == "scratch" else _earlier(name, seed, 1.0 if way == "transfer" else -1.0)
            losses = [t.values[0] for t in study(method, task, seed, count, earlier) if t.values]
            best = np.minimum.accumulate(losses)
            found.append(
                (name, method, way, seed, [float((best[n - 1] - task.best) / task.scale) for n in AT if n <= count])
            )
    return found


def main() -> int:
    """Run everything, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=20, quick_repeats=2, more=_more)
    methods = tuple(m.strip() for m in given.methods.split(","))
    names = [n for n in FAMILIES if not given.quick or n in ("branin", "mlp-vehicle")]
    if given.problems:
        names = [n for n in names if n in given.problems.split(",")]
    count = 25 if given.quick else max(AT)
    jobs = [(name, seed, methods, count) for seed in range(given.first, given.first + given.repeats) for name in names]
    regret: dict[tuple[str, str, str], list[list[float]]] = {}
    with ProcessPoolExecutor(given.jobs) as pool:
        for done, found in enumerate(pool.map(_run, jobs), 1):
            for name, method, way, _, at in found:
                regret.setdefault((name, method, way), []).append(at)
            print(f"  {done} of {len(jobs)} families", file=sys.stderr, flush=True)
    report = Report(title=f"Transfer, {len(names)} families, {given.repeats} seeds")
    for method in methods:
        for place, n in enumerate(n for n in AT if n <= count):
            middle = {(name, way): statistics.median(at[place] for at in regret[name, method, way])
                      for name in names for way in _WAYS}  # fmt: skip
            mean = {way: statistics.fmean(middle[name, way] for name in names) for way in _WAYS}
            rows = [[name, *(f"{middle[name, way]:.3f}" for way in _WAYS)] for name in names]
            rows.append(["mean", *(f"{mean[way]:.3f}" for way in _WAYS)])
            report.table(f"{method} after {n} trials", ["family", *_WAYS], rows)
            report.data[f"{method} after {n}"] = {way: {name: middle[name, way] for name in names} for way in _WAYS}
            share = {way: mean[way] / max(mean["scratch"], 1e-9) for way in _WAYS}
            report.remark(f"{method} after {n}: {share['transfer']:.2f} × from scratch; misled {share['misled']:.2f} ×")
            if given.quick or method != "bayes":
                continue
            if n in (10, 25):
                most = 0.6 if n == 10 else 0.9
                report.bound(
                    f"after {n}: regret at most {most} × from scratch", share["transfer"], share["transfer"] <= most
                )
            else:
                report.bound(
                    f"after {n}, misled: regret at most 1.2 × from scratch", share["misled"], share["misled"] <= 1.2
                )
    return report.finish(given)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--methods", default="bayes,tpe", metavar="NAMES", help="separated by commas (default bayes,tpe)"
    )
    parser.add_argument("--problems", metavar="NAMES", help=f"of {', '.join(FAMILIES)}; separated by commas")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes at a time (default 2)")
    parser.add_argument("--first", type=int, default=FIRST_SEED, metavar="SEED", help=f"default {FIRST_SEED}")
