"""What a trial costs besides its training: ask and tell, beside Optuna, with the same lines of code for both.

    python -m benchmarks.overhead [--quick] [--json FILE] [--check]

- Milliseconds of one ask + seven suggests + tell after n trials, for random search and TPE, in memory and on SQLite. The history is
  added beforehand (it costs nothing here), the first trials after it are not counted, since they load it.
- Trials per second on one SQLite file with one process and with four, random search, from the first trial on.

The space has five floats and two categoricals. Both tools run in the same turn, so that a busy machine hurts both alike.
"""

from __future__ import annotations

import importlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._harness import Report, arguments, number, paired, ratios, spread

__all__ = ["main"]

TOOLS = ("optuna", "whet")
METHODS = ("random", "tpe")
PLACES = ("memory", "sqlite")
LETTERS = ("a", "b", "c")
_RAM = Path("/dev/shm")
_WARM_UP = 3
_TIMES = 20.0  # what is promised


def one(study: Any) -> None:
    """One trial, by Optuna's names."""
    trial = study.ask()
    value = sum(trial.suggest_float(f"x{i}", -1.0, 1.0) ** 2 for i in range(4))
    value += (trial.suggest_float("lr", 1e-5, 1e-1, log=True) - 0.01) ** 2
    value += trial.suggest_categorical("first", LETTERS) == "a"
    value += trial.suggest_categorical("second", LETTERS) == "b"
    study.tell(trial, value)


def url_of(place: str, path: Path) -> str | None:
    """Return what both tools call the store."""
    return f"sqlite:///{path}" if place == "sqlite" else None


def open_study(tool: str, method: str, url: str | None) -> Any:
    """Open the study "bench", or make it."""
    if tool == "optuna":
        optuna = importlib.import_module("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=1) if method == "tpe" else optuna.samplers.RandomSampler(seed=1)
        return optuna.create_study(study_name="bench", storage=url, sampler=sampler, load_if_exists=True)
    whet = importlib.import_module("whet")
    return whet.create_study(
        name="bench", storage=url or "memory", method=method, seed=1, load_if_exists=True, stopper="none"
    )


def add(tool: str, study: Any, begin: int, end: int) -> None:
    """Add trials number `begin` … `end` - 1 that ran elsewhere."""
    module = importlib.import_module(tool)
    rng = random.Random(begin)
    distributions = None
    if tool == "optuna":
        d = module.distributions
        distributions = {f"x{i}": d.FloatDistribution(-1.0, 1.0) for i in range(4)}
        distributions["lr"] = d.FloatDistribution(1e-5, 1e-1, log=True)
        distributions |= {name: d.CategoricalDistribution(LETTERS) for name in ("first", "second")}
    trials = []
    for _ in range(begin, end):
        params: dict[str, Any] = {f"x{i}": rng.uniform(-1, 1) for i in range(4)}
        params |= {"lr": 10 ** rng.uniform(-5, -1), "first": rng.choice(LETTERS), "second": rng.choice(LETTERS)}
        value = sum(params[f"x{i}"] ** 2 for i in range(4))
        trials.append(module.create_trial(params=params, distributions=distributions, value=value))
    study.add_trials(trials)


def filled(tool: str, method: str, folder: Path, sizes: tuple[int, ...]) -> dict[int, Path]:
    """Return SQLite files with histories of these sizes. Whet keeps the method with the study, Optuna is told it again."""
    files = {size: folder / f"{tool}-{method}-{size}.db" for size in sizes}
    if tool == "optuna" and method != METHODS[0]:
        return {size: folder / f"{tool}-{METHODS[0]}-{size}.db" for size in sizes}
    path, begin = folder / f"{tool}-{method}.db", 0
    for size in sizes:
        add(tool, open_study(tool, method, url_of("sqlite", path)), begin, size)
        begin = size
        _copy(path, files[size])
    return files


def _copy(source: Path, target: Path) -> None:
    import sqlite3

    target.unlink(missing_ok=True)
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)
    old.close()
    new.close()


