"""What one hypergradient costs: FLOPs, peak memory and time, beside a plain SGD step and the peers.

    python -m benchmarks.hypergrad cost [--quick] [--cuda] [--data DIR] [--json FILE] [--check] [--repeats N]

The hypergradient is that of one decay a weight, on Fashion-MNIST (random pixels where the data set is not there: costs are the same),
on an MLP 784-1024-1024-10 with 1.86 million weights and on a CNN with 0.42 million, one thread. The plain step is that of the same loss,
decay included, by `torch.optim.SGD`; hyperparameters in the update itself (one-pass loops) are compared with a plain run of 10 steps.

- GFLOP: matrix products and convolutions as PyTorch's own counter sees them.
- MB: peak resident memory of one call above that of the process with everything imported and model and batches loaded, in units of 10⁶
  bytes, each call the first in a process of its own (Linux); with --cuda the allocator's peak.
- ms: wall-clock. A plain step is measured before and after each call; peers run in the same turn; ratio are taken within a turn, and
  the median of the turns is shown with the least and the greatest.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import torch

from benchmarks._harness import Report, Spread, arguments, number, paired, ratio, spread
from benchmarks.hypergrad import child, peers, truth
from benchmarks.hypergrad.bounds import promise
from benchmarks.hypergrad.cases import Case, Setting, cases, find
from benchmarks.hypergrad.measure import MEMORY_KNOWN, gflop, peak_mb, seconds
from benchmarks.hypergrad.problems import MODELS, batches_of

__all__ = ["main"]

_LEAST_S = 0.12  # a case is run so often in a row that a turn of it takes this long


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found for one case."""

    gflop: float
    mb: Spread | None
    ms: Spread
    times: Spread


