"""What eight workers cost in evaluations: how many more they need than one for the same regret.

    python -m benchmarks.search parallel [--quick] [--json FILE] [--check] [--repeats N]

A simulation: each trial takes a random time (log-normal, a deviation of 0.5 in the logarithm), and a worker that is free asks at once, with
the other seven's trials pending. For each problem the target is the regret that one worker has after 50 evaluations, the median over the
seeds; what is compared is how many evaluations eight workers have told until their median is as good (twice as many are made; where that
is not enough, the table says inf, and the geometric mean counts 2). No peer: this is Whet's default,
`bayes`, and `tpe`, against themselves. Seeds from 1000 on are reported, and are the same for one and for eight.
"""

from __future__ import annotations

import heapq
import math
import os
import random
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks._harness import Report, arguments, number
from benchmarks.search.problems import problem
from whet.plugins import build
from whet.trial import Phase, Problem, Trial

__all__ = ["main", "workers"]

Array = np.ndarray[Any, Any]

NAMES = ("branin", "hartmann6", "rosenbrock10", "levy8", "branches", "pipeline")
METHODS = ("bayes", "tpe")
FIRST_SEED = 1000
COUNT = 50
MOST = 2  # times as many evaluations as one worker has are given to eight
BOUND = 1.5


def workers(method: str, name: str, seed: int, num_workers: int, count: int) -> list[float]:
    """Return the losses of `count` trials in the order in which they ended."""
    chosen, rng = problem(name), random.Random(f"{seed}/durations")
    searcher = build("searcher", method, Problem(space=chosen.space), seed=seed, knobs_given={})
    pending: dict[int, Trial] = {}
    queue: list[tuple[float, int]] = []
    losses: list[float] = []
    now, asked = 0.0, 0
    while len(losses) < count:
        while len(pending) < num_workers:
            trial = Trial(number=asked, params=searcher.ask(1)[0].params)
            pending[asked] = trial
            heapq.heappush(queue, (now + math.exp(rng.gauss(0.0, 0.5)), asked))
            asked += 1
            searcher.tell([], list(pending.values()))
        now, ended = heapq.heappop(queue)
        over = pending.pop(ended)
        losses.append(chosen.loss(over.params))
        searcher.tell([replace(over, phase=Phase.FINISHED, values=(losses[-1],))], list(pending.values()))
    return losses


def _run(job: tuple[str, str, int, int, int]) -> tuple[str, str, int, list[float]]:
    os.environ["OMP_NUM_THREADS"] = "1"
    method, name, seed, num_workers, count = job
    return method, name, num_workers, workers(method, name, seed, num_workers, count)


def needed(one: Array, eight: Array) -> float:
    """Return how many times the evaluations of one worker eight need for its last median, infinity if they never get there.

    Args:
        one, eight: The best loss so far [seed, evaluation].
    """
    goal = np.median(one, axis=0)[-1]
    reached = np.flatnonzero(np.median(eight, axis=0) <= goal)
    return float(reached[0] + 1) / one.shape[1] if len(reached) else math.inf


def main() -> int:
    """Run everything, and hold it against the bound."""
    given = arguments(__doc__ or "", repeats=8, quick_repeats=2)
    names = NAMES[:2] if given.quick else NAMES
    count = 20 if given.quick else COUNT
    jobs = [
        (method, name, FIRST_SEED + turn, num, count * (MOST if num > 1 else 1))
        for method in METHODS
        for name in names
        for turn in range(given.repeats)
        for num in (1, 8)
    ]
    found: dict[tuple[str, str, int], list[Any]] = {}
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for done, (method, name, num, losses) in enumerate(pool.map(_run, jobs), 1):
            found.setdefault((method, name, num), []).append(np.minimum.accumulate(losses))
            if done % 20 == 0 or done == len(jobs):
                print(f"  {done} of {len(jobs)} studies", file=sys.stderr, flush=True)
    report = Report(title=f"Eight workers against one, {count} evaluations, {given.repeats} seeds")
    rows = []
    for method in METHODS:
        times = [needed(*(np.array(found[method, name, num]) for num in (1, 8))) for name in names]
        middle = statistics.geometric_mean(min(t, MOST) for t in times)
        rows.append([method, *map(number, times), number(middle)])
        report.data[method] = dict(zip(names, times, strict=True))
        if method == "bayes" and not given.quick:
            report.bound(
                f"{method}: at most {BOUND} times the evaluations, the geometric mean", middle, middle <= BOUND
            )
    report.table("times the evaluations for the same regret", ["", *names, "geometric mean"], rows)
    return report.finish(given)
