"""Whether hypergradients are right: every method of Whet and of the peers on the digits problem, beside a dense solve.

    python -m benchmarks.hypergrad truth [--quick] [--json FILE] [--check]

Multinomial logistic regression with one decay a weight (650 of each), in float64, at its optimum: E1 has decay 0.1 everywhere (condition
13.5), E2 has 0.001 (condition 425). The truth is computed without autograd and without Whet (`oracle.py`). Four tables:

- relative error of dF/dd against the dense solve, beside the published values, for Whet and for each peer that is installed;
- how far each is from its own approximation in closed form (the same K terms, the same run): this is what tells right from wrong;
- exact methods against central differences in random directions;
- equalities between methods that are the same in theory.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

import torch
from torch import Tensor

from benchmarks._harness import Report, arguments
from benchmarks.hypergrad import methods, peers
from benchmarks.hypergrad.oracle import Oracle, differences, solved
from benchmarks.hypergrad.problems import Task, digits_task
from whet.hypergrad.checkpointer import Checkpointer
from whet.hypergrad.drmad import DrMAD
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.unrolled import Unrolled
from whet.hypergrad.updates.sgd import SGD

__all__ = ["correct_peers", "main"]

_PUBLISHED_DIGITS = "to two digits: within one unit of the last digit given"
_ROUNDING = 1e-12  # below this an error is rounding alone

Grads = Callable[..., list[Tensor]]


@final
@dataclass(frozen=True, kw_only=True)
class Place:
    """E1 or E2, with the tasks that are asked there."""

    name: str
    decay: float

    @cached_property
    def oracle(self) -> Oracle:
        """The closed form."""
        return Oracle.at(self.decay)

    def at_optimum(self) -> Task:
        """The task at w*."""
        return digits_task(self.decay, weights=self.oracle.weights, rate=1 / self.oracle.top)

    def at_zero(self, *, scalar: bool = False) -> Task:
        """The task at w = 0, where runs start."""
        return digits_task(
            self.decay, weights=torch.zeros_like(self.oracle.weights), rate=1 / self.oracle.top, scalar=scalar
        )


E1, E2 = Place(name="E1", decay=0.1), Place(name="E2", decay=1e-3)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method with its settings.

    Args:
        name: As the table shows it.
        method: The function of `methods` and of the peers' modules.
        knobs: Its arguments after the task.
        start: "optimum" or "zero".
        published: The value of the table at E1 and E2, as it is printed there.
        closed: The same approximation in closed form; None where there is none.
        scalar: Whether there is one decay for all.
        same: How near to its own closed form a method must be to be right. Conjugate gradients lose their orthogonality to rounding
            on the way, the sooner the worse the condition: two that are right differ by 3e-5 at step 20 of E2.
    """

    name: str
    method: str
    knobs: dict[str, Any]
    start: str = "optimum"
    published: tuple[str, str] | None = None
    closed: Callable[[Oracle], Tensor] | None = None
    scalar: bool = False
    same: float = 1e-9

    def run(self, place: Place, call: Grads) -> tuple[Tensor, float]:
        """Return the hypergradient, flat, and by how much the weights were moved."""
        task = place.at_optimum() if self.start == "optimum" else place.at_zero(scalar=self.scalar)
        weight = next(iter(task.model.parameters()))
        before = weight.detach().clone()
        found = call(task, **self.knobs)[0].detach().reshape(-1)
        return found, float((weight.detach() - before).norm())

    def error(self, place: Place, found: Tensor) -> float:
        """Return the relative error against the dense solve."""
        truth = place.oracle.truth.sum().reshape(1) if self.scalar else place.oracle.truth
        return _relative(found, truth)


