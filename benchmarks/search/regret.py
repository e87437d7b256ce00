"""How good the best of so many trials is: normalised regret beside Optuna, Rustuna and Ax.

    python -m benchmarks.search regret [--quick] [--json FILE] [--check] [--repeats N] [--keep FILE] [--tools NAMES] …

Regret is 0 at the best that is known and 1 at the median of random search after 10 trials. For each problem the median over the seeds is
taken, and over the problems the mean, with an interval from 1,000 bootstraps over seeds. All tools see the same problems and seeds.
`bayes` is what a sweep takes when nothing is said. Peers are as they come: their default arguments, a seed.

With `--keep`, studies that FILE holds already (of the same version of the tool; Whet's own as long as the source of its searchers and of
what they stand on is the same) are not run again, and the others are added to it: a run that was interrupted goes on, and a tool can be
compared anew without waiting for its peers. `results/ax_studies.jsonl` holds Ax's, half an hour a seed. Slow peers run fewer seeds (Ax, see
`--ax-seeds`) and fewer trials; they are compared with Whet's figure on those same seeds.

What Whet does was chosen on seeds below 1000 of these problems: seeds from 1000 on, which are reported, had no part in it; other problems
may show other figures.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import Report, arguments
from benchmarks.search.problems import NAMES, Problem, problem, suggested
from whet.plugins import build
from whet.trial import Phase, Trial
from whet.trial import Problem as Search

__all__ = ["FIRST_SEED", "main", "regrets", "whet"]

FIRST_SEED = 1000
AT = (25, 50, 100, 200)
OWN = ("random", "tpe", "gp", "bayes")
PEERS = ("optuna tpe", "optuna gp", "rustuna tpe")
_COUNT = {"ax": 50, "optuna gp": 100}
_PACKAGES = {"ax": "ax-platform"}
Found = tuple[list[float], float]


def whet(method: str, here: Problem, seed: int, count: int) -> Found:
    """Return the losses of `count` trials in order, and the seconds that suggestions took."""
    searcher = build("searcher", method, Search(space=here.space), seed=seed, knobs_given={})
    losses, spent = [], 0.0
    for number in range(count):
        began = time.perf_counter()
        params = searcher.ask(1)[0].params
        spent += time.perf_counter() - began
        losses.append(here.loss(params))
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(losses[-1],))], [])
    return losses, spent


def optuna(method: str, here: Problem, seed: int, count: int) -> Found:
    """Return the same for a sampler of Optuna."""
    import optuna as module

    module.logging.set_verbosity(module.logging.ERROR)
    kind = {"tpe": module.samplers.TPESampler, "gp": module.samplers.GPSampler}[method]
    return _define_by_run(module.create_study(sampler=kind(seed=seed)), here, count)


def rustuna(method: str, here: Problem, seed: int, count: int) -> Found:
    """Return the same for a sampler of Rustuna."""
    import rustuna as module

    kind = {"tpe": module.samplers.TPESampler}[method]
    return _define_by_run(module.create_study(sampler=kind(seed=seed)), here, count)


def _define_by_run(study: Any, here: Problem, count: int) -> Found:
    losses, spent = [], 0.0
    for _ in range(count):
        began = time.perf_counter()
        trial = study.ask()
        params = suggested(trial, here.space)
        spent += time.perf_counter() - began
        losses.append(here.loss(params))
        study.tell(trial.number, losses[-1])
    return losses, spent


def ax(method: str, here: Problem, seed: int, count: int) -> Found:
    """Return the same for Ax's default generation strategy."""
    from benchmarks.search.with_ax import study

    del method
    return study(here, seed, count)


_HOW: Mapping[str, Callable[[str, Problem, int, int], Found]] = {"optuna": optuna, "rustuna": rustuna, "ax": ax}


def _run(job: tuple[str, str, int, int]) -> tuple[str, str, int, list[float], float]:
    warnings.simplefilter("ignore")
    tool, name, seed, count = job
    package, _, method = tool.partition(" ")
    how = _HOW.get(package, whet)
    losses, spent = how(method if how is not whet else tool, problem(name), seed, count)
    return tool, name, seed, losses, spent


def _version(tool: str) -> str:
    """Return the version of a tool, by which kept studies are told apart."""
    if tool == "random":
        return "2"
    if tool in OWN:
        return _digest()
    package = tool.split()[0]
    return importlib.metadata.version(_PACKAGES.get(package, package))