def main() -> int:
    """Run the benchmark."""
    warnings.simplefilter("ignore")
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes in which memory is measured
    given = arguments(__doc__ or "", repeats=7, data=True, flags={"cuda": "on the GPU, with its memory"})
    if given.cuda and not torch.cuda.is_available():
        print("--cuda: PyTorch sees no GPU here", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    device = "cuda" if given.cuda else "cpu"
    where = torch.cuda.get_device_name() if given.cuda else "one thread"
    report = Report(title=f"One hypergradient: FLOPs, memory and time ({where})")
    correct = truth.correct_peers()
    for model in ("mlp-quick", "cnn-quick", "small") if given.quick else ("mlp", "cnn", "small"):
        setting = Setting(model=model, data=given.data, device=device)
        found, turns = _measured(setting, given)
        _tabulate(report, setting, found, turns, correct)
        if not given.cuda:
            promise(report, model, found, turns, correct, quick=given.quick)
    _remarks(report, given, device, correct)
    return report.finish(given)


# -- measuring ----------------------------------------------------------------------------------------------------------


def _measured(
    setting: Setting, given: argparse.Namespace
) -> tuple[dict[str, Measured], dict[str, list[Mapping[str, float]]]]:
    """Return what each case costs, and the milliseconds of each turn."""
    listed = list(cases(setting.model))
    memory = _memory(setting, listed, 3 if setting.model == "mlp" else 1)
    flops: dict[str, float] = {}
    turns: dict[str, list[Mapping[str, float]]] = {}
    for heavy, repeats in ((False, given.repeats), (True, max(1, (given.repeats + 1) // 3))):
        _time(setting, [case for case in listed if case.heavy is heavy], repeats, flops, turns)
        gc.collect()
    if setting.device != "cpu":
        memory = {case.key: [peak_mb(case.build(setting), setting.device)] for case in listed}
    found = {
        case.key: Measured(
            gflop=flops[case.key],
            mb=spread(memory[case.key]) if memory.get(case.key) else None,
            ms=spread(r["ms"] for r in turns[case.key]),
            times=spread(r["times"] for r in turns[case.key]),
        )
        for case in listed
    }
    return found, turns


def _time(setting: Setting, group: list[Case], repeats: int, flops: dict[str, float],
          turns: dict[str, list[Mapping[str, float]]]) -> None:  # fmt: skip
    """Count and time some cases, turn by turn."""
    bases = {case.base: find(setting.model, f"{case.base}/plain").build(setting) for case in group}
    often = {name: _often(base, setting.device) for name, base in bases.items()}
    timed = {}
    for case in group:
        call = case.build(setting)
        began = time.perf_counter()
        flops[case.key] = gflop(call)  # the warm-up, too
        count = 1 if time.perf_counter() - began > 1 else _often(call, setting.device)
        timed[case.key] = partial(_turn, call, count, bases[case.base], often[case.base], setting.device)
        gc.collect()
    turns |= paired(timed, repeats)


def _often(call: Callable[[], Any], device: str) -> int:
    """Return how many calls in a row make up a measurement."""
    return max(1, min(50, round(_LEAST_S / min(seconds(call, 1, device)[0] for _ in range(2)))))


def _turn(call: Callable[[], Any], count: int, base: Callable[[], Any], often: int, device: str) -> Mapping[str, float]:
    """Measure one case, between two measurements of its base."""
    before, _ = seconds(base, often, device)
    wall, cpu = seconds(call, count, device)
    after, _ = seconds(base, often, device)
    plain = (before + after) / 2
    return {"ms": 1e3 * wall, "cpu_ms": 1e3 * cpu, "plain_ms": 1e3 * plain, "times": wall / plain}


def _memory(setting: Setting, listed: list[Case], repeats: int) -> dict[str, list[float]]:
    """Return each case's peaks, each measured in a process of its own; two at a time, since nothing is timed."""
    if setting.device != "cpu" or not MEMORY_KNOWN or MODELS[setting.model].loops_only:
        return {}
    jobs = [case.key for case in listed for _ in range(1 if case.heavy and "MB" not in case.row else repeats)]
    print(f"  {setting.model}: peak memory of {len(jobs)} processes", file=sys.stderr, flush=True)
    context = multiprocessing.get_context("forkserver")  # of a server that has imported everything and run nothing
    context.set_forkserver_preload([child.__name__])
    workers = max(1, min(2, os.cpu_count() or 1))
    with ProcessPoolExecutor(workers, mp_context=context, max_tasks_per_child=1) as pool:
        peaks = list(pool.map(partial(child.peak_of, setting), jobs))
    found: dict[str, list[float]] = {}
    for key, mb in zip(jobs, peaks, strict=True):
        found.setdefault(key, []).append(mb)
    return found


# -- showing ------------------------------------------------------------------------------------------------------------


def _tabulate(report: Report, setting: Setting, found: dict[str, Measured], turns: dict[str, list[Mapping[str, float]]],
              correct: set[tuple[str, str]]) -> None:  # fmt: skip
    lines = []
    for case in cases(setting.model):
        got, base = found[case.key], found[f"{case.base}/plain"]
        beside = "–"
        if case.tool not in ("Whet",) and f"{case.row}/Whet" in found:
            beside = ratio(turns, "ms", case.key, to=f"{case.row}/Whet").text()
        wrong = case.tool in peers.PEERS and (case.tool, case.method) not in correct
        lines.append([
            case.row, case.tool + " ✗" * wrong, f"{number(got.gflop)} ({got.gflop / base.gflop:.2f})", got.ms.text(),
            got.times.text(), got.mb.text() if got.mb else "–", beside,
        ])  # fmt: skip
        report.data[f"{setting.model}/{case.key}"] = {
            "gflop": got.gflop, "flop_times": got.gflop / base.gflop, "ms": got.ms, "times": got.times, "mb": got.mb,
            "turns": turns[case.key], "correct": not wrong,
        }  # fmt: skip
    model = MODELS[setting.model]
    size = sum(w.numel() for w in model.make().parameters())
    report.table(
        f"{model.words}: {size:,} weights, batch {model.batch}",
        ["method", "by", "GFLOP (× plain)", "ms", "time × plain", "peak + MB", "time / Whet's"], lines,
    )  # fmt: skip


def _remarks(report: Report, given: argparse.Namespace, device: str, correct: set[tuple[str, str]]) -> None:
    real = batches_of(1, 1, given.data, torch.device("cpu"))[1]
    report.remark(
        f"\nPixels: {'Fashion-MNIST' if real else 'random, since Fashion-MNIST is not on this machine (costs are the same)'}."
    )
    if device == "cpu" and not MEMORY_KNOWN:
        report.remark("Memory: not measured, since only Linux lets a process set its peak back.")
    for sentence in peers.missing():
        report.remark(sentence)
    report.remark(
        "✗: not what it says it is (see `truth`), so it is no yardstick. plain: the loop of the paper written out in plain PyTorch."
    )
    report.remark(f"PyTorch {torch.__version__}; hypertorch, a further peer, is not on PyPI")
    report.data["correct_peers"] = sorted("/".join(pair) for pair in correct)
    report.data["torch"] = torch.__version__
    if device != "cpu":
        report.data["gpu"] = torch.cuda.get_device_name()


if __name__ == "__main__":
    sys.exit(main())
