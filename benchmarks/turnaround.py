"""How soon an agent has its next trial, over HTTP to a server that is a process of its own.

    python -m benchmarks.server turnaround [--quick] [--json FILE] [--check]

Agents (`whet.tune.agent.work`, a process each) work on one sweep by random search at a real `whet serve` over SQLite; a trial
sleeps for 0.1 to 0.3 s, logs one metric and is over. Measured in the agent is the time from telling a trial's result to the start of the
next trial, and from the end of its run, which adds what is looked up before the result is told. The first trial of each agent has no one before it and is left out.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._harness import Report, arguments, number, quantile, served

__all__ = ["main"]

MEDIAN_MS = 50.0
AGENTS = (1, 8)
TRAINING_S = 0.2
CONFIG = {
    "method": "random",
    "metric": {"name": "loss", "goal": "minimize"},
    "parameters": {f"x{i}": {"min": 0.0, "max": 1.0} for i in range(5)},
}
Gaps = dict[str, list[float]]


def agent(url: str, sweep: str, count: int) -> Gaps:
    """Work, and return the gaps between trials in milliseconds."""
    import whet
    from whet.store.open import open_store
    from whet.study.engine import Engine
    from whet.tune.agent import work

    starts: list[float] = []
    ends: list[float] = []
    tells: list[float] = []
    tell = Engine.tell

    def told(engine: Engine, *args: Any, **given: Any) -> Any:
        tells.append(time.perf_counter())
        return tell(engine, *args, **given)

    def train() -> None:
        starts.append(time.perf_counter())
        with whet.init() as run:
            time.sleep(random.uniform(0.5, 1.5) * TRAINING_S)
            run.log({"loss": run.config["x0"]})
        ends.append(time.perf_counter())

    Engine.tell = told  # type: ignore[method-assign,assignment]
    work(open_store(url), sweep, train, count=count)
    gaps = {"tell to start": zip(tells, starts[1:], strict=False), "end to start": zip(ends, starts[1:], strict=False)}
    return {name: [1000 * (after - before) for before, after in pairs] for name, pairs in gaps.items()}


def measured(num_agents: int, count: int) -> Gaps:
    """Return the gaps of all agents of a fresh server."""
    import whet

    with tempfile.TemporaryDirectory() as place, served(Path(place) / "whet.db") as server:
        url, sweep = server.url, whet.sweep(CONFIG, storage=server.url)
        command = [sys.executable, "-m", "benchmarks.turnaround", "--agent", url, sweep, str(count)]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        agents = []
        for i in range(num_agents):
            own = Path(place) / f"agent{i}"
            own.mkdir()
            agents.append(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=own, env=env, text=True))
        found: Gaps = {}
        for process in agents:
            said, _ = process.communicate()
            assert process.returncode == 0, said
            for name, gaps in json.loads(said.splitlines()[-1]).items():
                found.setdefault(name, []).extend(gaps)
    return found


def main() -> int:
    """Run it."""
    given = arguments(__doc__, repeats=1)
    count = 25 if given.quick else 100
    report = Report(
        title=f"From one trial to the next: {count} trials an agent, random search, `whet serve` over SQLite"
    )
    rows = []
    for num_agents in AGENTS:
        for name, gaps in measured(num_agents, count).items():
            report.data[f"{num_agents} agents: {name}"] = gaps
            shown = [number(quantile(gaps, share)) for share in (0.5, 0.95, 1.0)]
            rows.append([f"{num_agents} agent{'s' * (num_agents > 1)}, {name}", *shown, str(len(gaps))])
            if name == "tell to start":
                median = quantile(gaps, 0.5)
                text = f"{num_agents} agent(s), {name}: median at most {MEDIAN_MS:g} ms"
                report.bound(text, median, median <= MEDIAN_MS)
    report.table("Milliseconds", ["", "median", "p95", "max", "n"], rows)
    report.remark(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, shared by the server and all agents")
    return report.finish(given)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--agent"]:
        print(json.dumps(agent(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        sys.exit(main())
