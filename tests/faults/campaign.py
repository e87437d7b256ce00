"""Faults at random, and what must hold after them.

Agents work on a sweep at a server, through a proxy that loses and repeats answers. Agents and server are killed (SIGKILL) again and again,
spools get torn tails, the server's clock jumps, its disk is full for a while, PostgreSQL is killed, too. Then what is left is finished in
peace, and everything is compared with what the workers have noted down.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3

import whet
from whet.store import Store, open_store
from whet.store.base import SweepState
from whet.trial import Phase

__all__ = ["Campaign", "violations"]

STEPS = 6
SERVER = """
import os, resource, signal, sys, time
jump, full = float(sys.argv[3]), int(sys.argv[4])
if jump:
    true = time.time
    time.time = lambda: true() + jump
if full:  # no file may grow: what writing to a full disk is like
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, full))
import uvicorn
from whet.server.app import application
from whet.store import open_store
uvicorn.run(application(open_store(sys.argv[1])), port=int(sys.argv[2]), log_level="critical", timeout_graceful_shutdown=1)
"""
WORKER = f"""
import json, os, sys, time
import whet
from whet.tune.agent import work
from whet.store import open_store

def train():
    with whet.init(settings={{"capture": False, "system_interval_s": 0}}) as run:
        x = run.config["x"]
        for step in range({STEPS}):
            run.log({{"loss": x + 1 / (step + 1), "step_of": step}}, step=step)
            time.sleep(0.01)
    with open("ran", "a") as file:
        file.write(json.dumps([run.id, x]) + "\\n")

while True:
    try:
        store = open_store(sys.argv[1])
        ending = work(store, sys.argv[2], train)
        print(ending.reason, flush=True)
        if ending.final or ending.interrupted:
            break
    except whet.errors.StoreError as error:
        print(error, flush=True)
        time.sleep(0.3)
