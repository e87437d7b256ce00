"""Ten thousand spaces that hypothesis draws: no searcher leaves one, raises, or says two things about one history.

Every space is played by each cheap searcher, and by the dearer ones in turns: `SHARE` says by how many spaces each is spread.
"""

from __future__ import annotations

import inspect
import random
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st

from whet.errors import StudyError
from whet.plugins import build, find, knobs, names
from whet.space import Space
from whet.testing.searcher_laws import play
from whet.testing.spaces import spaces
from whet.trial import Metric, Problem

CHUNKS, CHUNK = 20, 500

SKIPPED = {
    "optuna": "a bridge: what it proposes is Optuna's, and its laws are tested with four samplers",
    "nevergrad": "a bridge: what it proposes is Nevergrad's, and its laws are tested with three optimizers",
    "ax": "a bridge, and seconds a suggestion: its laws are tested",
    "bayes": "another name of auto",
}
"""Beside the hypergradients, which wrap a searcher and need a training."""

SHARE = {"random": 1, "grid": 1, "tpe": 1, "motpe": 1, "nsga2": 1, "de": 1, "evolution": 1, "cmaes": 3, "sobol": 10}
"""A searcher takes every so-manieth space; one that is not named here is taken for dear."""

DEAR = 25

KNOBS: dict[str, dict[str, Any]] = {
    "grid": {"resolution": 3},
    "nsga2": {"population": 3},
    "de": {"population": 4},
    "evolution": {"population": 3, "sample": 2},
    "cmaes": {"population": 4},
    "auto": {"num_startup": 3, "switch_at": 6},
}
"""So that models and generations are reached in a few trials; `num_startup` is 3 where there is one."""


def plays(name: str) -> bool:
    if name in SKIPPED or (name == "cmaes" and find_spec("cmaes") is None):
        return False
    return not inspect.getmodule(find("searcher", name)).__name__.startswith("whet.joint.")


@cache
def searchers() -> list[str]:
    return [name for name in names("searcher") if plays(name)]


@cache
def short(name: str) -> dict[str, Any]:
    return KNOBS.get(name, {"num_startup": 3} if "num_startup" in knobs(find("searcher", name)) else {})


@cache
def most_metrics(name: str) -> int:
    problem = Problem(space=Space({}), metrics=(Metric(name="a"), Metric(name="b")))
    try:
        build("searcher", name, problem, seed=0, knobs_given=short(name))
    except StudyError:
        return 1
    return 3


def check(name: str, space: Space, number: int) -> None:
    metrics = tuple(Metric(name=f"m{i}") for i in range(1 + number // DEAR % most_metrics(name)))
    problem = Problem(space=space, metrics=metrics)

    def made() -> Any:
        return build("searcher", name, problem, seed=number, knobs_given=short(name))

    searcher = made()
    history = play(searcher, num_trials=7, seed=number, workers=2, enqueue=0.1)
    found = searcher.ask(1)
    for trial in (*history.finished, *history.pending, *found):
        assert space.clean(trial.params) == dict(trial.params), name
    other = made()
    other.tell(history.finished, history.pending)
    assert other.ask(1) == found, name


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_searcher_leaves_a_space(chunk: int) -> None:
    @seed(chunk)
    @settings(
        max_examples=CHUNK, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=(Stage.generate,),
    )  # fmt: skip
    @given(space=spaces(), number=st.integers(0, 2**31))
    def drawn(space: Space, number: int) -> None:
        nonlocal count
        count += 1
        turn = random.Random(number).getrandbits(32)
        for place, name in enumerate(searchers()):
            if (turn + place) % SHARE.get(name, DEAR) == 0:
                check(name, space, turn)

    count = 0
    drawn()
    assert count >= CHUNK


def test_every_searcher_is_played_or_has_a_reason() -> None:
    assert {"auto", "ehvi", "evolution", "gp", "grid", "motpe", "nsga2", "random", "sobol", "tpe", "de"} <= set(
        searchers()
    )
    assert most_metrics("ehvi") == most_metrics("motpe") == most_metrics("nsga2") == most_metrics("auto") == 3
    assert most_metrics("tpe") == 1
    assert CHUNKS * CHUNK == 10_000
