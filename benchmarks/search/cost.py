"""What a search costs until it has found something good, where some trials are many times as dear as others.

    python -m benchmarks.search cost [--quick] [--json FILE] [--check] [--repeats N]

Problems whose trials differ in cost, by factors from 14 to more than 60,000:

    branin     Branin's function; the cost is exp of a linear function, 1 to 55: of the three equal optima one is cheap
    hartmann6  Hartmann's function; the cost is exp of a linear function, 1 to 20, about 5 at the optimum
    network    a made-up network: depth, width, learning rate, epochs; the cost is the number of multiplications
    vehicle    trained networks of a published table (HPOBench), with the seconds that their training took
    segment    the same for other data
    protein    another table (HPOLib), likewise

A search is over when its best is within a regret of a target, where 0 is the best there is and 1 what 10 random trials find. A search that is not
there when it has spent as much as 100 random trials cost on the average (or after 250 trials, lest cheap ones go on for ever) counts as if it had spent that,
whatever it spent. Numbers are means over the seeds, in random trials, and how many searches got there. With `budget` the method knows
a budget: what `bayes` needs without costs (the median over the seeds).
"""

from __future__ import annotations

import argparse
import functools
import math
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks._harness import Report, arguments, number
from benchmarks.search import problems
from benchmarks.search.problems import suggested
from benchmarks.search.tables import seconds
from whet.plugins import build
from whet.space import Float, Int, Space
from whet.trial import Phase, Trial
from whet.trial import Problem as Search

__all__ = ["FIRST_SEED", "PROBLEMS", "Problem", "main", "spent_until"]

FIRST_SEED = 3000
TARGETS = (0.1, 0.01)
MOST = 250  # trials of a search
CAP = 100.0  # of random trials' mean cost
_DRAWS = 4000
_HARD = (
    "vehicle",
    "segment",
)  # most searches of any kind don't get there, so that their ratios are luck: shown, not bounded
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A loss and a cost over a space.

    Args:
        space, loss, cost: What is searched, what for, and what a trial costs.
        best: The least loss.
    """

    space: Space
    loss: Callable[[Params], float]
    cost: Callable[[Params], float]
    best: float


def _network(p: Params) -> float:
    """More layers, units and epochs are better and dearer; a wrong learning rate is worse, and more so for few epochs."""
    off = math.log10(p["lr"] / 3e-3 * math.sqrt(p["depth"] / 4))
    size = p["depth"] * p["width"]
    return float(0.05 + 0.9 * size**-0.35 + 0.25 * p["epochs"] ** -0.8 + 0.1 * off * off + 2e-5 * size)


_NETWORK = Space({
    "depth": Int(1, 12), "width": Int(16, 512, log=True), "lr": Float(1e-5, 1.0, log=True), "epochs": Int(3, 100, log=True),
})  # fmt: skip


def _best_network() -> float:
    sizes = ((d, w) for d in range(1, 13) for w in range(16, 513))
    best = min(sizes, key=lambda dw: _network({"depth": dw[0], "width": dw[1], "lr": 3e-3 / math.sqrt(dw[0] / 4), "epochs": 100}))  # fmt: skip
    return _network({"depth": best[0], "width": best[1], "lr": 3e-3 / math.sqrt(best[0] / 4), "epochs": 100})


def _table(name: str, suite: str, data: str) -> Problem:
    known = problems.problem(name)
    return Problem(space=known.space, loss=known.loss, cost=seconds(suite, data), best=known.best)


def _tilted(name: str, cost: Callable[[Params], float]) -> Problem:
    known = problems.problem(name)
    return Problem(space=known.space, loss=known.loss, cost=cost, best=known.best)


PROBLEMS: Mapping[str, Callable[[], Problem]] = {
    "branin": lambda: _tilted("branin", lambda p: math.exp(4.0 * (0.7 * (p["x0"] + 5) / 15 + 0.3 * p["x1"] / 15))),
    "hartmann6": lambda: _tilted("hartmann6", lambda p: math.exp(3.0 * (p["x0"] + p["x3"] + p["x4"]) / 3)),
    "network": lambda: Problem(
        space=_NETWORK, loss=_network, cost=lambda p: p["depth"] * p["width"] * p["epochs"] / 100, best=_best_network()
    ),
    "vehicle": lambda: _table("mlp-vehicle", "HPOBench", "vehicle"),
    "segment": lambda: _table("mlp-segment", "HPOBench", "segment"),
    "protein": lambda: _table("net-protein", "HPOLib", "protein_structure"),
}


@functools.cache
def problem(name: str) -> Problem:
    """Return one of `PROBLEMS`."""
    return PROBLEMS[name]()


@functools.cache
def scale(name: str) -> tuple[float, float, float, float]:
    """Return the loss whose regret is 1, the mean cost of a random trial, and the least and the greatest one."""
    one = problem(name)
    rng = random.Random(f"cost/{name}")
    drawn = [one.space.sample(rng) for _ in range(_DRAWS)]
    losses, costs = [one.loss(params) for params in drawn], [one.cost(params) for params in drawn]
    ten = problems.usual_loss(losses, rng)
    return ten, statistics.fmean(costs), min(costs), max(costs)


def spent_until(name: str, trials: Iterator[tuple[float, float]]) -> list[float]:
    """Return what (loss, cost) after (loss, cost) comes to until each target is reached, in random trials' mean cost; `CAP` where it is not."""
    one, (usual, mean, _, _) = problem(name), scale(name)
    found: list[float] = []
    spent, least = 0.0, math.inf
    for loss, cost in trials:
        spent, least = spent + cost / mean, min(least, loss)
        if spent >= CAP:
            break
        while len(found) < len(TARGETS) and (least - one.best) / (usual - one.best) <= TARGETS[len(found)]:
            found.append(spent)
        if len(found) == len(TARGETS):
            break
    return found + [CAP] * (len(TARGETS) - len(found))


