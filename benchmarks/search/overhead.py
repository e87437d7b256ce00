"""What a suggestion costs after n trials, in memory, beside Optuna.

    python -m benchmarks.search overhead [--quick] [--json FILE] [--check] [--repeats N]

Spaces of 5 floats and 2 categoricals, and of 20 and 2. The history is told beforehand; each measurement asks, evaluates nothing, and tells.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks._harness import Report, arguments, number, paired, ratio, spread
from benchmarks.search.problems import suggested
from whet.plugins import build
from whet.space import Choice, Float, Space
from whet.trial import Phase, Problem, Trial

__all__ = ["main"]

_BOUNDS = {
    ("random", 10_000): 0.015,
    ("tpe", 1_000): 0.5,
    ("tpe", 10_000): 1.0,
    ("gp", 100): 20.0,
    ("gp", 1_000): 100.0,
}
"""Milliseconds in the smaller space."""


def space(floats: int) -> Space:
    """Return a space of so many floats and two categoricals."""
    named = {f"x{i}": Float(-1.0, 1.0) for i in range(floats)}
    return Space({**named, "first": Choice(["a", "b", "c"]), "second": Choice(["a", "b", "c", "d"])})


def _loss(params: Mapping[str, Any]) -> float:
    return sum((v - 0.3) ** 2 for v in params.values() if isinstance(v, float)) + (params["first"] == "a")


def whet(method: str, floats: int, count: int, asks: int) -> Mapping[str, float]:
    """Return the milliseconds of one suggestion after `count` trials."""
    here, rng = space(floats), random.Random(1)
    searcher = build("searcher", method, Problem(space=here), seed=0, knobs_given={})
    trials = []
    for i in range(count):
        params = here.sample(rng)
        trials.append(Trial(number=i, params=params, phase=Phase.FINISHED, values=(_loss(params),)))
    searcher.tell(trials, [])
    searcher.ask(1)
    began = time.perf_counter()
    for i in range(count, count + asks):
        params = searcher.ask(1)[0].params
        searcher.tell([Trial(number=i, params=params, phase=Phase.FINISHED, values=(_loss(params),))], [])
    return {"ms": 1e3 * (time.perf_counter() - began) / asks}


def optuna(method: str, floats: int, count: int, asks: int) -> Mapping[str, float]:
    """Return the same for Optuna."""
    import optuna as module

    warnings.simplefilter("ignore")
    module.logging.set_verbosity(module.logging.ERROR)
    samplers = {
        "random": module.samplers.RandomSampler,
        "tpe": module.samplers.TPESampler,
        "gp": module.samplers.GPSampler,
    }
    study = module.create_study(sampler=samplers[method](seed=0))
    here, rng = space(floats), random.Random(1)
    d = module.distributions
    kinds = {f"x{i}": d.FloatDistribution(-1.0, 1.0) for i in range(floats)}
    kinds |= {name: d.CategoricalDistribution(list(here[name].options)) for name in ("first", "second")}  # type: ignore[attr-defined]
    study.add_trials([module.trial.create_trial(params=p, distributions=kinds, value=_loss(p))
                      for p in (here.sample(rng) for _ in range(count))])  # fmt: skip
    study.tell(*_asked(study, here))
    began = time.perf_counter()
    for _ in range(asks):
        study.tell(*_asked(study, here))
    return {"ms": 1e3 * (time.perf_counter() - began) / asks}


def _asked(study: Any, here: Space) -> tuple[Any, float]:
    trial = study.ask()
    return trial, _loss(suggested(trial, here))


def main() -> int:
    """Measure, and hold it against the bounds."""
    given = arguments(__doc__ or "", repeats=5)
    report = Report(title="One suggestion, in memory")
    for floats in (5,) if given.quick else (5, 20):
        rows = []
        for method, counts in (("random", (10_000,)), ("tpe", (1_000, 10_000)), ("gp", (100, 1_000))):
            for count in counts[:1] if given.quick else counts:
                asks = {"random": 200, "tpe": 50, "gp": 10}[method]
                peer_asks = 2 if method == "gp" and count > 100 else min(asks, 20)
                turns = paired({"whet": partial(whet, method, floats, count, asks),
                                "optuna": partial(optuna, method, floats, count, peer_asks)},
                               1 if method == "gp" and count > 100 else given.repeats)  # fmt: skip
                mine, theirs = (spread(t["ms"] for t in turns[tool]) for tool in ("whet", "optuna"))
                times = ratio(turns, "ms", "optuna", to="whet")
                rows.append([f"{method}, n = {count:,}", mine.text(), theirs.text(), times.text()])
                report.data[f"{floats}+2/{method}/{count}"] = {"whet": mine, "optuna": theirs, "ratio": times}
                bound = _BOUNDS.get((method, count))
                if bound is not None and not given.quick:
                    text = f"{floats} + 2, {method} at n = {count:,}: at most {number(bound)} ms"
                    report.bound(text, mine.median, mine.median <= bound)
        report.table(f"{floats} floats + 2 categoricals: ms a suggestion", ["", "Whet", "Optuna", "times"], rows)
    return report.finish(given)
