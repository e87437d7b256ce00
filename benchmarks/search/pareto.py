"""How much of the space below a reference point is found with several objectives: hypervolume beside Optuna's samplers.

    python -m benchmarks.search pareto [--quick] [--json FILE] [--check] [--repeats N]

ZDT1 and ZDT2 (two objectives) have their published 30 dimensions, and 10 beside it; DTLZ2 has three objectives in its published 12,
its front moved from x = 0.5, the middle of all ranges, where some methods begin, to x = 0.37. The
reference point of each problem is 1.1 × the worst value in each objective that 200 random points have (the mean over 100 seeds), written
down below so that figures can be compared between runs. Shares are of the volume that the true front dominates. A second table has
(1.1, …, 1.1) as reference: only what lies at the very front counts there.

All tools see the same problems and seeds in one run, and the mean over seeds is shown with its standard error. Optuna's Gaussian process
takes up to seconds a suggestion, so it has one seed, the first of the others'. `bayes` is what a sweep takes when nothing is
said. Seeds from 1000 on are reported; what was tuned saw seeds 0 to 3 of these problems, so that other problems may show other figures.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks._harness import Report, arguments
from benchmarks.search.problems import suggested
from whet.fronts import hypervolume
from whet.plugins import build
from whet.space import Float, Space
from whet.trial import Metric, Phase, Trial
from whet.trial import Problem as Search

__all__ = ["PROBLEMS", "Problem", "main"]

Params = Mapping[str, Any]

TOOLS = ("random", "nsga2", "motpe", "ehvi", "bayes", "optuna TPE", "optuna NSGAII", "optuna NSGAIII", "optuna GP")
FIRST_SEED = 1000
COUNT = 200
SLOW, SLOW_SEEDS = "optuna GP", 1
_FRONT = 0.37  # of DTLZ2, where x2, x3, … have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Several losses over a box.

    Args:
        dims: Parameters x0, x1, … in [0, 1].
        losses: Of a point.
        reference: Hypervolume is measured below it.
        whole: What the true front dominates below a reference point.
    """

    dims: int
    losses: Callable[[np.ndarray[Any, Any]], tuple[float, ...]]
    reference: tuple[float, ...]
    whole: Callable[[Sequence[float]], float]

    @property
    def space(self) -> Space:
        """The box."""
        return Space({f"x{i}": Float(0, 1) for i in range(self.dims)})


def _zdt1(x: np.ndarray[Any, Any]) -> tuple[float, ...]:
    g = 1 + 9 * float(x[1:].mean())
    return float(x[0]), g * (1 - math.sqrt(float(x[0]) / g))


def _zdt2(x: np.ndarray[Any, Any]) -> tuple[float, ...]:
    g = 1 + 9 * float(x[1:].mean())
    return float(x[0]), g * (1 - (float(x[0]) / g) ** 2)


def _dtlz2(x: np.ndarray[Any, Any]) -> tuple[float, ...]:
    g = 1 + float(((x[2:] - _FRONT) ** 2).sum())
    a, b = math.pi / 2 * float(x[0]), math.pi / 2 * float(x[1])
    return g * math.cos(a) * math.cos(b), g * math.cos(a) * math.sin(b), g * math.sin(a)


def _whole_zdt(area: float) -> Callable[[Sequence[float]], float]:
    # Above the curve from (0, 1) to (1, 0), which has `area` below it, in the box up to the reference.
    return lambda far: far[0] * far[1] - area


def _whole_dtlz(far: Sequence[float]) -> float:
    return math.prod(far) - math.pi / 6  # outside the octant of a ball


PROBLEMS = {
    "zdt1": Problem(dims=30, losses=_zdt1, reference=(1.1, 6.5), whole=_whole_zdt(1 / 3)),
    "zdt2": Problem(dims=30, losses=_zdt2, reference=(1.1, 7.5), whole=_whole_zdt(2 / 3)),
    "zdt1 in 10": Problem(dims=10, losses=_zdt1, reference=(1.1, 7.3), whole=_whole_zdt(1 / 3)),
    "zdt2 in 10": Problem(dims=10, losses=_zdt2, reference=(1.1, 8.6), whole=_whole_zdt(2 / 3)),
    "dtlz2": Problem(dims=12, losses=_dtlz2, reference=(2.8, 2.8, 3.1), whole=_whole_dtlz),
}
"""By name."""


def _vector(params: Params) -> np.ndarray[Any, Any]:
    return np.array([params[f"x{i}"] for i in range(len(params))])