def marginal(tool: str, method: str, place: str, size: int, count: int, source: Path | None) -> dict[str, float]:
    """Return the milliseconds of each of `count` trials after `size` others: the median."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.db"
        if source is not None:
            _copy(source, path)
        study = open_study(tool, method, url_of(place, path))
        if source is None:
            add(tool, study, 0, size)
        for _ in range(_WARM_UP):
            one(study)
        times = []
        for _ in range(count):
            began = time.perf_counter()
            one(study)
            times.append(time.perf_counter() - began)
        assert len(study.trials) == size + _WARM_UP + count
        return {"ms": 1000 * statistics.median(times), "mean_ms": 1000 * statistics.fmean(times)}


def throughput(tool: str, processes: int, seconds: float, where: Path | None) -> dict[str, float]:
    """Return the trials per second of `processes` on one new SQLite file."""
    with tempfile.TemporaryDirectory(dir=where) as folder:
        url = f"sqlite:///{Path(folder) / 'study.db'}"
        open_study(tool, "random", url)
        command = [sys.executable, "-m", "benchmarks.overhead", "--worker", tool, url, str(seconds)]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        rates = [float(worker.communicate()[0]) for worker in _started(workers)]
        return {"trials_s": sum(rates)}


def _started(workers: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return workers


def work(tool: str, url: str, seconds: float) -> None:
    """Run trials for so long after a line came in, and print how many that were in a second."""
    study = open_study(tool, "random", url)
    one(study)
    print("ready", flush=True)
    sys.stdin.readline()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        one(study)
        count += 1
    print(count / (time.perf_counter() - began))


def main() -> int:
    """Run it."""
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], sys.argv[3], float(sys.argv[4]))
        return 0
    given = arguments(__doc__, repeats=3)
    sizes = (100, 1_000) if given.quick else (100, 1_000, 10_000)
    count = 15 if given.quick else 40
    seconds = 1.5 if given.quick else 4.0
    report = Report(title="What a trial costs: ask + tell, milliseconds and trials per second")
    with tempfile.TemporaryDirectory(
        dir=_RAM if _RAM.is_dir() else None
    ) as name:  # where Optuna's 10,000 need no minutes
        sources = {(tool, method): filled(tool, method, Path(name), sizes) for tool in TOOLS for method in METHODS}
        rows = []
        for method in METHODS:
            for place in PLACES:
                for size in sizes:
                    cases: dict[str, Callable[[], Mapping[str, float]]] = {
                        tool: partial(
                            marginal, tool, method, place, size, count,
                            sources[tool, method][size] if place == "sqlite" else None,
                        )
                        for tool in TOOLS
                    }  # fmt: skip
                    results = paired(cases, given.repeats)
                    faster = ratios(results, "ms", to="whet")["optuna"]
                    ms = {tool: spread(r["ms"] for r in results[tool]) for tool in TOOLS}
                    rows.append([f"{method}, {place}, n = {size:,}", *(ms[t].text() for t in TOOLS), faster.text()])
                    report.data[f"{method}/{place}/{size}"] = {**ms, "ratio": faster}
                    if (method, size) == ("tpe", 10_000):
                        text = f"TPE, {place}, n = 10,000: at least {_TIMES:g} times faster than Optuna's"
                        report.bound(text, faster.median, faster.median >= _TIMES)
        columns = ["a trial, in ms", "Optuna", "Whet", "Optuna / Whet"]
        report.table(
            "Ask, seven suggests and tell, after n trials (median [least … greatest] of the turns)", columns, rows
        )
    rows = []
    for where in (None, _RAM) if _RAM.is_dir() else (None,):
        for processes in (1, 4):
            cases = {tool: partial(throughput, tool, processes, seconds, where) for tool in TOOLS}
            results = paired(cases, given.repeats)
            more = ratios(results, "trials_s", to="optuna")["whet"]
            rates = {tool: spread(r["trials_s"] for r in results[tool]) for tool in TOOLS}
            label = f"{processes} process{'es' * (processes > 1)}{', file in memory' if where else ''}"
            rows.append([label, *(rates[t].text() for t in TOOLS), more.text()])
            report.data[f"throughput/{label}"] = {**rates, "ratio": more}
            text = f"SQLite, {label}: at least {_TIMES:g} times Optuna's trials/s"
            report.bound(text, more.median, more.median >= _TIMES)
    report.table("Trials per second on one SQLite file, random search", ["", "Optuna", "Whet", "Whet / Optuna"], rows)
    report.remark(
        "\nOptuna's transactions wait for the disk, Whet's don't (WAL: an acknowledged trial survives kill -9, a power cut may cost the last "
        "ones); with the file in memory nobody waits."
    )
    versions = [f"{tool} {importlib.import_module(tool).__version__}" for tool in TOOLS]
    report.remark(f"{', '.join(versions)}; {number(count)} trials measured a case and turn")
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
