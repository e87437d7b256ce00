"""What each part of the default search brings: its regret with one part left out at a time.

    python -m benchmarks.search ablation [--quick] [--json FILE] [--check] [--repeats N]

Regret is that of `regret`, on the same problems; seeds begin where those of the published figures do. A column says what is left out:
the gradient with which the search for the next point ends; the middle of all ranges as the first point; the margin that every other
suggestion asks for; the power that makes results about normal; TPE's eighth of the trials (which leaves `gp`); the process (which leaves
`tpe`).
"""

from __future__ import annotations

import contextlib
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any
from unittest import mock

import numpy as np

from benchmarks._harness import Report, arguments
from benchmarks.search.problems import NAMES, problem
from benchmarks.search.regret import FIRST_SEED, regrets, whet

__all__ = ["main"]

_AT = (25, 50, 100)


def _as_it_is(layout: Any, slope: Any, x_D: Any, index_B: Any) -> Any:
    return x_D.copy()


def _no_middle(seed: int, count: int, space: Any, number: int) -> list[float]:
    from whet.search.startup import hypercube

    return hypercube(seed, count + 1, space, number + 1)


def _standard(loss_M: Any) -> Any:
    finite = np.isfinite(loss_M)
    y = np.where(finite, loss_M, loss_M[finite].max(initial=-np.inf)) if finite.any() else np.zeros(len(loss_M))
    return (y - y.mean()) / (y.std() or 1.0)


_WITHOUT: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "whole": ("bayes", {}),
    "gradient": ("bayes", {"whet.search.climb._steepest": _as_it_is}),
    "middle": ("bayes", {"whet.search.belief.hypercube": _no_middle}),
    "margin": ("bayes", {"whet.search.gp._MARGIN": 0.0}),
    "power": ("bayes", {"whet.search.normal.normalised": _standard}),
    "tpe": ("gp", {}),
    "gp": ("tpe", {}),
}
"""By what is left out: the method, and what takes the place of the part."""


@contextlib.contextmanager
def _patched(parts: Mapping[str, Any]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name, other in parts.items():
            stack.enter_context(mock.patch(name, other))
        yield


def _run(job: tuple[str, str, int, int]) -> tuple[str, str, int, list[float]]:
    warnings.simplefilter("ignore")
    part, name, seed, count = job
    method, parts = _WITHOUT[part]
    study: Callable[..., Any] = whet
    with _patched(parts):
        return part, name, seed, study(method, problem(name), seed, count)[0]


def main() -> int:
    """Run everything."""
    given = arguments(__doc__ or "", repeats=4)
    count = 30 if given.quick else max(_AT)
    names = [n for n in NAMES if not given.quick or n in ("branin", "branches")]
    jobs = [(part, name, seed, count) for seed in range(FIRST_SEED, FIRST_SEED + given.repeats)
            for part in _WITHOUT for name in names]  # fmt: skip
    runs: dict[tuple[str, str], dict[int, Any]] = {}
    with ProcessPoolExecutor(2) as pool:
        for part, name, seed, losses in pool.map(_run, jobs):
            runs.setdefault((part, name), {})[seed] = np.minimum.accumulate(losses)
    report = Report(
        title=f"Regret of the default search without one of its parts, {len(names)} problems, {given.repeats} seeds"
    )
    rows = []
    for n in (n for n in _AT if n <= count):
        found = {part: {name: float(np.median(list(by_seed.values()))) for name, by_seed in own.items()}
                 for part, own in regrets(runs, list(_WITHOUT), names, n).items()}  # fmt: skip
        report.data[f"after {n}"] = found
        rows.append([f"after {n}", *(f"{statistics.fmean(found[part].values()):.3f}" for part in _WITHOUT)])
    report.table("mean regret, without:", ["", "nothing", *list(_WITHOUT)[1:]], rows)
    return report.finish(given)