def _whet(name: str, seed: int, method: str, knobs: Mapping[str, object]) -> Iterator[tuple[float, float]]:
    one = problem(name)
    searcher: Any = build("searcher", method, Search(space=one.space), knobs_given=dict(knobs), seed=seed)
    for turn in range(MOST):
        params = searcher.ask(1)[0].params
        loss, cost = one.loss(params), one.cost(params)
        done = Trial(number=turn, params=params, phase=Phase.FINISHED, values=(loss,), attrs={"cost": cost})
        searcher.tell([done], [])
        yield loss, cost


def _optuna(name: str, seed: int) -> Iterator[tuple[float, float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    one = problem(name)
    made = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(MOST):
        trial = made.ask()
        params = suggested(trial, one.space)
        loss = one.loss(params)
        made.tell(trial, loss)
        yield loss, one.cost(params)


_PLAIN, _WEIGHED, _BUDGET, _PEER = _CASES = ("bayes", "with cost", "with budget", "Optuna TPE")


def _one(task: tuple[str, str, int, float | None]) -> tuple[tuple[str, str], list[float]]:
    case, name, seed, budget = task
    if case == _PEER:
        return (case, name), spent_until(name, _optuna(name, seed))
    knobs: dict[str, object] = {} if case == _PLAIN else {"cost": "cost"}
    if budget is not None:
        knobs["budget"] = budget
    return (case, name), spent_until(name, _whet(name, seed, "bayes", knobs))


def main() -> int:
    """Run everything, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=6, quick_repeats=3, more=_more)
    names = ["hartmann6", "network", "protein"] if given.quick else list(PROBLEMS)
    seeds = range(given.first, given.first + given.repeats)
    found: dict[tuple[str, str], list[list[float]]] = {}
    with ProcessPoolExecutor(given.jobs) as pool:

        def run(tasks: list[tuple[str, str, int, float | None]]) -> None:
            for done, (key, spent) in enumerate(pool.map(_one, tasks), 1):
                found.setdefault(key, []).append(spent)
                if done % 20 == 0 or done == len(tasks):
                    print(f"  {done} of {len(tasks)} searches", file=sys.stderr, flush=True)

        run([(case, name, seed, None) for name in names for seed in seeds for case in (_PLAIN, _WEIGHED, _PEER)])
        budget = {
            name: statistics.median(spent[-1] for spent in found[_PLAIN, name]) * scale(name)[1] for name in names
        }
        run([(_BUDGET, name, seed, budget[name]) for name in names for seed in seeds])
    bounded = [name for name in names if name not in _HARD]
    report = Report(title=f"Costs, {len(names)} problems, {given.repeats} seeds")
    for place, target in enumerate(TARGETS):
        mean = {key: statistics.fmean(spent[place] for spent in runs) for key, runs in found.items()}
        hits = {key: sum(spent[place] < CAP for spent in runs) for key, runs in found.items()}
        ratio = {(case, name): mean[case, name] / mean[_PLAIN, name] for case in _CASES for name in names}
        rows = []
        for name in names:
            low, high = scale(name)[2:]
            cells = [f"{number(mean[case, name])} ({hits[case, name]}/{given.repeats})" for case in _CASES]
            rows.append(
                [name, f"{high / low:,.0f}", *cells, number(ratio[_WEIGHED, name]), number(ratio[_BUDGET, name])]
            )
        middle = [number(statistics.geometric_mean(ratio[c, n] for n in bounded)) for c in (_WEIGHED, _BUDGET)]
        rows.append(["geometric mean of those with a bound", *[""] * (1 + len(_CASES)), *middle])
        report.table(
            f"cost until a regret of {target:g}, in random trials (searches that got there)",
            ["problem", "cost varies by", *_CASES, "cost / plain", "budget / plain"],
            rows,
        )
        report.data[f"{target:g}"] = {
            f"{case} {name}": {"mean": mean[case, name], "ratio": ratio[case, name], "reached": hits[case, name]}
            for case in _CASES
            for name in names
        }
        for case in (_WEIGHED, _BUDGET):
            got = statistics.geometric_mean(ratio[case, name] for name in bounded)
            report.bound(
                f"until {target:g} {case}: at most 0.8 of what {_PLAIN} costs (geometric mean)", got, got <= 0.8
            )
    for case in (_WEIGHED, _BUDGET):
        for name in bounded:
            got = ratio[case, name]  # of the last target
            report.bound(f"{name} until {TARGETS[-1]:g} {case}: at most what {_PLAIN} costs", got, got <= 1.0)
    return report.finish(given)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes at a time (default 2)")
    parser.add_argument("--first", type=int, default=FIRST_SEED, metavar="SEED", help=f"default {FIRST_SEED}")


if __name__ == "__main__":
    sys.exit(main())