"""


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Proxy:
    """Stands between agents and server, and loses and repeats what passes, each with the share `fault`."""

    def __init__(self, target: str, rng: random.Random, share: float) -> None:
        self.counts: Counter[str] = Counter()
        pool, counts = urllib3.PoolManager(maxsize=32, retries=False), self.counts
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                return

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with lock:
                    fault = rng.choice(["lost request", "lost answer", "repeated"]) if rng.random() < share else ""
                counts.update([fault] if fault else [])
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                headers["Host"] = target.removeprefix("http://")
                try:
                    if fault == "lost request":
                        raise ConnectionError
                    for _ in range(1 + (fault == "repeated")):
                        answer = pool.request(self.command, target + self.path, body=body, headers=headers, timeout=30)
                    if fault == "lost answer":
                        raise ConnectionError
                except (urllib3.exceptions.HTTPError, ConnectionError):
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                with contextlib.suppress(OSError):
                    self.send_response(answer.status)
                    self.send_header("Content-Type", answer.headers.get("content-type", ""))
                    self.send_header("Content-Length", str(len(answer.data)))
                    self.end_headers()
                    self.wfile.write(answer.data)

            do_GET = do_POST = pass_on

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Campaign:
    """A sweep under attack.

    Args:
        folder: For everything; empty.
        store_url: The database behind the server.
        cap: Trials of the sweep.
        seed: Of the faults.
        num_agents: Agents at a time.
        kill_database: Kills and restarts the database's server, where there is one.
    """

    folder: Path
    store_url: str
    cap: int
    seed: int = 0
    num_agents: int = 3
    kill_database: Callable[[], None] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    num_under_fire: int = 0
    say: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.port = free_port()
        self.direct = f"http://127.0.0.1:{self.port}"
        self.log = (self.folder / "log").open("ab")
        self.agents: list[subprocess.Popen[bytes]] = []

    def serve(self, *, jump: float = 0.0, full: int = 0) -> None:
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER, self.store_url, str(self.port), str(jump), str(full)],
            cwd=self.folder, stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def agent(self, url: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, "WHET_DIR": str(self.folder / ".whet")}
        for name in ("WHET_RUN_ID", "WHET_STORE", "WHET_MODE"):
            env.pop(name, None)
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, url, self.sweep], cwd=self.folder, env=env, stdout=self.log, stderr=self.log
        )

    def wait_for_server(self) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError, urllib3.exceptions.HTTPError):
                urllib3.request("GET", f"{self.direct}/api/v1", timeout=2, retries=False)
                return
            time.sleep(0.1)
        raise AssertionError("the server did not come up: " + (self.folder / "log").read_text()[-2000:])

    def run(self, faults: int) -> None:
        """Inject that many kills and the like, then let the sweep come to its end in peace."""
        with contextlib.closing(open_store(self.store_url)) as store:
            config = {"method": "random", "metric": {"name": "loss"}, "parameters": {"x": {"min": 0.0, "max": 1.0}}}
            self.sweep = whet.sweep({**config, "run_cap": self.cap, "seed": 1}, storage=store)
        self.serve()
        self.wait_for_server()
        proxy = Proxy(self.direct, random.Random(self.seed + 1), 0.1)
        try:
            self.agents = [self.agent(proxy.url) for _ in range(self.num_agents)]
            while sum(self.counts.values()) + sum(proxy.counts.values()) < faults:
                time.sleep(self.rng.uniform(0.1, 2.0))  # a process needs a second to start
                self.fault(proxy.url)
            self.num_under_fire = self.num_finished()
            for agent in self.agents:
                agent.kill()
                agent.wait()
            self.restart()
            self.wait_for_server()
            for _ in range(5):  # whose trials were lost too often fail; the others come to their end
                last = self.agent(self.direct)
                last.wait(600)
                if self.is_over():
                    break
        finally:
            self.counts += proxy.counts
            proxy.close()
            for process in (*self.agents, self.server):
                process.kill()
                process.wait()

    def num_finished(self) -> int:
        with contextlib.closing(open_store(self.store_url)) as store:
            return sum(trial.phase is Phase.FINISHED for trial in store.trials.changes(self.sweep).trials)

    def is_over(self) -> bool:
        with contextlib.closing(open_store(self.store_url)) as store:
            return store.sweeps.get(self.sweep).state is SweepState.FINISHED

    def fault(self, url: str) -> None:
        kinds = ["agent"] * 6 + ["server"] * 2 + ["torn spool", "clock", "disk full"]
        kinds += ["database"] if self.kill_database else []
        kind = self.rng.choice(kinds)
        self.counts[kind] += 1
        self.say(f"{sum(self.counts.values())} faults, the last: {kind}")
        if kind == "agent" or kind == "torn spool":
            place = self.rng.randrange(len(self.agents))
            self.agents[place].kill()
            self.agents[place].wait()
            if kind == "torn spool":
                self.tear()
            self.agents[place] = self.agent(url)
        elif kind == "database" and self.kill_database:
            self.kill_database()
        else:
            jump = self.rng.choice([-86400.0, 86400.0, -3.0]) if kind == "clock" else 0.0
            self.restart(jump=jump, full=64 * 1024 if kind == "disk full" else 0)
            if kind == "disk full":
                time.sleep(2.0)
                self.restart()
        for place, agent in enumerate(self.agents):  # those that had nothing to do, or gave up
            if agent.poll() is not None:
                self.agents[place] = self.agent(url)

    def restart(self, *, jump: float = 0.0, full: int = 0) -> None:
        self.server.kill()
        self.server.wait()
        self.serve(jump=jump, full=full)

    def tear(self) -> None:
        """Leave half a line at the end of a spool, as a process does that dies while it writes."""
        spools = sorted((self.folder / ".whet/runs").glob("*/spool-*"), key=lambda p: p.stat().st_mtime)
        if spools:
            with spools[-1].open("ab") as file:
                file.write(b'3f2a91 ["row", 3, 17')


def violations(store: Store, sweep: str, folder: Path, cap: int) -> Iterator[str]:
    """Yield what does not hold."""
    trials = store.trials.changes(sweep).trials
    found = store.sweeps.get(sweep)
    numbers = sorted(trial.number for trial in trials)
    if numbers != list(range(len(numbers))):
        yield f"trial numbers are {numbers}"
    if len(numbers) > cap:
        yield f"{len(numbers)} trials, the cap is {cap}"
    if found.next_number != len(numbers):
        yield f"the next number is {found.next_number} of {len(numbers)}"
    ran = Counter(tuple(json.loads(line)) for line in (folder / "ran").read_text().splitlines())
    ran_ids = {id for id, _ in ran}
    for trial in trials:
        if not trial.phase.is_over:
            yield f"trial {trial.number} is {trial.phase.value} at the end"
    best: tuple[float, int, str] | None = None
    for run in store.runs.select():
        if run.phase is not Phase.FINISHED:
            continue
        x = run.params["x"]
        if run.id not in ran_ids:
            yield f"run {run.id} is finished, but nobody ran it to its end"
        wanted = x + 1 / STEPS
        if run.values != (wanted,):
            yield f"run {run.id} has the result {run.values}, wanted {wanted}"
        curve = store.runs.metrics(run.id).get("loss")
        if curve is None or list(curve.steps) != list(range(STEPS)):
            yield f"run {run.id} has the steps {None if curve is None else curve.steps}"
        elif list(curve.values) != [x + 1 / (step + 1) for step in range(STEPS)]:
            yield f"run {run.id} has the values {curve.values}"
        best = min(best or (run.values[0], run.number, run.id), (run.values[0], run.number, run.id))
    if best is not None and found.best_run != best[2]:
        yield f"the best run is {found.best_run}, wanted {best[2]}"
    if best is not None and found.best_value != best[0]:
        yield f"the best value is {found.best_value}, wanted {best[0]}"
