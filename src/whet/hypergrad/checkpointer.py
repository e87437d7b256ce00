"""Which steps of a run keep their state and their graph, so that it can be walked back within a memory budget.

Going back through a training step needs its graph (the *tape*: activations, without the weights) and the state before it. What is not
kept is run again. A plan has three numbers: the run is cut into segments, whose starting states are kept binomially; the segment that
is walked back has the tapes of all of its steps, and within it states are kept binomially again, because a state is found anew more
cheaply with a tape than without: its loss is there, only the gradient is run. One segment is a run of which all tapes are kept;
segments of one step are Griewank and Walther's *revolve*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import final

import torch

from whet.errors import HypergradError
from whet.hypergrad.counts import is_count

__all__ = ["Action", "Checkpointer", "Move", "Plan", "Sizes", "advances", "free_bytes", "revolve"]

MB = 10**6

_REGRAD = 0.65  # the cost of a loss's gradient where the loss is there, as a part of a whole step's
_UPDATE = 0.1  # the same for an update whose gradient is there


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The bytes that a plan is made with.

    Args:
        state: Weights, optimizer state and buffers.
        tape: The graph of one step, without the weights; None: graphs can't be kept.
        grads: One gradient, if going back through an update reads it; else 0.
        working: What is needed whatever the plan is.
    """

    state: int
    tape: int | None
    grads: int = 0
    working: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a run of `steps` steps is walked back.

    Args:
        steps: T >= 1.
        segment: Steps of a segment, all of which have a tape while it is walked back; the first segment may be shorter.
        states: Starting states of segments that are kept at once, the run's own start included.
        inner: States that are kept at once within a segment, its start included.
        with_grads: Whether a tape includes the gradient.
        in_memory: How many kept states there is memory for, the run's start not counted; the others are on disk.
    """

    steps: int
    segment: int
    states: int
    inner: int
    with_grads: bool = False
    in_memory: int

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return -(-self.steps // self.segment)

    @property
    def kept(self) -> int:
        """How many states are kept at once at most, the run's start not counted."""
        return _kept(self.steps, self.segment, self.states, self.inner)

    def actions(self) -> Iterator[Action]:
        """Yield what to do, in order, from the state before the first step."""
        low = -(-self.steps // self.segment) * self.segment - self.steps  # by how much the first segment is short
        edges = [max(0, i * self.segment - low) for i in range(self.segments + 1)]
        for outer in revolve(self.segments, self.states, returns=self.segment > 1):
            if outer.move is Move.BACK:
                start, end = edges[outer.step], edges[outer.step + 1]
                for inner in revolve(end - start, self.inner):
                    yield Action(inner.move, inner.step + start, inner.to + start, taped=True)
            else:
                yield Action(outer.move, edges[outer.step], edges[outer.to])


class Move(Enum):
    """What a plan may ask for."""

    RUN = "run"  # go from the state before `step`, which is kept, to the one before `to`
    KEEP = "keep"  # keep the state that this led to
    BACK = "back"  # walk back through `step`, whose state is kept, or was just reached
    DROP = "drop"  # forget a kept state


@final
@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do.

    Args:
        move: What.
        step: The step, counted from 0.
        to: Where a run leads.
        taped: Whether a run keeps its tapes.
    """

    move: Move
    step: int
    to: int = 0
    taped: bool = False


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointer:
    """Keeps the states and graphs of a run as far as a memory budget goes, and says what is run again.

    Without `every` and `slots` the cheapest plan within the budget is taken: from all states and graphs kept, which runs nothing
    twice, over every second state and all graphs, to binomial checkpoints for the tightest.

    Args:
        budget_mb: The memory that a hypergradient may take in all, in units of 10⁶ bytes, graphs and working memory included. None: a
            quarter of what is free now.
        every: Keep every k-th state, k >= 1, and the graphs of k steps.
        slots: Keep at most this many states, >= 1, binomially, and the graph of one step.
        disk: States that the memory has no room for are written to a temporary folder: True, or the folder in which to make it. They
            cost writing and reading instead of running again.

    Example:
        >>> plan = Checkpointer(budget_mb=600).plan(100, Sizes(state=7_450_000, tape=800_000, working=150_000_000))
        >>> plan.segments, plan.inner  # the graphs of all steps, and about every second state
        (1, 50)
        >>> Checkpointer(slots=3).plan(10, Sizes(state=1, tape=1)).kept
        2

    Source: Griewank and Walther, Algorithm 799: Revolve, ACM TOMS 2000, for the binomial part.
    """

    budget_mb: float | None = None
    every: int | None = None
    slots: int | None = None
    disk: bool | str | Path = False

    def __post_init__(self) -> None:
        for name, value in (("every", self.every), ("slots", self.slots)):
            if value is not None and not is_count(value):
                raise HypergradError(
                    f"Checkpointer({name}={value}) keeps no state", f"give {name} a whole number of at least 1"
                )
        if self.every is not None and self.slots is not None:
            raise HypergradError("a Checkpointer keeps every k-th state or so many binomially", "give every or slots")
        if self.budget_mb is not None and not self.budget_mb > 0:
            raise HypergradError(f"Checkpointer(budget_mb={self.budget_mb}) is no memory", "give megabytes above 0")

    def budget(self, device: torch.device) -> float:
        """Return the budget in bytes; infinity where nothing is said and free memory can't be known."""
        return free_bytes(device) / 4 if self.budget_mb is None else self.budget_mb * MB

    def plan(self, steps: int, sizes: Sizes, budget: float | None = None) -> Plan:
        """Return the cheapest plan for a run.

        Args:
            steps: T >= 1.
            sizes: What things take.
            budget: In bytes; None: as said, or unlimited.

        Raises:
            HypergradError: the budget is too small; says how much is the least.
        """
        if budget is None:
            budget = math.inf if self.budget_mb is None else self.budget_mb * MB
        left = min(budget, 2.0**62) - sizes.working
        if self.every is not None or self.slots is not None:
            plan = self._fixed(steps, sizes, left)
        else:
            plan = self._cheapest(steps, sizes, left)
        if plan is None:
            raise _too_small(self, sizes, budget, steps)
        return plan

    def _fixed(self, steps: int, sizes: Sizes, left: float) -> Plan | None:
        segment = min(self.every or 1, steps)
        if sizes.tape is None and segment > 1:
            raise HypergradError(
                f"{self} keeps graphs, and those of this training loss can't be kept: it uses torch.func",
                "give slots or budget_mb instead of every",
            )
        segments = -(-steps // segment)
        states = min(self.slots or segments, segments)
        return self._fitted(steps, segment, states, segment, sizes, left, with_grads=False)

    def _cheapest(self, steps: int, sizes: Sizes, left: float) -> Plan | None:
        best: tuple[float, int, Plan] | None = None
        for with_grads in (False, True) if sizes.grads else (False,):
            tape = (sizes.tape or 0) + with_grads * sizes.grads
            for segment in sorted({-(-steps // n) for n in range(1, steps + 1)}) if sizes.tape is not None else (1,):
                segments = -(-steps // segment)
                room = left - (segment - 1) * tape
                if room < 0:
                    break
                kept = steps if self.disk or not sizes.state else min(steps, int(room // sizes.state))
                for inner in range(min(segment, kept + 1), 0, -1):
                    states = min(segments, kept - inner + 2)
                    if _kept(steps, segment, states, inner) > kept:
                        states -= 1
                    plan = self._fitted(steps, segment, states, inner, sizes, left, with_grads=with_grads)
                    if plan is None:
                        continue
                    key = (_cost(plan, regrad=bool(sizes.grads)), plan.kept * sizes.state + segment * tape)
                    if best is None or key < best[:2]:
                        best = (*key, plan)
                    if states == segments:  # fewer states within a segment are of no use to the others any more
                        break
        return best[2] if best else None

    def _fitted(self, steps: int, segment: int, states: int, inner: int, sizes: Sizes, left: float, *, with_grads: bool) -> Plan | None:  # fmt: skip
        if not states:
            return None
        kept = _kept(steps, segment, states, inner)
        room = left - (segment - 1) * ((sizes.tape or 0) + with_grads * sizes.grads)
        if room < 0:
            return None
        in_memory = kept if not sizes.state else int(min(kept, room // sizes.state))
        if in_memory < kept and not self.disk:
            return None
        return Plan(steps=steps, segment=segment, states=states, inner=inner, with_grads=with_grads, in_memory=in_memory)  # fmt: skip


def advances(length: int, slots: int) -> int:
    """Return the fewest steps that must be run to walk back through `length` steps with `slots` states kept, the start included.

    The last look at each step, with its graph, is not counted: r·l − C(s + r, r − 1) where r is the least with C(s + r, s) ≥ l.

    Args:
        length: l >= 1.
        slots: s >= 1.

    Example:
        >>> advances(10, 3), advances(10, 1), advances(10, 10)
        (15, 45, 9)

    Source: Griewank and Walther, ACM TOMS 2000.
    """
    times = _repetitions(length, slots)
    return times * length - math.comb(slots + times, times - 1) if times else 0


def revolve(length: int, slots: int, *, returns: bool = False) -> Iterator[Action]:
    """Yield the binomial schedule of `length` steps with `slots` kept states: the fewest runs (see `advances`).

    Args:
        length: l >= 1.
        slots: s >= 1, the start included.
        returns: Whether what a step back does comes back to the state before the step; then one slot more is used, else the last
            state needs none, as it is the one that was just reached.
    """
    kept, high = [0], length
    while high:
        low = kept[-1]
        while high - low > 1:
            free = max(slots - len(kept), 0)
            middle = low + _split(high - low, free + 1)
            yield Action(Move.RUN, low, middle)
            if free or returns:
                yield Action(Move.KEEP, middle, middle)
            kept.append(middle)
            low = middle
        yield Action(Move.BACK, low, low + 1)
        kept.pop()
        if kept and (returns or len(kept) < slots):
            yield Action(Move.DROP, low, low)
        high = low


def free_bytes(device: torch.device) -> float:
    """Return the free memory of a device; infinity where the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    found = [math.inf]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        group = Path("/sys/fs/cgroup")
        found.append(float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    except (OSError, ValueError):  # another system, or no limit ("max")
        pass
    return max(min(found), 0.0)


def _cost(plan: Plan, *, regrad: bool) -> float:
    """Return about how many steps' worth is run."""
    runs = plan.steps + plan.segment * advances(plan.segments, plan.states)
    replays = plan.segments * (advances(plan.segment, plan.inner) - (plan.segment - 1))
    if plan.with_grads:
        return runs + _UPDATE * replays
    return runs + _REGRAD * (replays + (plan.steps - plan.segments if regrad else 0))


def _kept(steps: int, segment: int, states: int, inner: int) -> int:
    """Return how many states are kept at once at most, the run's start not counted."""
    returns = segment > 1 and states < -(-steps // segment)  # to a segment's start, for which no slot is left
    return states - 1 + inner - 1 + returns


def _repetitions(length: int, slots: int) -> int:
    """Return how often a step is run at most."""
    times, reach = 0, 1
    while reach < length:
        times += 1
        reach = reach * (slots + times) // times
    return times


def _split(length: int, slots: int) -> int:
    """Return where the next state is best kept, 1 to length − 1 steps on."""
    times = _repetitions(length, slots)
    before = math.comb(slots + times - 2, slots) if times > 1 else 0
    return max(1, before, length - math.comb(slots - 1 + times, times))


def _too_small(checkpoints: Checkpointer, sizes: Sizes, budget: float, steps: int) -> HypergradError:
    least = float(sizes.working)
    if checkpoints.every is not None or checkpoints.slots is not None:
        segment = min(checkpoints.every or 1, steps)
        segments = -(-steps // segment)
        kept = _kept(steps, segment, min(checkpoints.slots or segments, segments), segment)
        least += (segment - 1) * (sizes.tape or 0) + (0 if checkpoints.disk else kept * sizes.state)
    return HypergradError(
        f"{checkpoints} has {budget / MB:.0f} MB, and a run of {steps} steps needs at least {math.ceil(least / MB)} MB",
        "give more, take smaller batches, or let it write states to disk (disk=True)" if not checkpoints.disk
        else "give more, or take smaller batches",
        least_mb=math.ceil(least / MB),
    )  # fmt: skip
