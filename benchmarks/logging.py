"""What a call of `log` costs: 5 scalars, 1 run × 10,000 calls and 100 runs × 100 calls, beside TensorBoard, W&B offline and trackio.

Each peer runs in a process of its own, with its data in an empty folder of its own, and turn by turn with Whet. Whet runs as a user
has it: online, into its SQLite store, with git, packages and output captured. A call of TensorBoard's writer is five `add_scalar`.

Then a process logs, calls `flush`, logs on, and kills itself with SIGKILL: what was logged before the flush must all be there.

Bounds: Whet's p50 ≤ 10 µs in both; nothing lost at the kill.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._harness import Report, arguments, paired, ratios, spread

PEERS = {"whet": "whet", "tensorboard": "tensorboard", "wandb offline": "wandb", "trackio": "trackio"}
P50_US = 10.0

Log = Callable[[dict[str, float], int], None]


def main() -> int:
    given = arguments(__doc__ or "", repeats=5)
    sizes = [(1, 2_000), (20, 100)] if given.quick else [(1, 10_000), (100, 100)]
    report = Report(title="logging: 5 scalars a call, each system in a process of its own")
    present = [name for name, module in PEERS.items() if importlib.util.find_spec(module) is not None]
    for name in PEERS.keys() - set(present):
        report.remark(f"{name} is not installed and was not measured: pip install 'whet[bench]'")
    for runs, calls in sizes:
        title = f"{runs} × {calls:,} calls"
        results = paired({name: partial(child, name, runs, calls) for name in present}, given.repeats)
        slower, longer = ratios(results, "p50_us", to="whet"), ratios(results, "total_s", to="whet")
        rows = []
        for name, turns in results.items():
            cells = [spread(t[key] for t in turns).text() for key in ("p50_us", "p99_us", "total_s")]
            kilobytes = spread(t["bytes"] / 1000 for t in turns).median
            again = [slower[name].text(), longer[name].text()] if name in slower else ["1", "1"]
            rows.append([name, *cells, f"{kilobytes:,.0f}", f"{turns[-1]['files']:.0f}", *again])
        report.table(
            title,
            ["", "p50 µs", "p99 µs", "total s with finish", "kB", "files", "p50 ÷ Whet's", "total ÷ Whet's"],
            rows,
        )
        report.data[title] = results
        p50 = spread(t["p50_us"] for t in results["whet"]).median
        report.bound(f"{title}: Whet's p50 ≤ {P50_US:.0f} µs", p50, p50 <= P50_US)
    lost = [killed(2_000 if given.quick else 20_000) for _ in range(given.repeats)]
    report.data["lost at kill -9 after flush"] = lost
    report.bound(
        f"rows lost at {given.repeats} × kill -9 after flush(), of those logged before it: none",
        max(lost),
        max(lost) == 0,
    )
    return report.finish(given)


def child(name: str, runs: int, calls: int) -> dict[str, float]:
    """Measure one system in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        data = Path(folder) / "data"
        data.mkdir()
        _python([name, str(runs), str(calls), str(answer)], data)
        result: dict[str, float] = json.loads(answer.read_text())
        files = [p for p in data.rglob("*") if p.is_file()]
        return {**result, "bytes": float(sum(p.stat().st_size for p in files)), "files": float(len(files))}


def killed(rows: int) -> float:
    """Return how many of `rows` that were flushed are missing after a kill, in the file and then in the store."""
    from whet.store.open import open_store
    from whet.track.shipper import ship_all
    from whet.track.spool import SpoolReader

    with tempfile.TemporaryDirectory() as folder:
        _python(["kill", str(rows), "0", "-"], Path(folder), expect=-signal.SIGKILL)
        (path,) = Path(folder).glob(".whet/runs/*/spool-0")
        records = SpoolReader(path).read(1 << 30).records
        steps = {record[1] for record in records if record[0] == "r" and "loss" in record[3]}
        store = open_store(f"sqlite:///{folder}/.whet/whet.db")
        ship_all(path.parent, store)
        stored = set(store.runs.metrics(path.parent.name, ["loss"])["loss"].steps)
        store.close()
        return float(len(set(range(rows)) - (steps & stored)))


def _python(args: list[str], folder: Path, *, expect: int = 0) -> None:
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "WHET_SILENT": "1",
        "WHET_DIR": ".whet",
        "WANDB_SILENT": "true",
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(folder),
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WANDB_DATA_DIR": str(folder / "cache"),
        "WANDB_CONFIG_DIR": str(folder / "config"),
        "TRACKIO_DIR": str(folder / "trackio"),
        "HF_HUB_OFFLINE": "1",
    }
    env.pop("WHET_STORE", None)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.logging", "--child", *args],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != expect:
        raise SystemExit(
            f"{args[0]} ended with {done.returncode}, not {expect}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )


# -- in the child ----------------------------------------------------------------------------------------------------------------


def measure(name: str, runs: int, calls: int, answer: str) -> None:
    start = {"whet": _whet, "tensorboard": _tensorboard, "wandb offline": _wandb, "trackio": _trackio}[name]()
    taken: list[int] = []
    began = time.perf_counter()
    for run in range(runs):
        log, finish = start(run)
        for step in range(calls):
            values = {"loss": 1 / (step + 1), "acc": step * 1e-4, "lr": 0.1, "norm": step * 0.5, "time": float(step)}
            before = time.perf_counter_ns()
            log(values, step)
            taken.append(time.perf_counter_ns() - before)
        finish()
    total = time.perf_counter() - began
    taken.sort()
    result = {"p50_us": taken[len(taken) // 2] / 1e3, "p99_us": taken[int(len(taken) * 0.99)] / 1e3, "total_s": total}
    Path(answer).write_text(json.dumps(result))


def _whet() -> Callable[[int], tuple[Log, Callable[[], None]]]:
    from whet.track import face

    def start(number: int) -> tuple[Log, Callable[[], None]]:
        run = face.init("bench", {"number": number})
        log = face.log
        return lambda values, step: log(values), run.finish

    return start


def _tensorboard() -> Callable[[int], tuple[Log, Callable[[], None]]]:
    from torch.utils.tensorboard import SummaryWriter

    def start(number: int) -> tuple[Log, Callable[[], None]]:
        writer = SummaryWriter(f"runs/{number}")

        def log(values: dict[str, float], step: int) -> None:
            for key, value in values.items():
                writer.add_scalar(key, value, step)

        return log, writer.close

    return start


def _wandb() -> Callable[[int], tuple[Log, Callable[[], None]]]:
    wandb: Any = importlib.import_module("wandb")

    def start(number: int) -> tuple[Log, Callable[[], None]]:
        run = wandb.init(project="bench", mode="offline", config={"number": number})
        return lambda values, step: run.log(values), run.finish

    return start


def _trackio() -> Callable[[int], tuple[Log, Callable[[], None]]]:
    trackio: Any = importlib.import_module("trackio")

    def start(number: int) -> tuple[Log, Callable[[], None]]:
        trackio.init(project="bench", name=f"run-{number}", config={"number": number})
        return lambda values, step: trackio.log(values), trackio.finish

    return start


def kill(rows: int) -> None:
    from whet.track import face

    run = face.init("bench")
    for step in range(rows):
        run.log({"loss": float(step)})
    assert run.flush()
    for step in range(rows):
        run.log({"loss": float(step)})
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        what, count, per_run, where = sys.argv[2:]
        if what == "kill":
            kill(int(count))
        else:
            measure(what, int(count), int(per_run), where)
    else:
        sys.exit(main())
