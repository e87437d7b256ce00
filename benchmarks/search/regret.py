"""How good the best of so many trials is: normalised regret beside Optuna's TPE and Gaussian process.

    python -m benchmarks.search regret [--quick] [--json FILE] [--check] [--repeats N]

Regret is 0 at the best that is known and 1 at the median of random search after 10 trials. For each problem the median over the seeds is
taken, and over the problems the mean, with an interval from 1,000 bootstraps over seeds. All tools see the same problems and seeds in
one run. `bayes` is what a sweep takes when nothing is said: `gp` and `tpe` in turns.

That every fourth trial of `bayes` is TPE's was chosen on seeds 0 to 3 of these very problems, the length scales' prior on Branin, Hartmann,
Rosenbrock, Ackley and a mixed function: seeds from 1000 on, which are reported, had no part in it, other problems may show other figures.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from benchmarks._harness import Report, arguments
from benchmarks.search.problems import PROBLEMS, Problem, suggested
from whet.plugins import build
from whet.trial import Phase, Trial
from whet.trial import Problem as Search

__all__ = ["main"]

TOOLS = ("random", "tpe", "gp", "bayes", "optuna tpe", "optuna gp")
FIRST_SEED = 1000
AT = (25, 50, 100)
PEERS = ("optuna tpe", "optuna gp")


def whet(method: str, problem: Problem, seed: int, count: int) -> tuple[list[float], float]:
    """Return the losses of `count` trials in order, and the seconds that suggestions took."""
    searcher = build("searcher", method, Search(space=problem.space), seed=seed, knobs_given={})
    losses, spent = [], 0.0
    for number in range(count):
        began = time.perf_counter()
        params = searcher.ask(1)[0].params
        spent += time.perf_counter() - began
        losses.append(problem.loss(params))
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(losses[-1],))], [])
    return losses, spent


def optuna(method: str, problem: Problem, seed: int, count: int) -> tuple[list[float], float]:
    """Return the same for a sampler of Optuna."""
    import warnings

    import optuna as module

    warnings.simplefilter("ignore")
    module.logging.set_verbosity(module.logging.ERROR)
    samplers = module.samplers
    sampler = samplers.TPESampler(seed=seed, multivariate=False) if method == "tpe" else samplers.GPSampler(seed=seed)
    study = module.create_study(sampler=sampler)
    losses, spent = [], 0.0
    for _ in range(count):
        began = time.perf_counter()
        trial = study.ask()
        params = suggested(trial, problem.space)
        spent += time.perf_counter() - began
        losses.append(problem.loss(params))
        study.tell(trial, losses[-1])
    return losses, spent


def _run(job: tuple[str, str, int, int]) -> tuple[str, str, int, list[float], float]:
    os.environ["OMP_NUM_THREADS"] = "1"
    tool, name, seed, count = job
    how: Callable[..., Any] = whet
    method = tool
    if tool.startswith("optuna "):
        how, method = optuna, tool.split()[1]
    losses, spent = how(method, PROBLEMS[name], seed, count)
    return tool, name, seed, losses, spent


def main() -> int:
    """Run everything, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=20, quick_repeats=2)
    count = 30 if given.quick else max(AT)
    names = [n for n in PROBLEMS if not given.quick or n in ("branin", "branches")]
    jobs = [
        (tool, name, seed, count)
        for seed in range(FIRST_SEED, FIRST_SEED + given.repeats)
        for name in names
        for tool in TOOLS
    ]
    curves: dict[tuple[str, str], list[np.ndarray[Any, Any]]] = {}
    spent: dict[str, float] = dict.fromkeys(TOOLS, 0.0)
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for done, (tool, name, _, losses, seconds) in enumerate(pool.map(_run, jobs), 1):
            curves.setdefault((tool, name), []).append(np.minimum.accumulate(losses))
            spent[tool] += seconds
            if done % 20 == 0 or done == len(jobs):
                print(f"  {done} of {len(jobs)} studies", file=sys.stderr, flush=True)
    report = Report(title=f"Regret, {len(names)} problems, {given.repeats} seeds")
    best = {name: _best(name, curves) for name in names}
    scale = {name: _scale(PROBLEMS[name], best[name], given.repeats) for name in names}
    at = [n for n in (*AT, count) if n <= count]
    at = sorted(set(at))
    regret = {
        (tool, name): (np.stack(runs)[:, [n - 1 for n in at]] - best[name]) / scale[name]
        for (tool, name), runs in curves.items()
    }
    for column, n in enumerate(at):
        rows = [[name, *(f"{np.median(regret[tool, name][:, column]):.3f}" for tool in TOOLS)] for name in names]
        means = {tool: [np.median(regret[tool, name][:, column]) for name in names] for tool in TOOLS}
        rows.append(["mean", *(f"{statistics.fmean(means[tool]):.3f}" for tool in TOOLS)])
        rows.append(["", *(_interval(regret, tool, names, column) for tool in TOOLS)])
        report.table(f"after {n} trials", ["problem", *TOOLS], rows)
        report.data[f"after {n}"] = {tool: dict(zip(names, map(float, means[tool]), strict=True)) for tool in TOOLS}
        if not given.quick and n in (50, 100):
            peer = min(statistics.fmean(means[peer]) for peer in PEERS)
            got = statistics.fmean(means["bayes"]) / peer
            report.bound(f"after {n}: the default's mean regret at most 0.6 × the best of Optuna's", got, got <= 0.6)
        if not given.quick:
            worse = [name for i, name in enumerate(names) if means["bayes"][i] > max(means[p][i] for p in PEERS) + 1e-3]
            report.bound(f"after {n}: problems on which the default is worse than both of Optuna's ({', '.join(worse) or 'none'})",
                         len(worse), not worse)  # fmt: skip
    trials = count * given.repeats * len(names)
    report.remark(", ".join(f"{tool}: {1e3 * seconds / trials:.2f} ms a suggestion" for tool, seconds in spent.items()))
    report.remark("the best: " + ", ".join(f"{name} {value:.4g}" for name, value in best.items()))
    return report.finish(given)


def _best(name: str, curves: Mapping[tuple[str, str], Sequence[Any]]) -> float:
    found = [float(run[-1]) for (_, own), runs in curves.items() if own == name for run in runs]
    return min([PROBLEMS[name].best, *([] if math.isfinite(PROBLEMS[name].best) else found)])


def _scale(problem: Problem, best: float, seeds: int) -> float:
    """Return the median of random search after 10 trials, over the best: what a regret of 1 is."""
    bests = []
    for seed in range(max(seeds, 20)):
        rng = random.Random(f"scale/{seed}")
        bests.append(min(problem.loss(problem.space.sample(rng)) for _ in range(10)))
    return statistics.median(bests) - best


def _interval(regret: Mapping[tuple[str, str], Any], tool: str, names: Sequence[str], column: int) -> str:
    rng = np.random.default_rng(0)
    means = []
    for _ in range(1000):
        medians = []
        for name in names:
            values = regret[tool, name][:, column]
            medians.append(np.median(values[rng.integers(0, len(values), len(values))]))
        means.append(float(np.mean(medians)))
    low, high = np.quantile(means, [0.025, 0.975])
    return f"[{low:.3f} … {high:.3f}]"
