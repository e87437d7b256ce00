"""What is promised of the costs: each a line that says whether it was kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks._harness import Report, ratio
from benchmarks.hypergrad import peers
from benchmarks.hypergrad.cases import BUDGETS_MB, LOOP, PLAIN, RUN, Case, cases
from benchmarks.hypergrad.problems import MODELS

__all__ = ["promise"]

_NEUMANN = "Neumann K=5"
_CNN = (
    "\nOn the CNN 1.77 × is out of reach: a product with the Hessian of a layer that passes its input gradient on takes six products "
    "where a plain step takes three, 2 × in all; on the MLP half of the work is in the first layer, which passes none on, so it is 1.67 ×. "
    "The least that five exact terms can cost there is (9 + 2 + 4 · 1.98) / 10 = 1.89 ×."
)
_MORE_WORK = 1.02  # a peer does more work if it takes this many times the FLOPs


def promise(
    report: Report,
    model: str,
    found: Mapping[str, Any],
    turns: Mapping[str, list[Mapping[str, float]]],
    correct: set[tuple[str, str]],
    *,
    quick: bool,
) -> None:
    """Add the bounds of one model. Of a quick run only those hold that sizes and a short look do not change."""
    name = {"mlp": "MLP", "cnn": "CNN", "small": "784-50-10"}[model.removesuffix("-quick")]

    def at_most(text: str, got: float, most: float, *, always: bool = False) -> None:
        if always or not quick:
            report.bound(f"{name}: {text}", got, got <= most)

    def flops(key: str, base: str = PLAIN) -> float:
        return round(found[key].gflop / found[f"{base}/plain"].gflop, 2)

    at_most(
        "one-pass i=5 over 10 steps, at most 1.77 × the FLOPs of a plain run",
        flops(f"{LOOP}/Whet", RUN),
        1.77,
        always=name != "CNN",
    )
    if name == "CNN":
        report.remark(_CNN)
    at_most(
        "one-pass i=5 over 10 steps, at most 1.9 × the time of a plain run", found[f"{LOOP}/Whet"].times.median, 1.9
    )
    if f"{_NEUMANN}/Whet" in found:
        if model == "mlp":
            _promise_mlp(at_most, flops, found, turns)
        steps = MODELS[model].long
        short, long = found["DrMAD T=20/Whet"].mb, found[f"DrMAD T={steps}/Whet"].mb
        if short and long:
            at_most(
                f"DrMAD's memory at T = {steps}, at most 1.1 × that at T = 20",
                long.median / short.median,
                1.1,
            )
    for row in dict.fromkeys(case.row for case in cases(model)):
        _beside(at_most, row, [case for case in cases(model) if case.row == row], found, turns, correct)


def _promise_mlp(at_most: Any, flops: Any, found: Mapping[str, Any], turns: Mapping[str, Any]) -> None:
    neumann, plain = found[f"{_NEUMANN}/Whet"], found[f"{PLAIN}/plain"]
    at_most(
        f"{_NEUMANN}, at most 10.3 × the FLOPs of a plain step (to one decimal)",
        round(flops(f"{_NEUMANN}/Whet"), 1),
        10.3,
    )
    if f"{_NEUMANN}/torchopt" in found:
        beside = ratio(turns, "ms", f"{_NEUMANN}/Whet", to=f"{_NEUMANN}/torchopt").median
        at_most(f"{_NEUMANN}, at most 0.75 × torchopt's time", beside, 0.75)
    if neumann.mb:
        at_most(f"{_NEUMANN}, at most 2 × the memory of a plain step", neumann.mb.median / plain.mb.median, 2.0)
    for budget in BUDGETS_MB:
        got = found[f"unrolled T=100, {budget} MB/Whet"]
        if got.mb:
            at_most(f"unrolled T=100 with a budget of {budget} MB, the peak in MB", got.mb.high, budget)
    got = found[f"unrolled T=100, {BUDGETS_MB[-1]} MB/Whet"]
    at_most(
        "unrolled T=100 within 600 MB, at most 300 × the FLOPs", flops(f"unrolled T=100, {BUDGETS_MB[-1]} MB/Whet"), 300
    )
    at_most("unrolled T=100 within 600 MB, at most 325 × the time", got.times.median, 325)


def _beside(at_most: Any, row: str, group: list[Case], found: Mapping[str, Any], turns: Mapping[str, Any], correct: set[tuple[str, str]]) -> None:  # fmt: skip
    """Add the bounds beside the fastest peer that is right, and beside each such peer that does more work."""
    rivals = [c for c in group if (c.tool, c.method) in correct and (c.tool in peers.PEERS or c.tool == "plain")]
    if not rivals or f"{row}/Whet" not in found:
        return
    whet = {c.key: ratio(turns, "ms", f"{row}/Whet", to=c.key).median for c in rivals}
    fastest = max(rivals, key=lambda c: whet[c.key])
    at_most(f"{row}, less time than {fastest.tool}, the fastest correct peer (× its time)", whet[fastest.key], 1.0)
    for c in rivals:
        if found[c.key].gflop > _MORE_WORK * found[f"{row}/Whet"].gflop:
            at_most(f"{row}, at most 0.8 × the time of {c.tool}, which does more work", whet[c.key], 0.8)
