"""What the server takes for the pages of a store with many runs, over HTTP as a browser asks it.

    python -m benchmarks.server [--quick] [--json FILE] [--check]
    python -m benchmarks.server agents [--quick] …          many agents on one sweep: see benchmarks/server_agents.py
    python -m benchmarks.server turnaround …        how soon an agent has its next trial: see `benchmarks.turnaround`

A store in SQLite with 10,000 runs × 10 parameters × 3 metrics, every tenth of which has diverged to NaN, and 100 of them with curves of 1,000
steps, is filled and served by `whet serve`. Asked are: a page of the run table in several orders and of several filters, the curves
of 100 runs in one question, and a poll with nothing new (its cost in the server's CPU time). The server's start is timed from the start of
its process to its first answer.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import urllib3

from benchmarks import server_agents, turnaround
from benchmarks._harness import Report, arguments, number, paired, served, spread

__all__ = ["main"]

PAGE_MS, CURVES_MS, POLL_CPU_MS = 50.0, 200.0, 2.0
PARAMS, METRICS, STEPS, DRAWN = 10, ("loss", "acc", "lr"), 1_000, 100
FILTER = 'loss < 0.3 and config.optimizer == "adam"'
PAGES: Mapping[str, Mapping[str, Any]] = {
    "list": {},
    "list with 4 columns": {"column": ["config.p0", "config.optimizer", "loss", "acc.max"]},
    "sort by metric": {"sort": "loss"},
    "sort by a metric's minimum": {"sort": "-loss.min"},
    "sort by parameter": {"sort": "config.p0"},
    "filter": {"filter": FILTER},
    "filter and sort": {"filter": FILTER, "sort": "-acc"},
    "filter by state and tag": {"filter": '"best" in tags and state == "finished"'},
}
PUBLISHED_MS = {"list": 59, "sort by metric": 4_530, "filter": 84}
"""MLflow's, of the same table, as the issue that asked for this server has them; another machine's, so they say the order only."""


def fill(path: Path, num_runs: int) -> float:
    """Make the store, and return how long it took."""
    from whet.store import open_store
    from whet.store.base import Batch, NewRun, Row
    from whet.trial import Phase

    draw = random.Random(0)
    began = time.perf_counter()
    with closing(open_store(str(path))) as store:
        for i in range(num_runs):
            id = f"run{i:08d}"
            config = {"optimizer": draw.choice(["adam", "sgd"]), **{f"p{k}": draw.random() for k in range(PARAMS - 1)}}
            tags = ("best",) if i % 50 == 0 else ()
            store.runs.create(NewRun(id=id, project="bench", name=f"run {i}", owner="", config=config, tags=tags))
            steps = STEPS if i >= num_runs - DRAWN else 3
            rows = [Row(step=s, time=float(s), values={m: draw.random() for m in METRICS}) for s in range(steps)]
            if i % 10 == 3:
                rows.append(Row(step=steps, time=float(steps), values={"loss": float("nan")}))
            store.runs.ship(id, 0, "spool", 0, 1, Batch(rows=rows))
            store.runs.finish(id, Phase.FINISHED)
    return time.perf_counter() - began


def _timed(ask: Callable[[], Any]) -> Mapping[str, float]:
    began = time.perf_counter()
    answer = ask()
    taken = time.perf_counter() - began
    assert answer.status == 200, answer.data
    return {"ms": 1000 * taken, "kB": len(answer.data) / 1000}


def cpu_of(ask: Callable[[], Any], process: psutil.Process, count: int) -> float:
    """Return what an answer costs the server in CPU milliseconds, on average: what is left when others keep the machine busy."""
    before = sum(process.cpu_times()[:2])
    for _ in range(count):
        ask()
    return 1000 * (sum(process.cpu_times()[:2]) - before) / count


def poll(pool: urllib3.PoolManager, url: str, process: psutil.Process, count: int) -> Mapping[str, float]:
    """Return what a poll with nothing new costs: the server's CPU time, and the time until the answer."""
    tag = pool.request("GET", url).headers["ETag"]
    headers = {"If-None-Match": tag, "Accept-Encoding": "gzip"}
    pool.request("GET", url, headers=headers)
    before, began = sum(process.cpu_times()[:2]), time.perf_counter()
    for _ in range(count):
        status = pool.request("GET", url, headers=headers).status
    taken, spent = time.perf_counter() - began, sum(process.cpu_times()[:2]) - before
    assert status == 304, "polls take longer than an answer is trusted, or something changed"
    return {"cpu_ms": 1000 * spent / count, "ms": 1000 * taken / count}


