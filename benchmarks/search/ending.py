"""What a sweep saves that ends where little is to be gained, and what it loses by that: `terminate: {expected_improvement: …}`.

    python -m benchmarks.search ending [--quick] [--json FILE] [--check] [--repeats N]

Whet's default search, on problems of many kinds, makes 100 trials; each rule says after how many of them it would have ended it. Regret is
0 at the best there is, and 1 at what 10 random trials find (the median over many). `lost` is the regret at the end less that of 100 trials, and
the same as a share of the spread that the rule itself measures gains in. `no_improvement: 20` is shown beside it.
"""

from __future__ import annotations

import argparse
import functools
import random
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from benchmarks._harness import Report, arguments, number
from benchmarks.search.problems import problem, usual_loss
from whet.config import SweepConfig, Termination
from whet.plugins import build
from whet.store.base import Changes, SweepState
from whet.study.ending import Ending
from whet.study.history import History
from whet.trial import Phase, Problem, Trial

__all__ = ["FIRST_SEED", "NAMES", "main", "search"]

FIRST_SEED = 4000
NAMES = (
    "branin", "hartmann6", "levy8", "rosenbrock10", "branches", "pipeline", "boosting", "mlp-vehicle", "mlp-segment", "net-protein",
    "net-naval", "nas-cifar100",
)  # fmt: skip
RULES = {
    "0.01": Termination(expected_improvement=0.01),
    "0.001": Termination(expected_improvement=0.001),
    "0.0001": Termination(expected_improvement=0.0001),
    "no_improvement: 20": Termination(no_improvement=20),
}
MOST = 100
_USUAL = "0.001"


@functools.cache
def scale(name: str) -> float:
    """Return the loss whose regret is 1."""
    one, rng = problem(name), random.Random(f"ending/{name}")
    losses = [one.loss(one.space.sample(rng)) for _ in range(2000)]
    return usual_loss(losses, rng)


def search(name: str, seed: int, rules: dict[str, Termination], count: int = MOST) -> tuple[list[float], dict[str, int], float]:  # fmt: skip
    """Return the best loss after 1, 2, … trials, after how many each rule would have ended it, and the spread of the first ten losses."""
    one = problem(name)
    space = Problem(space=one.space)
    searcher: Any = build("searcher", "bayes", space, knobs_given={}, seed=seed)
    history = History(space)
    endings = {key: Ending(SweepConfig(problem=space, terminate=rule)) for key, rule in rules.items()}
    ended: dict[str, int] = {}
    losses: list[float] = []
    for turn in range(count):
        params = searcher.ask(1)[0].params
        losses.append(one.loss(params))
        done = Trial(number=turn, params=params, phase=Phase.FINISHED, values=(losses[-1],), ended=float(turn))
        searcher.tell([done], [])
        history.apply(Changes(revision=turn, version=0, state=SweepState.RUNNING, cap=None, trials=(done,), reports=()))
        gain = functools.cache(searcher.expected_gain)
        for key, ending in endings.items():
            if key not in ended and ending.why(history, None, 0.0, gain):
                ended[key] = turn + 1
    first = sorted(losses[:10])
    spread = first[7] - first[2] or first[-1] - first[0]
    bests = [min(losses[: i + 1]) for i in range(count)]
    return bests, {key: ended.get(key, count) for key in rules}, spread


def _one(task: tuple[str, int]) -> tuple[str, list[float], dict[str, int], float]:
    name, seed = task
    return (name, *search(name, seed, dict(RULES)))


def main() -> int:
    """Run everything, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=4, quick_repeats=1, more=_more)
    names = ("branin", "hartmann6", "branches", "mlp-vehicle") if given.quick else NAMES
    found: dict[str, list[tuple[list[float], dict[str, int], float]]] = {}
    tasks = [(name, seed) for seed in range(given.first, given.first + given.repeats) for name in names]
    with ProcessPoolExecutor(given.jobs) as pool:
        for done, (name, *rest) in enumerate(pool.map(_one, tasks), 1):
            found.setdefault(name, []).append(tuple(rest))  # type: ignore[arg-type]
            print(f"  {done} of {len(tasks)} searches", file=sys.stderr, flush=True)
    report = Report(title=f"Ending, {len(names)} problems, {given.repeats} seeds")
    for rule in RULES:
        rows, every = [], []
        for name in names:
            best = min(problem(name).best, *(bests[-1] for bests, _, _ in found[name]))
            unit = scale(name) - best
            trials = statistics.fmean(ended[rule] for _, ended, _ in found[name])
            at = statistics.fmean((bests[ended[rule] - 1] - best) / unit for bests, ended, _ in found[name])
            later = statistics.fmean((bests[-1] - best) / unit for bests, _, _ in found[name])
            share = statistics.fmean((bests[ended[rule] - 1] - bests[-1]) / s for bests, ended, s in found[name])
            every.append((trials, at, later, share))
            rows.append([name, *map(number, (trials, at, later, at - later, share))])
        trials, at, later, share = (statistics.fmean(column) for column in zip(*every, strict=True))
        rows.append(["mean", *map(number, (trials, at, later, at - later, share))])
        report.table(rule, ["problem", "trials", "regret", "after 100", "lost", "of the spread"], rows)
        report.data[rule] = {name: dict(zip(("trials", "regret", "after_100", "lost_spread"), row, strict=True))
                             for name, row in zip(names, every, strict=True)}  # fmt: skip
        if rule == _USUAL:
            report.bound(f"{rule}: at most 60 of {MOST} trials are made", trials, trials <= 60)
            middle = statistics.median(row[-1] for row in every)
            report.bound(f"{rule}: at most 0.003 of the spread is lost on the median problem", middle, middle <= 0.003)
            report.bound(f"{rule}: at most 0.03 of the spread is lost on the average", share, share <= 0.03)
    return report.finish(given)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes at a time (default 2)")
    parser.add_argument("--first", type=int, default=FIRST_SEED, metavar="SEED", help=f"default {FIRST_SEED}")


if __name__ == "__main__":
    sys.exit(main())
