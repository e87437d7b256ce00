"""Add quick sweeps on scikit-learn's bundled sets to a store, so that pictures of the page have several: with two metrics, with a limit, of two methods.

.venv/bin/python web/scripts/sweeps.py [--store URL]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

import whet

FOREST = {"trees": {"min": 2, "max": 60, "log": True}, "depth": {"min": 1, "max": 12}}
SVM = {
    "C": {"min": 1e-2, "max": 1e2, "log": True},
    "gamma": {"min": 1e-4, "max": 1.0, "log": True},
    "kernel": {"values": ["rbf", "sigmoid", "poly"]},
}
SEEDS = {"random": 2, "bayes": 3}


def halves(load: Any, scale: float) -> Any:
    """Return a set in two halves: what is learned from, what is tested on, and their targets."""
    features, targets = load(return_X_y=True)
    return train_test_split(features / scale, targets, test_size=0.5, random_state=0)


def forests(store: str) -> None:
    """Sweep random forests by accuracy and time of a prediction: first for both, then with a limit on the time."""
    train, test, known, right = halves(load_breast_cancer, 1.0)

    def grown(trial: Any) -> tuple[float, float]:
        model = RandomForestClassifier(trial.params["trees"], max_depth=trial.params["depth"], random_state=0)
        model.fit(train, known)
        began = time.perf_counter()
        accuracy = model.score(test, right)
        return float(accuracy), 1e3 * (time.perf_counter() - began)

    def limited(trial: Any) -> float:
        accuracy, took_ms = grown(trial)
        trial.set_user_attr("predict_ms", took_ms)
        return accuracy

    common: dict[str, Any] = {"project": "tables", "storage": store, "method": "bayes", "space": FOREST}
    both = {"metrics": ["accuracy", "predict_ms"], "directions": ["maximize", "minimize"]}
    whet.create_study(name="forest-size", seed=1, run_cap=24, **both, **common).optimize(grown)
    aim = {"metrics": ["accuracy"], "directions": ["maximize"], "limits": {"predict_ms": {"max": 2.5}}}
    whet.create_study(name="forest-fast", seed=2, run_cap=20, **aim, **common).optimize(limited)


def machines(store: str) -> None:
    """Sweep support vector machines by two methods, with some seeds of each."""
    train, test, known, right = halves(load_digits, 16.0)

    def error(trial: Any) -> float:
        return 1.0 - float(SVC(**trial.params).fit(train[:400], known[:400]).score(test[:400], right[:400]))

    for seed in range(max(SEEDS.values())):
        for method in (one for one, seeds in SEEDS.items() if seed < seeds):
            name = f"svm-{method}-{seed}"
            more: dict[str, Any] = {"metrics": ["error"], "directions": ["minimize"], "space": SVM, "run_cap": 30}
            study = whet.create_study(name=name, project="svm", storage=store, method=method, seed=seed, **more)
            study.optimize(error)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default=".whet/whet.db", help="where they go (default .whet/whet.db)")
    chosen = parser.parse_args().store
    forests(chosen)
    machines(chosen)