@functools.cache
def _digest() -> str:
    import whet.search

    room = Path(whet.search.__file__).parent
    files = sorted(
        [*room.glob("*.py"), *room.parent.glob("*.py")]
    )  # the spaces and trials that searchers work with are a floor below
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def main() -> int:
    """Run everything, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=20, quick_repeats=2, more=_more)
    tools = [t.strip() for t in given.tools.split(",")] if given.tools else [*OWN, *PEERS]
    for package in {"ax" if t == "ax" else t.split()[0] for t in tools if t not in OWN}:
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed: pip install {_PACKAGES.get(package, package)}, or name other --tools", file=sys.stderr)  # fmt: skip
            return 2
    count = 30 if given.quick else given.most
    names = [n for n in NAMES if not given.quick or n in ("branin", "branches")]
    if given.problems:
        names = [n for n in names if n in given.problems.split(",")]
    jobs = [
        (tool, name, seed, min(count, _COUNT.get(tool, count)))
        for seed in range(given.first, given.first + given.repeats)
        for tool in tools
        for name in names
        if tool != "ax" or seed < given.first + given.ax_seeds
    ]
    runs, spent = _studies(jobs, given.keep, given.jobs)
    report = Report(title=f"Regret, {len(names)} problems, {given.repeats} seeds")
    for n in sorted({*AT, count}):
        if n <= count:
            _tabulate(report, n, tools, names, runs, check=not given.quick)
    per = {t: 1e3 * seconds / max(1, sum(j[3] for j in jobs if j[0] == t)) for t, seconds in spent.items()}
    report.data["ms a suggestion"] = per
    if {"ax", "bayes"} <= per.keys() and not given.quick:
        share = per["bayes"] / per["ax"]
        report.bound("the default's time a suggestion at most 1/20 of Ax's", share, share <= 0.05)
    report.remark(", ".join(f"{tool}: {ms:.2f} ms a suggestion" for tool, ms in per.items()))
    report.remark("the best: " + ", ".join(f"{name} {_best(name, runs):.4g}" for name in names))
    return report.finish(given)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", type=Path, metavar="FILE", help="studies that were run already; new ones are added")
    parser.add_argument("--tools", metavar="NAMES", help=f"of {', '.join((*OWN, *PEERS, 'ax'))}; separated by commas")
    parser.add_argument(
        "--ax-seeds", type=int, default=1, metavar="N", help="seeds that Ax runs, each half an hour (default 1)"
    )
    parser.add_argument("--problems", metavar="NAMES", help=f"of {', '.join(NAMES)}; separated by commas")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes at a time (default 2)")
    parser.add_argument("--most", type=int, default=max(AT), metavar="N", help=f"trials of a study (default {max(AT)})")
    parser.add_argument("--first", type=int, default=FIRST_SEED, metavar="SEED", help=f"default {FIRST_SEED}")


Runs = dict[tuple[str, str], dict[int, np.ndarray[Any, Any]]]


def _studies(
    jobs: Sequence[tuple[str, str, int, int]], keep: Path | None, workers: int
) -> tuple[Runs, dict[str, float]]:
    """Return the best loss so far by trial, of each tool, problem and seed, and the seconds that each tool took."""
    kept: dict[tuple[str, str, int, str], tuple[list[float], float]] = {}
    if keep is not None and keep.exists():
        for line in keep.read_text().splitlines():
            tool, name, seed, version, losses, seconds = json.loads(line)
            kept[tool, name, seed, version] = losses, seconds
    runs: Runs = {}
    spent: dict[str, float] = {}

    def take(tool: str, name: str, seed: int, losses: Sequence[float], seconds: float) -> None:
        runs.setdefault((tool, name), {})[seed] = np.minimum.accumulate(losses)
        spent[tool] = spent.get(tool, 0.0) + seconds

    todo = []
    for tool, name, seed, count in jobs:
        losses, seconds = kept.get((tool, name, seed, _version(tool)), ([], 0.0))
        if len(losses) >= count:
            take(tool, name, seed, losses[:count], seconds * count / len(losses))
        else:
            todo.append((tool, name, seed, count))
    with ProcessPoolExecutor(min(workers, os.cpu_count() or 1)) as pool:
        for done, (tool, name, seed, losses, seconds) in enumerate(pool.map(_run, todo), 1):
            take(tool, name, seed, losses, seconds)
            if keep is not None:
                with keep.open("a") as file:
                    file.write(json.dumps([tool, name, seed, _version(tool), [float(f"{v:.7g}") for v in losses], round(seconds, 3)]) + "\n")  # fmt: skip
            if done % 20 == 0 or done == len(todo):
                print(f"  {done} of {len(todo)} studies", file=sys.stderr, flush=True)
    return runs, spent


def regrets(runs: Runs, tools: Sequence[str], names: Sequence[str], n: int) -> dict[str, dict[str, dict[int, float]]]:
    """Return the regret after `n` trials by tool, problem and seed."""
    best = {name: _best(name, runs) for name in names}
    scale = {name: _scale(name, best[name]) for name in names}
    return {
        tool: {
            name: {seed: float(run[n - 1] - best[name]) / scale[name] for seed, run in runs[tool, name].items()}
            for name in names
        }
        for tool in tools
    }


def _tabulate(report: Report, n: int, tools: Sequence[str], names: Sequence[str], runs: Runs, *, check: bool) -> None:
    """Add the table after `n` trials, and its bounds."""
    tools = [t for t in tools if n <= _COUNT.get(t, n)]
    regret = {
        (tool, name): by_seed for tool, own in regrets(runs, tools, names, n).items() for name, by_seed in own.items()
    }

    def medians(tool: str, seeds: Sequence[int] | None = None) -> dict[str, float]:
        return {name: float(np.median([r for s, r in regret[tool, name].items() if seeds is None or s in seeds])) for name in names}  # fmt: skip

    mine = {tool: medians(tool) for tool in tools}
    rows = [[name, *(f"{mine[tool][name]:.3f}" for tool in tools)] for name in names]
    rows.append(["mean", *(f"{statistics.fmean(mine[tool].values()):.3f}" for tool in tools)])
    rows.append(["", *(_interval(regret, tool, names) for tool in tools)])
    report.table(f"after {n} trials", ["problem", *tools], rows)
    report.data[f"after {n}"] = mine
    if not check or "bayes" not in tools:
        return
    share = {25: None, 50: 0.6, 100: 0.6, 200: 0.8}.get(n)
    for peer in (p for p in PEERS if p in tools):
        seeds = sorted(regret[peer, names[0]])
        got = statistics.fmean(medians("bayes", seeds).values()) / max(statistics.fmean(mine[peer].values()), 1e-9)
        report.remark(f"after {n}: the default's mean regret is {got:.2f} × {peer}'s on {len(seeds)} seeds")
        if share is not None:
            report.bound(f"after {n}: the default's mean regret at most {share} × {peer}'s", got, got <= share)
    if "ax" in tools and n in (25, 50):
        seeds = sorted(regret["ax", names[0]])
        got = statistics.fmean(medians("bayes", seeds).values()) / max(statistics.fmean(mine["ax"].values()), 1e-9)
        report.bound(f"after {n}: the default's mean regret at most Ax's, on {len(seeds)} seeds", got, got <= 1.0)
    peers = [p for p in PEERS if p in tools]
    worse = [name for name in names if peers and mine["bayes"][name] > max(mine[p][name] for p in peers) + 1e-3]
    report.bound(f"after {n}: problems on which the default is worse than all peers ({', '.join(worse) or 'none'})",
                 len(worse), not worse)  # fmt: skip


def _best(name: str, runs: Runs) -> float:
    found = [float(run[-1]) for (_, own), by_seed in runs.items() if own == name for run in by_seed.values()]
    return min([problem(name).best, *([] if math.isfinite(problem(name).best) else found)])


def _scale(name: str, best: float) -> float:
    """Return the median of random search after 10 trials, over the best: what a regret of 1 is."""
    return max(_random_after_ten(name) - best, 1e-12)


@functools.cache
def _random_after_ten(name: str) -> float:
    here, bests = problem(name), []
    for seed in range(20):
        rng = random.Random(f"scale/{seed}")
        bests.append(min(here.loss(here.space.sample(rng)) for _ in range(10)))
    return statistics.median(bests)


def _interval(regret: Mapping[tuple[str, str], Mapping[int, float]], tool: str, names: Sequence[str]) -> str:
    rng = np.random.default_rng(0)
    means = []
    for _ in range(1000):
        medians = []
        for name in names:
            values = np.array(list(regret[tool, name].values()))
            medians.append(np.median(values[rng.integers(0, len(values), len(values))]))
        means.append(float(np.mean(medians)))
    low, high = np.quantile(means, [0.025, 0.975])
    return f"[{low:.3f} … {high:.3f}]"