def rows() -> Iterator[Row]:
    """Yield the rows, in the order of the published table."""
    yield Row(name="T1–T2 × 1/L", method="one_step", knobs={}, published=(".88", ".99"), closed=lambda o: o.neumann(0))
    for terms, published in ((5, (".48", ".97")), (20, (".089", ".895")), (100, ("6e-5", ".63"))):
        yield Row(name=f"Neumann K={terms}, α=1/L", method="neumann", knobs={"terms": terms}, published=published,
                  closed=lambda o, k=terms: o.neumann(k))  # fmt: skip
    for steps, published in ((5, (".011", ".67")), (20, ("6e-11", ".012")), (100, ("2e-15", "9e-14"))):
        yield Row(
            name=f"CG K={steps}",
            method="cg",
            knobs={"steps": steps},
            published=published,
            closed=lambda o, k=steps: o.cg(k),
            same=1e-3,
        )
    for terms, published in ((5, (".545", ".97")), (20, (".099", ".90"))):
        yield Row(name=f"one-pass i={terms}", method="one_pass", knobs={"terms": terms}, published=published,
                  closed=lambda o, i=terms: o.neumann(i - 1))  # fmt: skip
    for steps, published in ((5, (".87", ".99")), (20, (".30", ".94")), (100, ("4e-4", ".76"))):
        yield Row(name=f"unrolled from 0, T={steps}", method="unrolled", knobs={"steps": steps}, start="zero", published=published,
                  closed=lambda o, t=steps: o.unrolled(t))  # fmt: skip
    yield Row(name="unrolled T=100, every 10th state kept", method="unrolled", knobs={"steps": 100, "checkpoints": Checkpointer(every=10)},
              start="zero", closed=lambda o: o.unrolled(100))  # fmt: skip
    yield Row(name="unrolled T=20, momentum .9", method="unrolled", knobs={"steps": 20, "momentum": 0.9}, start="zero",
              closed=lambda o: o.unrolled(20, 0.9))  # fmt: skip
    yield Row(name="Reversible T=20, momentum .9", method="reversible", knobs={"steps": 20, "momentum": 0.9}, start="zero",
              closed=lambda o: o.unrolled(20, 0.9))  # fmt: skip
    yield Row(name="Forward T=20, one decay for all", method="forward", knobs={"steps": 20}, start="zero", scalar=True,
              closed=lambda o: o.unrolled(20).sum().reshape(1))  # fmt: skip
    for steps in (5, 20, 100):
        yield Row(name=f"DrMAD T={steps}", method="drmad", knobs={"steps": steps}, start="zero")
    yield Row(name="Nyström, rank 50", method="nystrom", knobs={"rank": 50})
    yield Row(name="Nyström, rank 650", method="nystrom", knobs={"rank": 650})
    yield Row(name="FirstOrder (F2SA)", method="first_order", knobs={})
    yield Row(name="Dense", method="dense", knobs={}, closed=lambda o: o.truth)


def _tools() -> dict[str, Any]:
    """Return the modules to ask, by the name of their column."""
    from benchmarks.hypergrad.peers import plain

    return {"Whet": methods, **{name: peers.load(name) for name in peers.PEERS}, "plain": plain}


def _call(tool: str, module: Any, row: Row) -> Grads | None:
    if module is None or (tool == "plain" and row.method != "one_pass") or (tool != "Whet" and _only_whet(row)):
        return None
    return getattr(module, row.method, None)


def _only_whet(row: Row) -> bool:
    return "checkpoints" in row.knobs


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one tool made of one row at one place: its error, how far it is from its own closed form, and whether it kept the weights."""

    error: float
    own: float | None
    moved: float
    same: float

    @property
    def right(self) -> bool:
        """Whether it is what it says it is, and leaves the weights alone."""
        return (self.own is None or self.own <= self.same) and self.moved <= 1e-12

    def verdict(self) -> str:
        """Return it in words."""
        faults = [f"off by {self.own:.2g}"] * (self.own is not None and self.own > self.same)
        faults += [f"moves the weights by {self.moved:.2g}"] * (self.moved > 1e-12)
        return "wrong: " + ", ".join(faults) if faults else "correct"


def ask(row: Row, place: Place, tool: str, call: Grads) -> Found:
    """Run one tool on one row."""
    found, moved = row.run(place, call)
    closed = None if row.closed is None else row.closed(place.oracle)
    # The weight step that belongs to the paper's loop is no fault; at the optimum it is 0 to rounding.
    return Found(
        error=row.error(place, found),
        own=None if closed is None else _relative(found, closed),
        moved=moved,
        same=row.same,
    )


def correct_peers() -> set[tuple[str, str]]:
    """Return (peer, method) for all that is right at E1: what `cost` compares with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        good, bad = set(), set()
        for row in rows():
            for tool, module in _tools().items():
                if tool != "Whet" and (call := _call(tool, module, row)) is not None:
                    (good if ask(row, E1, tool, call).right else bad).add((tool, row.method))
        return good - bad