def main() -> int:
    """Run it."""
    given = arguments(__doc__, repeats=11, quick_repeats=3)
    num_runs = 1_000 if given.quick else 10_000
    report = Report(title=f"A server over {num_runs:,} runs × {PARAMS} parameters × {len(METRICS)} metrics (SQLite)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whet.db"
        filled = fill(path, num_runs)
        with served(path) as server:
            process = psutil.Process(server.pid)
            _measure(report, f"{server.url}/api/v1", process, num_runs, given.repeats, 100 if given.quick else 500)
            rss_mb = process.memory_info().rss / 1e6
    report.data |= {"start_s": server.start_s, "rss_mb": rss_mb, "fill_s": filled}
    report.remark(
        f"start to the first answer {server.start_s:.2f} s; {rss_mb:,.0f} MB of memory; filled in {filled:,.1f} s"
    )
    shown = ", ".join(f"{name} {number(ms)} ms" for name, ms in PUBLISHED_MS.items())
    report.remark(f"published for MLflow (elsewhere measured, 10,000 runs): {shown}")
    return report.finish(given)


def _measure(report: Report, url: str, process: psutil.Process, num_runs: int, repeats: int, num_polls: int) -> None:
    pool = urllib3.PoolManager(headers={"Accept-Encoding": "gzip"})
    ids = [f"run{i:08d}" for i in range(num_runs - DRAWN, num_runs)]
    body = json.dumps({"ids": ids, "names": ["loss"], "max_points": 500})
    headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
    turn = itertools.count()

    def anew(path: str, asked: Mapping[str, Any]) -> Any:
        """Ask what nobody asked in the same words: else the server would send the answer that it made for the one before."""
        return pool.request("GET", f"{url}/{path}?{urlencode({**asked, 'turn': next(turn)}, doseq=True)}")

    cases: dict[str, Callable[[], Mapping[str, float]]] = {
        name: partial(_timed, partial(anew, "runs", asked)) for name, asked in PAGES.items()
    }
    drawn = f"curves of {DRAWN} runs × {STEPS:,} steps"
    cases[drawn] = partial(_timed, partial(pool.request, "POST", f"{url}/metrics:query", body=body, headers=headers))
    cases["names of columns"] = partial(_timed, partial(anew, "runs:columns", {}))
    cases["poll with nothing new"] = partial(poll, pool, f"{url}/runs", process, num_polls)
    for case in cases.values():
        case()
    results = paired(cases, repeats)
    rows = []
    for name, turns in results.items():
        ms = spread(turn["ms"] for turn in turns)
        report.data[name] = turns
        bound = CURVES_MS if name == drawn else PAGE_MS if name in PAGES else None
        kilobytes = turns[-1].get("kB")
        cpu_ms = turns[-1]["cpu_ms"] if kilobytes is None else cpu_of(cases[name], process, 2 * repeats)
        report.data[f"{name}: CPU ms"] = cpu_ms
        shown = ["" if bound is None else f"{bound:g}", number(cpu_ms), "" if kilobytes is None else number(kilobytes)]
        rows.append([name, ms.text(), *shown])
        if bound is not None:
            report.bound(f"{name}: at most {bound:g} ms", ms.median, ms.median <= bound)
    report.table("Median [least … greatest]", ["", "ms", "bound", "server's CPU ms", "kB"], rows)
    cpu = spread(turn["cpu_ms"] for turn in results["poll with nothing new"])
    report.remark(f"a poll with nothing new: {cpu.text()} ms of the server's CPU time")
    report.bound(f"a poll with nothing new: at most {POLL_CPU_MS:g} ms of CPU", cpu.median, cpu.median <= POLL_CPU_MS)


if __name__ == "__main__":
    modes = {"agents": server_agents.main, "turnaround": turnaround.main}
    if (mode := modes.get(sys.argv[1] if len(sys.argv) > 1 else "")) is not None:
        del sys.argv[1]
    sys.exit((mode or main)())
