"""Problems to minimise: published test functions, spaces with conditions, and scikit-learn's own models and data sets.

Every problem is a define-by-run objective in Optuna's words, which both tools understand, and the same space declared.
"""

from __future__ import annotations

import functools
import math
import random
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.search.tables import boosting, network
from whet.space import Choice, Float, Int, Space

__all__ = ["NAMES", "Problem", "problem", "suggested", "usual_loss"]

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A loss over a space.

    Args:
        space: Parameters with conditions.
        loss: Of a configuration; the same every time.
        best: The least loss; infinity where nobody knows it, so that the least that a run finds takes its place.
    """

    space: Space
    loss: Callable[[Params], float]
    best: float = math.inf


def suggested(trial: Any, space: Space) -> dict[str, Any]:
    """Return a configuration by Optuna's suggest calls, in the order of the space's conditions."""
    found: dict[str, Any] = {}
    for name in space.active_order:
        p = space.parameters[name]
        if not space.is_active(name, found):
            continue
        if isinstance(p, Choice):
            found[name] = trial.suggest_categorical(name, list(p.options))
        elif isinstance(p, Int):
            found[name] = trial.suggest_int(name, int(p.low), int(p.high), log=p.log)
        else:
            assert isinstance(p, Float)
            found[name] = trial.suggest_float(name, p.low, p.high, log=p.log)
    return found


def usual_loss(losses: Sequence[float], rng: random.Random) -> float:
    """Return the loss whose regret is 1: the best of ten of these, of random points, the median over 400 draws."""
    return statistics.median(min(rng.sample(losses, min(10, len(losses)))) for _ in range(400))


# -- test functions -------------------------------------------------------------------------------------------------------


def _vector(params: Params) -> np.ndarray[Any, Any]:
    return np.array([params[f"x{i}"] for i in range(len(params))])


def _branin(params: Params) -> float:
    x, y = _vector(params)
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])  # fmt: skip
_P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                      [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])  # fmt: skip
_C = np.array([1.0, 1.2, 3.0, 3.2])


def _hartmann(params: Params) -> float:
    return -float(_C @ np.exp(-(_A * (_vector(params) - _P) ** 2).sum(1)))


def _rosenbrock(params: Params) -> float:
    x = _vector(params)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def _ackley(params: Params) -> float:
    x = _vector(params)
    return float(-20 * np.exp(-0.2 * np.sqrt((x * x).mean())) - np.exp(np.cos(2 * np.pi * x).mean()) + 20 + math.e)


def _levy(params: Params) -> float:
    w = 1 + (_vector(params) - 1) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    return float(np.sin(np.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def _box(dims: int, low: float, high: float) -> Space:
    return Space({f"x{i}": Float(low, high) for i in range(dims)})


# -- spaces with conditions -----------------------------------------------------------------------------------------------


def _branches(params: Params) -> float:
    """Three branches with parameters of their own beside a shared learning rate; only one holds the optimum."""
    lr = math.log10(params["lr"])
    if params["kind"] == "deep":
        return 0.1 + 0.3 * (lr + 2) ** 2 + 0.05 * (params["layers"] - 7) ** 2
    if params["kind"] == "wide":
        return 0.5 * (lr + 3) ** 2 + 4 * (params["dropout"] - 0.3) ** 2 + 0.3 * abs(math.log2(params["width"]) - 7)
    return 0.8 + 0.1 * (lr + 4) ** 2


_BRANCHES = Space(
    {
        "kind": Choice(["linear", "deep", "wide"]),
        "lr": Float(1e-6, 1.0, log=True),
        "layers": Int(1, 12, when="kind == 'deep'"),
        "dropout": Float(0.0, 0.9, when="kind == 'wide'"),
        "width": Int(8, 1024, log=True, when="kind == 'wide'"),
    }
)


def _pipeline(params: Params) -> float:
    """An optimizer with momentum or betas, and a schedule with or without warm-up."""
    lr = math.log10(params["lr"])
    if params["optimizer"] == "sgd":
        loss = 0.4 * (lr + 1) ** 2 + 2 * (params["momentum"] - 0.9) ** 2 + (0.1 if not params["nesterov"] else 0.0)
    else:
        loss = (
            0.05 + 0.4 * (lr + 3) ** 2 + 3 * (params["beta1"] - 0.85) ** 2 + 0.1 * (math.log10(params["eps"]) + 7) ** 2
        )
    if params["schedule"] == "cosine":
        return loss + 0.5 * (params["warmup"] - 0.1) ** 2 + 0.2 * (math.log10(params["decay"]) + 4) ** 2
    return loss + 0.15 + 0.2 * (math.log10(params["decay"]) + 3) ** 2


_PIPELINE = Space(
    {
        "optimizer": Choice(["sgd", "adam"]),
        "lr": Float(1e-5, 1.0, log=True),
        "momentum": Float(0.0, 0.99, when="optimizer == 'sgd'"),
        "nesterov": Choice([True, False], when="optimizer == 'sgd'"),
        "beta1": Float(0.5, 0.99, when="optimizer == 'adam'"),
        "eps": Float(1e-10, 1e-3, log=True, when="optimizer == 'adam'"),
        "schedule": Choice(["none", "cosine"]),
        "warmup": Float(0.0, 0.5, when="schedule == 'cosine'"),
        "decay": Float(1e-7, 0.1, log=True),
    }
)


# -- scikit-learn ---------------------------------------------------------------------------------------------------------


def _cross_validated(model: Any, data: str, rows: int, scoring: str) -> float:
    from sklearn import datasets
    from sklearn.model_selection import cross_val_score

    x, y = getattr(datasets, f"load_{data}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))[:rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return -float(cross_val_score(model, x[order], y[order], cv=3, scoring=scoring).mean())


def _svm(params: Params) -> float:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    own = {k: v for k, v in params.items() if k in ("C", "kernel", "gamma", "degree", "coef0")}
    return 1 + _cross_validated(
        make_pipeline(StandardScaler(), SVC(**own, max_iter=2000)), "breast_cancer", 250, "accuracy"
    )


_SVM = Space(
    {
        "kernel": Choice(["linear", "poly", "rbf"]),
        "C": Float(1e-4, 1e4, log=True),
        "gamma": Float(1e-6, 1e1, log=True, when="kernel != 'linear'"),
        "degree": Int(2, 5, when="kernel == 'poly'"),
        "coef0": Float(-1.0, 1.0, when="kernel == 'poly'"),
    }
)


def _regression(params: Params) -> float:
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import ElasticNet
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if params["model"] == "knn":
        model: Any = KNeighborsRegressor(params["neighbours"], weights=params["weights"])
    elif params["model"] == "kernel":
        model = KernelRidge(alpha=params["alpha"], kernel="rbf", gamma=params["gamma"])
    else:
        model = ElasticNet(alpha=params["alpha"], l1_ratio=params["l1_ratio"])
    return _cross_validated(make_pipeline(StandardScaler(), model), "diabetes", 300, "neg_mean_squared_error") / 1e3


_REGRESSION = Space(
    {
        "model": Choice(["knn", "kernel", "linear"]),
        "neighbours": Int(1, 60, log=True, when="model == 'knn'"),
        "weights": Choice(["uniform", "distance"], when="model == 'knn'"),
        "alpha": Float(1e-5, 1e2, log=True, when="model != 'knn'"),
        "gamma": Float(1e-6, 1e1, log=True, when="model == 'kernel'"),
        "l1_ratio": Float(0.0, 1.0, when="model == 'linear'"),
    }
)


def _logistic(params: Params) -> float:
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = SGDClassifier(
        loss=params["loss"], alpha=params["alpha"], l1_ratio=params["l1_ratio"], penalty="elasticnet", eta0=params["eta0"],
        learning_rate="invscaling", power_t=params["power_t"], max_iter=params["epochs"], tol=None, random_state=0,
    )  # fmt: skip
    return 1 + _cross_validated(make_pipeline(StandardScaler(), model), "breast_cancer", 300, "accuracy")


_LOGISTIC = Space(
    {
        "loss": Choice(["log_loss", "hinge", "modified_huber"]),
        "alpha": Float(1e-8, 1e-1, log=True),
        "l1_ratio": Float(0.0, 1.0),
        "eta0": Float(1e-5, 1e1, log=True),
        "power_t": Float(0.0, 1.0),
        "epochs": Int(1, 30, log=True),
    }
)


def _kept(loss: Callable[[Params], float]) -> Callable[[Params], float]:
    """Remember what was computed: tools that ask for the same configuration get the same answer at no cost."""

    @functools.cache
    def known(key: tuple[tuple[str, Any], ...]) -> float:
        return loss(dict(key))

    return lambda params: known(tuple(sorted(params.items())))


def _cached(space: Space, loss: Callable[[Params], float], best: float = math.inf) -> Problem:
    return Problem(space=space, loss=_kept(loss), best=best)


_MADE: Mapping[str, Callable[[], Problem]] = {
    "branin": lambda: Problem(space=Space({"x0": Float(-5, 10), "x1": Float(0, 15)}), loss=_branin, best=0.397887),
    "hartmann6": lambda: Problem(space=_box(6, 0, 1), loss=_hartmann, best=-3.32237),
    "rosenbrock10": lambda: Problem(space=_box(10, -5, 10), loss=_rosenbrock, best=0.0),
    "ackley20": lambda: Problem(space=_box(20, -15, 30), loss=_ackley, best=0.0),
    "levy8": lambda: Problem(space=_box(8, -10, 10), loss=_levy, best=0.0),
    "branches": lambda: Problem(space=_BRANCHES, loss=_branches, best=0.0),
    "pipeline": lambda: Problem(space=_PIPELINE, loss=_pipeline, best=0.0),
    "svm": lambda: _cached(_SVM, _svm),
    "regression": lambda: _cached(_REGRESSION, _regression),
    "sgd": lambda: _cached(_LOGISTIC, _logistic),
    "boosting": lambda: _cached(*boosting()),
    "mlp-vehicle": lambda: _cached(*network("HPOBench", "vehicle")),
    "mlp-segment": lambda: _cached(*network("HPOBench", "segment")),
    "net-protein": lambda: _cached(*network("HPOLib", "protein_structure")),
    "net-naval": lambda: _cached(*network("HPOLib", "naval_propulsion")),
    "nas-cifar100": lambda: _cached(*network("NASBench201", "cifar100")),
}

NAMES = tuple(_MADE)
"""Of all problems."""


@functools.cache
def problem(name: str) -> Problem:
    """Return one of `NAMES`; tables are read when they are asked for."""
    return _MADE[name]()