def whet(method: str, problem: Problem, seed: int, count: int) -> tuple[list[tuple[float, ...]], float]:
    """Return the losses of `count` trials in order, and the seconds that suggestions took."""
    metrics = tuple(Metric(name=f"f{m}") for m in range(len(problem.reference)))
    searcher = build("searcher", method, Search(space=problem.space, metrics=metrics), seed=seed, knobs_given={})
    losses, spent = [], 0.0
    for number in range(count):
        began = time.perf_counter()
        params = searcher.ask(1)[0].params
        spent += time.perf_counter() - began
        losses.append(problem.losses(_vector(params)))
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=losses[-1])], [])
    return losses, spent


def optuna(method: str, problem: Problem, seed: int, count: int) -> tuple[list[tuple[float, ...]], float]:
    """Return the same for a sampler of Optuna."""
    import warnings

    import optuna as module

    warnings.simplefilter("ignore")
    module.logging.set_verbosity(module.logging.ERROR)
    sampler = getattr(module.samplers, f"{method}Sampler")(seed=seed)
    study = module.create_study(sampler=sampler, directions=["minimize"] * len(problem.reference))
    losses, spent = [], 0.0
    for _ in range(count):
        began = time.perf_counter()
        trial = study.ask()
        params = suggested(trial, problem.space)
        spent += time.perf_counter() - began
        losses.append(problem.losses(_vector(params)))
        study.tell(trial, losses[-1])
    return losses, spent


def run(job: tuple[str, str, int, int]) -> tuple[str, str, int, float, float, float]:
    """Return tool, problem and seed with the shares of both volumes that were covered, and the seconds that it took."""
    os.environ["OMP_NUM_THREADS"] = "1"
    tool, name, seed, count = job
    how, method = (optuna, tool.removeprefix("optuna ")) if tool.startswith("optuna ") else (whet, tool)
    problem = PROBLEMS[name]
    losses, spent = how(method, problem, seed, count)
    points, near = np.array(losses), [1.1] * len(problem.reference)
    far = list(problem.reference)
    shares = [hypervolume(points, np.array(at)) / problem.whole(at) for at in (far, near)]
    return tool, name, seed, shares[0], shares[1], spent


def main() -> int:
    """Run everything, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=10, quick_repeats=2)
    count = 40 if given.quick else COUNT
    names = [n for n in PROBLEMS if not given.quick or n in ("zdt1 in 10", "dtlz2")]
    tools = [t for t in TOOLS if not given.quick or t != SLOW]
    jobs = [
        (tool, name, FIRST_SEED + turn, count)
        for turn in range(given.repeats)
        for name in names
        for tool in tools
        if tool != SLOW or turn < SLOW_SEEDS
    ]
    jobs.sort(key=lambda job: job[0] != SLOW)  # the longest first, so that both workers end together
    far: dict[tuple[str, str], list[float]] = {}
    near: dict[tuple[str, str], list[float]] = {}
    spent: dict[str, list[float]] = {}
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for done, (tool, name, _, share, share_near, seconds) in enumerate(pool.map(run, jobs), 1):
            far.setdefault((tool, name), []).append(share)
            near.setdefault((tool, name), []).append(share_near)
            spent.setdefault(tool, []).append(seconds / count)
            if done % 10 == 0 or done == len(jobs):
                print(f"  {done} of {len(jobs)} studies", file=sys.stderr, flush=True)
    report = Report(title=f"Hypervolume at {count}, {len(names)} problems, {given.repeats} seeds")
    for title, shares in (("share of the hypervolume", far), ("share of the hypervolume below (1.1, …)", near)):
        rows = [[name, *(_text(shares[tool, name]) for tool in tools)] for name in names]
        report.table(title, ["problem", *tools], rows)
        report.data[title] = {tool: {name: shares[tool, name] for name in names} for tool in tools}
    for name in names:
        peer = max((t for t in tools if t.startswith("optuna ")), key=lambda t: statistics.fmean(far[t, name]))
        theirs = far[peer, name]
        got = statistics.fmean(far["bayes", name][: len(theirs)]) / statistics.fmean(theirs)  # on the same seeds
        if not given.quick:
            report.bound(f"{name}: the default's hypervolume at least that of {peer}", got, got >= 1)
    report.remark(", ".join(f"{tool}: {1e3 * statistics.fmean(s):.2f} ms a suggestion" for tool, s in spent.items()))
    return report.finish(given)


def _text(shares: Sequence[float]) -> str:
    if len(shares) == 1:
        return f"{shares[0]:.4f}"
    return f"{statistics.fmean(shares):.4f} ± {statistics.stdev(shares) / math.sqrt(len(shares)):.4f}"