def main() -> int:
    """Run the benchmark."""
    given = arguments(__doc__ or "", repeats=1)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="torchopt|functorch")
    report = Report(title="Hypergradients on the digits problem: relative errors in float64")
    places = (E1,) if given.quick else (E1, E2)
    _errors(report, places, quick=given.quick)
    _exact(report, places)
    _equalities(report, places[0])
    for sentence in peers.missing():
        report.remark(sentence)
    report.remark(
        "“correct” means within 1e-9 of the same approximation in closed form (CG, which rounding moves: 1e-3), with the weights left as they were. plain: the paper's loop written out in "
        f"plain PyTorch. Published values are met {_PUBLISHED_DIGITS}. hypertorch, a further peer, is not on PyPI."
    )
    return report.finish(given)


def _errors(report: Report, places: tuple[Place, ...], *, quick: bool) -> None:
    tools = _tools()
    shown = {tool: module for tool, module in tools.items() if module is not None}
    for i, place in enumerate(places):
        lines, verdicts = [], []
        for row in rows():
            if quick and row.knobs.get("steps", 0) > 20:
                continue
            cells = []
            for tool, module in shown.items():
                call = _call(tool, module, row)
                if call is None:
                    cells.append("–")
                    continue
                found = ask(row, place, tool, call)
                cells.append(f"{found.error:.3g}" + ("" if found.right else " ✗"))
                report.data[f"{place.name}/{row.name}/{tool}"] = {
                    "error": found.error,
                    "own": found.own,
                    "moved": found.moved,
                }
                if tool == "Whet":
                    _promise(report, row, place, i, found)
                else:
                    own = "–" if found.own is None else f"{found.own:.1g}"
                    verdicts.append([f"{tool}: {row.name}", own, f"{found.moved:.1g}", found.verdict()])
            lines.append([row.name, row.published[i] if row.published else "–", *cells])
        o = place.oracle
        title = f"{place.name}: decay {place.decay:g}, L = {o.top:.4f}, μ = {o.bottom:g}: relative error of dF/dd (✗: wrong, see below)"
        report.table(title, ["method", "published", *shown], lines)
        report.table(f"{place.name}: peers beside their own approximation in closed form",
                     ["peer and method", "differs by", "weights moved by", "verdict"], verdicts)  # fmt: skip


def _promise(report: Report, row: Row, place: Place, i: int, found: Found) -> None:
    if row.published:
        text = row.published[i]
        kept = _meets(found.error, text)
        report.bound(f"{place.name}, {row.name}: the published error, {text}", found.error, kept)
    if found.own is not None:
        report.bound(f"{place.name}, {row.name}: the same as in closed form", found.own, found.own <= row.same)
    if found.moved:
        report.bound(f"{place.name}, {row.name}: the weights stay as they are", found.moved, False)


def _meets(got: float, published: str) -> bool:
    mantissa, _, exponent = published.partition("e")
    digits = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - digits)
    value = float(published)
    return got <= 10 * value if value < _ROUNDING else abs(got - value) <= 1.001 * unit


def _exact(report: Report, places: tuple[Place, ...]) -> None:
    """Compare exact methods with central differences of F along random directions."""
    lines = []
    for place in places:
        o = place.oracle
        rng = torch.Generator().manual_seed(1)
        directions = [place.decay * torch.randn(o.decay.shape, generator=rng, dtype=o.decay.dtype) for _ in range(3)]

        def optimum(decay: Tensor, o: Oracle = o) -> Tensor:
            return solved(o.train, decay, o.weights)

        def end(decay: Tensor, momentum: float = 0.0, o: Oracle = o) -> Tensor:
            return o.run(20, decay, momentum)[-1]

        cases: list[tuple[str, Grads, Task, Callable[[Tensor], Tensor]]] = [
            ("Implicit(Dense())", methods.dense, place.at_optimum(), optimum),
            ("Implicit(CG), 100 steps", partial(methods.cg, steps=100), place.at_optimum(), optimum),
            ("Unrolled T=20", partial(methods.unrolled, steps=20), place.at_zero(), end),
            ("Reversible T=20", partial(methods.reversible, steps=20, momentum=0.9), place.at_zero(), partial(end, momentum=0.9)),
            ("Forward T=20, one decay for all", partial(methods.forward, steps=20), place.at_zero(scalar=True), end),
        ]  # fmt: skip
        for name, call, task, reached in cases:
            found = call(task)[0].detach()
            errors = []
            for direction in directions:
                along = torch.full_like(o.decay, place.decay) if found.dim() == 0 else direction
                got = float(found * place.decay) if found.dim() == 0 else float((found * direction).sum())
                size = 1e-5
                wanted = differences(o, [reached(o.decay + s * size * along) for s in (-1, 1)], size)
                errors.append(abs(got - wanted) / abs(wanted))
            worst = float(torch.tensor(errors).max())  # NaN if one is
            lines.append([f"{place.name}: {name}", f"{worst:.1g}"])
            report.data[f"{place.name}/central/{name}"] = worst
            report.bound(f"{place.name}, {name}: central differences to 1e-6", worst, worst <= 1e-6)
    report.table(
        "Exact methods beside central differences, the worst of three random directions",
        ["method", "relative error"],
        lines,
    )


