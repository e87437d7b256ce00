"""The store under load: trials per second of many processes on one file, and scalars per second of many runs into one server.

    python -m benchmarks.store [--quick] [--json FILE] [--check]

- `study.optimize` with random search in 1, 4 and 16 processes on one study, beside Optuna with its relational storage (SQLite, too) and its journal
  file: trials per second of all of them together, and the slowest trial.
- Runs of 5 scalars a call into a server behind HTTP (`whet serve` over SQLite): what a call of `log` costs
  the training, and how many scalars a second 16 runs bring into the store, from the first call until all is there.
- The bytes that these runs take: the server's database, and the run's own files beside the training, next to TensorBoard's event files of the
  same scalars.

All of it is on the disk of temporary files. Whet's and the peers' turns alternate.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._harness import Report, arguments, paired, ratios, served, spread

__all__ = ["main"]

PROCESSES = (1, 4, 16)
TRIALS_S, SLOWEST_S, P50_US, SCALARS_S = 1_500.0, 1.0, 10.0, 100_000.0
RUNS, SCALARS = 16, 5


def objective(trial: Any) -> float:
    """Return the loss of five floats and two choices, by Optuna's names."""
    loss = sum(trial.suggest_float(f"x{i}", -1.0, 1.0) ** 2 for i in range(5))
    loss += trial.suggest_categorical("first", ["a", "b", "c"]) == "a"
    return float(loss + (trial.suggest_categorical("second", ["a", "b", "c", "d"]) == "b"))


def open_study(tool: str, folder: Path) -> Any:
    """Open the study of `tool` in `folder`, or make it."""
    if tool == "Whet":
        whet = importlib.import_module("whet")
        url = f"sqlite:///{folder / 'whet.db'}"
        return whet.create_study(name="s", storage=url, method="random", seed=1, load_if_exists=True, stopper="none")
    optuna = importlib.import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if tool == "Optuna, journal":
        backend = importlib.import_module("optuna.storages.journal").JournalFileBackend(str(folder / "journal"))
        storage: Any = optuna.storages.JournalStorage(backend)
    else:
        storage = f"sqlite:///{folder / 'optuna.db'}"
    sampler = optuna.samplers.RandomSampler()
    return optuna.create_study(study_name="s", storage=storage, sampler=sampler, load_if_exists=True)


def optimize(tool: str, folder: str, seconds: str) -> None:
    """Run trials for so long after a line came in, and print how many that were and the longest time between two ends."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    study, ends = open_study(tool, Path(folder)), [0.0]
    study.optimize(objective, n_trials=1)
    print("ready", flush=True)
    sys.stdin.readline()
    deadline = time.perf_counter() + float(seconds)
    ends[:] = [time.perf_counter()]

    def noted(study: Any, trial: Any) -> None:
        ends.append(time.perf_counter())
        if ends[-1] > deadline:
            study.stop()

    study.optimize(objective, callbacks=[noted])
    slowest = max(b - a for a, b in itertools.pairwise(ends))
    print(json.dumps({"trials": len(ends) - 1, "seconds": ends[-1] - ends[0], "slowest": slowest}))


def throughput(tool: str, processes: int, seconds: float) -> Mapping[str, float]:
    """Return the trials per second of `processes` together, and the seconds of the slowest trial."""
    with tempfile.TemporaryDirectory() as folder:
        open_study(tool, Path(folder))
        found = _together([["--optimize", tool, folder, str(seconds)] for _ in range(processes)], Path(folder))
        return {
            "trials_s": sum(one["trials"] / one["seconds"] for one in found),
            "slowest_s": max(one["slowest"] for one in found),
        }


def log(url: str, dir: str, number: str, calls: str) -> None:
    """Log into a server once a line came in, and print what a call cost and when the last scalar was there."""
    import whet

    os.environ["WHET_STORE"] = url
    settings = {"capture": False, "system_interval_s": 0, "stdout": False}
    run = whet.init(project="bench", name=f"run-{number}", dir=dir, settings=settings)
    run.log({f"s{i}": 0.0 for i in range(SCALARS)}, step=0)
    run.flush()
    print("ready", flush=True)
    sys.stdin.readline()
    taken, clock, values = [], time.perf_counter_ns, {f"s{i}": 0.1 * i for i in range(SCALARS)}
    began = time.perf_counter()
    for step in range(1, int(calls) + 1):
        values["s0"] = 1.0 / step
        before = clock()
        run.log(values, step=step)
        taken.append(clock() - before)
    run.finish()
    print(json.dumps({"p50_us": statistics.median(taken) / 1e3, "seconds": time.perf_counter() - began}))


def scalars(runs: int, calls: int) -> Mapping[str, float]:
    """Return what runs that log into one server cost, and how many scalars a second come in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder / "whet.db") as server:
            jobs = [["--log", server.url, str(folder / "runs"), str(i), str(calls)] for i in range(runs)]
            found = _together(jobs, folder)
        kept = importlib.import_module("whet.store").open_store(str(folder / "whet.db"))
        stored = sum(stat.count for run in kept.runs.select() for stat in run.stats.values())
        assert stored == runs * (calls + 1) * SCALARS, f"{stored} scalars are in the store"
        kept.close()
        return {
            "p50_us": statistics.median(one["p50_us"] for one in found),
            "scalars_s": runs * calls * SCALARS / max(one["seconds"] for one in found),
            "store_bytes": float(sum(p.stat().st_size for p in folder.glob("whet.db*") if p.is_file())),
            "run_bytes": float(sum(p.stat().st_size for p in (folder / "runs").rglob("*") if p.is_file())),
        }


