from __future__ import annotations

import functools
import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.errors import HypergradError
from whet.hypergrad.checkpointer import Checkpointer, Move, Plan, Sizes, advances, free_bytes, revolve


@functools.cache
def fewest(length: int, slots: int) -> int:
    """The recurrence that the closed form solves: keep a state after some steps, walk back from there, then from the start."""
    if length == 1:
        return 0
    if slots == 1:
        return length * (length - 1) // 2
    return min(k + fewest(length - k, slots - 1) + fewest(k, slots) for k in range(1, length))


def followed(plan: Plan) -> dict[str, int]:
    """Do what a plan says, with numbers for states, and return what was run and kept."""
    here, to_go = 0, plan.steps - 1
    kept, tapes = {0}, set[int]()
    seen = {"runs": 0, "replays": 0, "states": 0, "tapes": 0}
    for action in plan.actions():
        if action.move is Move.RUN:
            assert action.step in kept or action.step == here
            for step in range(action.step, action.to):
                seen["replays" if step in tapes else "runs"] += 1
                if action.taped:
                    tapes.add(step)
            here = action.to
        elif action.move is Move.KEEP:
            assert here == action.step
            assert action.step not in kept
            kept.add(action.step)
        elif action.move is Move.DROP:
            kept.remove(action.step)
        else:
            assert action.step == to_go
            assert action.step in kept or action.step == here
            here, to_go = action.step, to_go - 1
            seen["runs"] += action.step not in tapes
            tapes.discard(action.step)
        seen["states"], seen["tapes"] = max(seen["states"], len(kept) - 1), max(seen["tapes"], len(tapes))
    assert to_go == -1
    assert kept == {0}
    assert not tapes
    return seen


def test_binomial_schedules_run_as_few_steps_as_can_be() -> None:
    for slots in range(1, 8):
        for length in range(1, 40):
            assert advances(length, slots) == fewest(length, slots)
            runs = sum(a.to - a.step for a in revolve(length, slots) if a.move is Move.RUN)
            assert runs == fewest(length, slots)


@pytest.mark.parametrize("slots", [1, 2, 3, 7, 40])
def test_so_many_slots_are_used_and_no_more(slots: int) -> None:
    plan = Checkpointer(slots=slots).plan(30, Sizes(state=1, tape=1))
    seen = followed(plan)
    assert seen["runs"] == 30 + fewest(30, min(slots, 30))
    assert seen["states"] == plan.kept == min(slots, 30) - 1
    assert seen["tapes"] == 0


@pytest.mark.parametrize("every", [1, 2, 3, 7, 10, 40])
def test_every_kth_state_runs_each_step_twice_at_most(every: int) -> None:
    seen = followed(Checkpointer(every=every).plan(30, Sizes(state=1, tape=1)))
    last = min(every, 30)  # of which the graphs are kept at once
    assert seen["runs"] == 30 + 30 - last
    assert seen["replays"] == 0


@settings(deadline=None, max_examples=150, derandomize=True, database=None)
@given(
    steps=st.integers(1, 60), state=st.integers(1, 100), tape=st.integers(0, 100), grads=st.sampled_from([0, 7]),
    budget=st.integers(0, 4000), disk=st.booleans(),
)  # fmt: skip
def test_every_plan_walks_back_through_every_step_within_its_budget(
    steps: int, state: int, tape: int, grads: int, budget: int, disk: bool
) -> None:
    sizes = Sizes(state=state, tape=tape, grads=grads)
    plan = Checkpointer(disk=disk).plan(steps, sizes, budget)
    seen = followed(plan)
    assert seen["states"] <= plan.kept
    assert plan.in_memory <= plan.kept
    assert disk or plan.in_memory == plan.kept
    tape_and_grads = tape + grads * plan.with_grads
    assert plan.in_memory * state + seen["tapes"] * tape_and_grads <= budget


@pytest.mark.parametrize("disk", [False, True])
def test_more_memory_never_runs_more(disk: bool) -> None:
    sizes = Sizes(state=745, tape=80, working=1500)
    costs = []
    for budget in range(1500, 90_000, 1500):
        seen = followed(Checkpointer(disk=disk).plan(100, sizes, budget))
        costs.append(seen["runs"] + 0.65 * seen["replays"])
    # The last segment is walked back with the memory that the others have freed, which the estimate leaves out.
    assert all(b <= 1.05 * a for a, b in itertools.pairwise(costs))
    assert costs[-1] == 100
    assert costs[0] >= 199


def test_where_all_fits_nothing_is_run_twice() -> None:
    plan = Checkpointer().plan(100, Sizes(state=745, tape=80, grads=700), math.inf)
    assert followed(plan) == {"runs": 100, "replays": 0, "states": 99, "tapes": 99}
    assert plan.with_grads


def test_with_a_disk_states_cost_no_memory() -> None:
    plan = Checkpointer(disk=True).plan(100, Sizes(state=745, tape=8), 1000)
    seen = followed(plan)
    assert seen["runs"] == 100
    assert seen["replays"] == 0
    assert plan.in_memory < plan.kept


def test_graphs_that_cant_be_kept_are_not_planned_with() -> None:
    sizes = Sizes(state=1, tape=None)
    assert followed(Checkpointer().plan(20, sizes, 5))["tapes"] == 0
    assert followed(Checkpointer(slots=3).plan(20, sizes, 5))["tapes"] == 0
    with pytest.raises(HypergradError, match=r"torch\.func"):
        Checkpointer(every=3).plan(20, sizes, 5)


def test_too_small_a_budget_says_the_least() -> None:
    sizes = Sizes(state=10_000_000, tape=1_000_000, working=50_000_000)
    with pytest.raises(HypergradError, match="needs at least 50 MB") as caught:
        Checkpointer(budget_mb=49).plan(100, sizes)
    assert "disk=True" in caught.value.fix
    Checkpointer(budget_mb=50).plan(100, sizes)
    for fixed in (Checkpointer(every=10, budget_mb=60), Checkpointer(slots=4, budget_mb=60)):
        with pytest.raises(HypergradError, match="needs at least") as caught:
            fixed.plan(100, sizes)
        least = caught.value.facts["least_mb"]
        assert isinstance(least, int)
        followed(replace(fixed, budget_mb=least).plan(100, sizes))
        with pytest.raises(HypergradError):
            replace(fixed, budget_mb=least - 1).plan(100, sizes)


@pytest.mark.parametrize(
    "knobs", [{"every": 0}, {"slots": 0}, {"every": 2, "slots": 2}, {"budget_mb": 0}, {"budget_mb": math.nan}]
)
def test_senseless_knobs_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(HypergradError) as caught:
        Checkpointer(**knobs)  # type: ignore[arg-type]
    assert caught.value.fix


def test_the_default_is_a_part_of_what_is_free() -> None:
    free = free_bytes(torch.device("cpu"))
    assert free > 0
    budget = Checkpointer().budget(torch.device("cpu"))
    assert math.isinf(free) or 0 < budget < free
    assert Checkpointer(budget_mb=3).budget(torch.device("cpu")) == 3_000_000


def test_long_runs_are_planned_quickly_enough_to_be_planned_at_all() -> None:
    plan = Checkpointer().plan(5000, Sizes(state=7_450_000, tape=800_000), 500e6)
    assert plan.kept * 7_450_000 + (plan.segment - 1) * 800_000 <= 500e6