def _equalities(report: Report, place: Place) -> None:
    """Compare methods that are the same in theory."""
    o = place.oracle
    start = place.at_optimum()
    pairs: list[tuple[str, Tensor, Tensor, float]] = []
    for terms in (5, 20):
        one_pass = methods.one_pass(start, terms)[0]
        # At w* the run stays where it is, and its derivative is the truncated one.
        pairs.append(
            (
                f"one-pass i={terms} at w* = unrolling its last {terms} steps",
                one_pass,
                methods.unrolled(start, terms)[0],
                1e-10,
            )
        )
        pairs.append(
            (
                f"Neumann K={terms - 1} with α = lr = one-pass i={terms} with u = lr·∇f",
                methods.neumann(start, terms - 1)[0],
                one_pass,
                1e-10,
            )
        )
    scalar = place.at_zero(scalar=True)
    pairs.append(("Forward = Reverse, T=20", methods.forward(scalar, 20)[0], methods.unrolled(scalar, 20)[0], 1e-10))
    zero = place.at_zero()
    pairs.append(
        (
            "Reversible = Unrolled, T=20, momentum .9",
            methods.reversible(zero, 20)[0],
            methods.unrolled(zero, 20, momentum=0.9)[0],
            1e-8,
        )
    )
    pairs.append(("DrMAD = Reverse on a straight path", *_straight(), 1e-10))
    lines = []
    for text, a, b, bound in pairs:
        off = _relative(a.detach().reshape(-1), b.detach().reshape(-1))
        lines.append([text, f"{off:.1g}", f"{bound:g}"])
        report.data[f"equal/{text}"] = off
        report.bound(f"{text}, to {bound:g}", off, off <= bound)
    assert o is place.oracle
    report.table(f"What must be equal, at {place.name}", ["", "relative difference", "bound"], lines)


def _straight() -> tuple[Tensor, Tensor]:
    """Return dF/dλ by DrMAD and by Reverse where training goes along a straight line at even pace, though curvature changes on the way.

    f = g·x + ½ c(x) y² + λ h(x) y at λ = 0 from y = 0: x moves by −ηg a step and y stays at 0, while ∂²f/∂y² = c(x) and ∂²f/∂λ∂y = h(x).
    """

    def train(w: Any, _: Any, hyper: Any) -> Tensor:
        x, y = w["x"], w["y"]
        return 0.7 * x + 0.5 * (1.5 + torch.sin(x)) * y * y + hyper["λ"] * torch.exp(-x) * y

    problem = Bilevel(train_loss=train, val_loss=lambda w, _, hyper: w["x"] ** 2 + 3 * w["y"], update=SGD(lr=0.2))
    weights = {"x": torch.tensor(1.0, dtype=torch.float64), "y": torch.tensor(0.0, dtype=torch.float64)}
    hyper = {"λ": torch.tensor(0.0, dtype=torch.float64)}
    batches = Batches(train=[None] * 8, val=None)
    drmad, reverse = (method(problem, weights, hyper, batches).grads["λ"] for method in (DrMAD(), Unrolled()))
    assert isinstance(drmad, Tensor)
    assert isinstance(reverse, Tensor)
    return drmad, reverse


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


if __name__ == "__main__":
    sys.exit(main())