def tensorboard(runs: int, calls: int) -> Mapping[str, float]:
    """Return the bytes of TensorBoard's event files with the same scalars."""
    writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            with writer(f"{folder}/run-{number}") as out:
                for step in range(calls + 1):
                    for i in range(SCALARS):
                        out.add_scalar(f"s{i}", 1.0 / (step + 1) if i == 0 else 0.1 * i, step)
        return {"bytes": float(sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file()))}


def _together(jobs: list[list[str]], folder: Path) -> list[dict[str, float]]:
    """Start processes, let them go at the same moment, and return what they print at last."""
    env = {**os.environ, "WHET_SILENT": "1"}
    env.pop("WHET_STORE", None)
    started = [
        subprocess.Popen([sys.executable, "-m", "benchmarks.store", *job], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=(folder / f"log-{i}").open("w"), text=True, env=env)
        for i, job in enumerate(jobs)
    ]  # fmt: skip
    for process in started:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            process.wait()
            raise SystemExit("\n".join(p.read_text()[-2000:] for p in folder.glob("log-*")))
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in started]


def main() -> int:
    """Run everything, and hold it against the bounds."""
    if sys.argv[1:2] == ["--optimize"]:
        optimize(*sys.argv[2:5])
        return 0
    if sys.argv[1:2] == ["--log"]:
        log(*sys.argv[2:6])
        return 0
    given = arguments(__doc__ or "", repeats=3)
    seconds, calls = (1.5, 2_000) if given.quick else (4.0, 20_000)
    report = Report(title="The store under load")
    tools = ["Whet"]
    if importlib.util.find_spec("optuna") is None:
        report.remark("optuna is not installed and was not measured: pip install 'whet[bench]'")
    else:
        tools += ["Optuna, SQLite", "Optuna, journal"]
    rows = []
    for processes in PROCESSES:
        cases: dict[str, Callable[[], Mapping[str, float]]] = {
            tool: partial(throughput, tool, processes, seconds) for tool in tools
        }
        results = paired(cases, given.repeats)
        times = ratios(results, "trials_s", to="Whet")
        for tool in tools:
            rate = spread(one["trials_s"] for one in results[tool])
            slowest = spread(one["slowest_s"] for one in results[tool])
            other = spread(1 / one for one in (times[tool].median,)).text() if tool in times else ""
            rows.append([f"{processes}", tool, rate.text(), slowest.text(), other])
            report.data[f"{tool}/{processes}"] = {"trials_s": rate, "slowest_s": slowest}
        mine = report.data[f"Whet/{processes}"]
        text = f"study.optimize in {processes} process{'es' * (processes > 1)}"
        report.bound(
            f"{text}: at least {TRIALS_S:,.0f} trials/s", mine["trials_s"].median, mine["trials_s"].median >= TRIALS_S
        )
        report.bound(
            f"{text}: the slowest trial at most {SLOWEST_S:g} s",
            mine["slowest_s"].median,
            mine["slowest_s"].median <= SLOWEST_S,
        )
    report.table(
        "study.optimize on one study, random search",
        ["processes", "", "trials/s", "slowest trial, s", "Whet's rate ÷ this"],
        rows,
    )
    rows = []
    for runs in (1, RUNS):
        here: dict[str, Callable[[], Mapping[str, float]]] = {"Whet": partial(scalars, runs, calls)}
        if importlib.util.find_spec("tensorboard") is not None:
            here["TensorBoard"] = partial(tensorboard, runs, calls)
        found = paired(here, given.repeats)
        p50, rate = (spread(one[key] for one in found["Whet"]) for key in ("p50_us", "scalars_s"))
        kept, own = (spread(one[key] / 1e3 for one in found["Whet"]) for key in ("store_bytes", "run_bytes"))
        peer = spread(one["bytes"] / 1e3 for one in found["TensorBoard"]) if "TensorBoard" in found else None
        rows.append([f"{runs}", p50.text(), rate.text(), kept.text(), own.text(), peer.text() if peer else "–"])
        report.data[f"logging/{runs}"] = {
            "p50_us": p50,
            "scalars_s": rate,
            "store_kB": kept,
            "run_kB": own,
            "tensorboard_kB": peer,
        }
        if runs == 1:
            report.bound(f"a call of log at most {P50_US:g} µs", p50.median, p50.median <= P50_US)
        else:
            report.bound(f"{runs} runs: at least {SCALARS_S:,.0f} scalars/s", rate.median, rate.median >= SCALARS_S)
        if peer is not None:
            report.bound(
                f"{runs} runs: the store's bytes at most TensorBoard's",
                kept.median / peer.median,
                kept.median <= peer.median,
            )
    columns = [
        "runs",
        "a call of log, p50 µs",
        "scalars/s into the server",
        "store, kB",
        "run's own files, kB",
        "TensorBoard, kB",
    ]
    report.table(f"{calls:,} calls of log a run, {SCALARS} scalars each, into one server", columns, rows)
    report.remark(
        "A run's own file is there so that nothing is lost without the server; it may be deleted once it was sent."
    )
    return report.finish(given)


if __name__ == "__main__":
    sys.exit(main())
