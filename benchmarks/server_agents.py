"""Two hundred agents on one sweep, behind a real `whet serve`.

    python -m benchmarks.server agents [--quick] [--json FILE] [--check]

A server of its own process serves a sweep in SQLite; for a minute 200 agents ask it for trials (waiting at the server), report three steps of
each and tell its result, as fast as they can: nothing is trained, so this is what the server can take, and an agent waits for the 199 others. So
many processes would measure the machine that they run on, so the agents are coroutines of two processes that speak HTTP as agents do, each on a
connection of its own. Then everything that they were told is compared with the store: each number given once, no configuration twice,
no report and no result lost or changed, nothing left running.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks._harness import Report, arguments, number, quantile, served

__all__ = ["main"]

AGENTS, PROCESSES, SECONDS, STEPS = 200, 2, 60.0, 3
METHODS = ("sobol", "tpe")
WAIT_S = 20.0
SPACE = {
    "lr": {"min": 1e-5, "max": 1.0, "log": True},
    "momentum": {"min": 0.0, "max": 0.99},
    "width": {"min": 8, "max": 1024},
    "optimizer": {"values": ["sgd", "adam", "rmsprop"]},
}


# -- agents -----------------------------------------------------------------------------------------------------------


class Connection:
    """An HTTP connection that is kept, and how long each kind of request took (ms)."""

    def __init__(self, url: str, times: dict[str, list[float]], errors: Counter[str]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._times, self._errors = times, errors
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Return the answer to `body`, or None where there was an error, which is counted."""
        began = time.perf_counter()
        kind = path.rpartition("/")[2]
        try:
            status, answer = await self._ask(path, json.dumps(body).encode())
        except (OSError, EOFError, ValueError) as error:
            self._streams = None
            self._errors[f"{kind}: {type(error).__name__}"] += 1
            return None
        self._times.setdefault(kind, []).append(1000 * (time.perf_counter() - began))
        if status != 200:
            self._errors[f"{kind}: {status} {answer.get('detail')}"] += 1
            return None
        return answer

    async def _ask(self, path: str, body: bytes) -> tuple[int, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        head = (
            f"POST /api/v1{path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
            f"Idempotency-Key: {random.randbytes(16).hex()}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        content = await reader.readexactly(int(named["content-length"]))
        return int(lines[0].split()[1]), json.loads(content)


def loss_of(params: Mapping[str, Any]) -> float:
    """Return the result of a trial: its own, so that a mix-up shows."""
    return float(params["lr"] + params["momentum"] + params["width"] / 1000 + len(params["optimizer"]))


async def agent(name: str, url: str, sweep: str, until: float, found: dict[str, Any]) -> None:
    """Work until then."""
    asked = Connection(url, found["times"], found["errors"])
    while time.time() < until:
        answer = await asked.post(f"/sweeps/{sweep}/suggest", {"owner": name, "wait_s": WAIT_S})
        if answer is None or answer["trial"] is None:
            found["empty"] += 1
            continue
        trial = answer["trial"]
        key = {"number": trial["number"], "attempt": trial["attempt"]}
        loss = loss_of(trial["params"])
        for step in range(STEPS):
            await asked.post(f"/sweeps/{sweep}/report", {**key, "step": step, "values": {"loss": loss + STEPS - step}})
        told = await asked.post(f"/sweeps/{sweep}/tell", {**key, "values": {"loss": loss}})
        found["trials"].append([trial["number"], trial["attempt"], trial["params"], loss, told is not None])


def work(url: str, sweep: str, first: int, count: int, seconds: float) -> None:
    """Be `count` agents, and print what they were told."""
    found: dict[str, Any] = {"times": {}, "errors": Counter(), "trials": [], "empty": 0}

    async def all_of_them() -> None:
        until = time.time() + seconds
        await asyncio.gather(*(agent(f"node-{n}||0", url, sweep, until, found) for n in range(first, first + count)))

    asyncio.run(all_of_them())
    print(json.dumps(found))


# -- the benchmark ----------------------------------------------------------------------------------------------------


def crowd(method: str, seconds: float, num_agents: int) -> dict[str, Any]:
    """Have the agents work on a sweep of that method, and return what was found: figures, and what is wrong as texts."""
    from whet.store import open_store
    from whet.study.create import sweep as create

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "whet.db")
        config = {"method": method, "metric": {"name": "loss"}, "parameters": SPACE, "seed": 0}
        with closing(open_store(path)) as store:
            sweep = create(config, storage=store)
        with served(Path(path)) as server:
            process = psutil.Process(server.pid)
            began = time.perf_counter()
            parts = _agents(server.url, sweep, seconds, num_agents)
            taken, spent = time.perf_counter() - began, sum(process.cpu_times()[:2])
            rss_mb = process.memory_info().rss / 1e6
        with closing(open_store(path)) as store:
            wrong = compared(store, sweep, parts)
    times = {
        kind: sorted(ms for part in parts for ms in part["times"].get(kind, ()))
        for kind in ("suggest", "report", "tell")
    }
    count = sum(len(part["trials"]) for part in parts)
    return {
        "method": method,
        "seconds": taken,
        "trials": count,
        "trials_per_s": count / taken,
        "requests_per_s": sum(map(len, times.values())) / taken,
        "server_cpu_s": spent,
        "rss_mb": rss_mb,
        "ms": {kind: {q: quantile(ms, q) for q in (0.5, 0.95, 1.0)} for kind, ms in times.items()},
        "wrong": wrong,
    }


def _agents(url: str, sweep: str, seconds: float, num_agents: int) -> list[dict[str, Any]]:
    each = num_agents // PROCESSES
    command = [sys.executable, "-m", "benchmarks.server_agents", "--work", url, sweep]
    started = [
        subprocess.Popen([*command, str(i * each), str(each), str(seconds)], stdout=subprocess.PIPE, text=True)
        for i in range(PROCESSES)
    ]
    return [json.loads(process.communicate()[0]) for process in started]


def compared(store: Any, sweep: str, parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong between what the agents were told and what the store has; a sentence a kind."""
    from whet.trial import Phase

    errors: Counter[str] = Counter()
    for part in parts:
        errors.update(part["errors"])
    wrong = [f"{count} × {text}" for text, count in errors.most_common()]
    told = [trial for part in parts for trial in part["trials"]]
    given = Counter(number for number, *_ in told)
    changes = store.trials.changes(sweep)
    trials = {trial.number: trial for trial in changes.trials}
    reports = Counter(number for number, _, _ in changes.reports)
    params = Counter(json.dumps(dict(trial.params), sort_keys=True) for trial in trials.values())
    for text, numbers in (
        ("numbers were given twice", [n for n, count in given.items() if count > 1]),
        ("configurations came twice", [p for p, count in params.items() if count > 1]),
        ("numbers are missing", sorted(set(range(len(trials))) ^ trials.keys())),
        ("trials were handed out that no agent got", sorted(trials.keys() - given.keys())),
        ("trials are not finished", [n for n, t in trials.items() if t.phase is not Phase.FINISHED]),
        ("trials have other params than the agent got", [n for n, _, p, *_ in told if trials[n].params != p]),
        ("trials have another result than was told", [n for n, _, _, v, _ in told if trials[n].values != (v,)]),
        ("trials lack reports", [n for n in trials if reports[n] != STEPS]),
        ("trials were handed out again", [n for n, t in trials.items() if t.attempt]),
    ):
        if numbers:
            wrong.append(f"{len(numbers)} {text}, such as {numbers[:3]}")
    best = min(trials.values(), key=lambda t: (t.values or (float("inf"),), t.number), default=None)
    if best is not None and best.values and store.sweeps.get(sweep).best_value != best.values[0]:
        wrong.append("the sweep's best is not the best")
    return wrong


def main() -> int:
    """Run it."""

    def more(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--agents", type=int, default=AGENTS, metavar="N", help=f"default {AGENTS}")
        parser.add_argument("--seconds", type=float, metavar="S", help=f"a sweep; default {SECONDS:g}, with --quick 5")

    given = arguments(__doc__, repeats=1, more=more)
    seconds = given.seconds or (5.0 if given.quick else SECONDS)
    report = Report(title=f"{given.agents} agents on one sweep, {seconds:g} s each")
    rows = []
    for method in METHODS:
        found = crowd(method, seconds, given.agents)
        print(f"  {method}  {found['seconds']:.1f} s", file=sys.stderr, flush=True)
        report.data[method] = found
        times = [" / ".join(number(ms) for ms in quantiles.values()) for quantiles in found["ms"].values()]
        rows.append(
            [method, number(found["trials"]), number(found["trials_per_s"]), number(found["requests_per_s"]), *times, number(found["rss_mb"])]
        )  # fmt: skip
        for text in found["wrong"]:
            report.remark(f"{method}: {text}")
        wrong = len(found["wrong"])
        report.bound(f"{method}: no error, no duplicate, nothing lost", wrong, wrong == 0)
    titles = ["", "trials", "trials/s", "requests/s", "suggest ms", "report ms", "tell ms", "server MB"]
    report.table("Times are median / 95 % / greatest, as the agents see them", titles, rows)
    return report.finish(given)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
    else:
        sys.exit(main())
