"""The laws of searchers in sweeps with limits, for every method that heeds them."""

from importlib.util import find_spec
from typing import Any

import pytest

from whet.plugins import build
from whet.search.base import Searcher
from whet.testing.searcher_laws import LIMITS, SearcherLaws
from whet.trial import Limit, Problem


class Limited(SearcherLaws):
    limits = LIMITS
    method: str
    knobs: dict[str, Any] = {}

    def make(self, problem: Problem, seed: int) -> Searcher:
        found = build("searcher", self.method, problem, knobs_given=self.knobs, seed=seed)
        assert isinstance(found, Searcher)
        return found


class TestTPE(Limited):
    method, knobs = "tpe", {"num_startup": 5}


class TestEvolution(Limited):
    method, knobs = "evolution", {"population": 5, "sample": 3}


class TestDE(Limited):
    method, knobs = "de", {"population": 5}


class TestCMAES(Limited):
    method, knobs = "cmaes", {"population": 4}


class TestPBT(Limited):
    method, knobs = "pbt", {"population": 4}


class TestPB2(Limited):
    method, knobs, num_trials = "pb2", {"population": 3}, 16


class TestNSGA2(Limited):
    method, knobs, num_metrics = "nsga2", {"population": 6}, 2


class TestMOTPE(Limited):
    method, knobs, num_metrics = "motpe", {"num_startup": 5}, 2


class TestBOHB(Limited):
    method = "bohb"


@pytest.mark.slow
class TestGPWithOneLimit(Limited):
    """A limit of the metric's own name, too, goes by its result."""

    method, knobs, num_trials = "gp", {"num_startup": 4, "num_candidates": 20}, 14
    limits = (Limit(name="latency", max=0.3),)


@pytest.mark.slow
class TestGP(Limited):
    method, knobs, num_trials = "gp", {"num_startup": 4, "num_candidates": 20}, 14


@pytest.mark.slow
class TestAuto(Limited):
    method, knobs, num_trials = "bayes", {"num_startup": 4}, 14


@pytest.mark.slow
class TestEHVI(Limited):
    method, knobs, num_metrics, num_trials = "ehvi", {"num_startup": 4, "num_candidates": 20}, 2, 12


@pytest.mark.slow
class TestOptuna(Limited):
    method, num_trials = "optuna", 14


@pytest.mark.slow
class TestOptunaOfGenerations(Limited):
    method, knobs, num_trials = "optuna", {"sampler": "NSGAIISampler", "population_size": 4}, 14


@pytest.mark.slow
@pytest.mark.skipif(find_spec("nevergrad") is None, reason="nevergrad is not installed")
class TestNevergrad(Limited):
    method, num_trials = "nevergrad", 14


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ax") is None, reason="Ax is not installed: it pulls BoTorch and GPyTorch")
class TestAx(Limited):
    method, knobs, num_trials = "ax", {"num_startup": 3}, 5


class TestRandom(Limited):
    method = "random"
