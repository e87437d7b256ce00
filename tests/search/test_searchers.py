"""Every searcher keeps the laws."""

from importlib.util import find_spec

import pytest

from whet.plugins import build
from whet.testing.searcher_laws import SearcherLaws


class Named(SearcherLaws):
    name: str
    knobs: dict = {}

    def make(self, problem, seed):
        return build("searcher", self.name, problem, seed=seed, knobs_given=self.knobs)


class TestRandom(Named):
    name = "random"


class TestGrid(Named):
    name = "grid"
    knobs = {"resolution": 3}


class TestSobol(Named):
    name = "sobol"


class TestTPE(Named):
    name = "tpe"
    knobs = {"num_startup": 4}


class TestMOTPE(Named):
    name = "motpe"
    knobs = {"num_startup": 4}


class TestMOTPEofTwo(TestMOTPE):
    num_metrics = 2


@pytest.mark.slow
class TestMOTPEofThree(TestMOTPE):
    num_metrics = 3


@pytest.mark.slow
class TestEHVIofTwo(Named):
    name = "ehvi"
    knobs = {"num_startup": 4}
    num_trials = 8
    num_metrics = 2


@pytest.mark.slow
class TestEHVI(TestEHVIofTwo):
    num_metrics = 1


@pytest.mark.slow
class TestEHVIofThree(TestEHVIofTwo):
    num_metrics = 3


class TestNSGA2(Named):
    name = "nsga2"
    knobs = {"population": 4}


class TestNSGA2ofTwo(TestNSGA2):
    num_metrics = 2


@pytest.mark.slow
class TestNSGA2ofThree(TestNSGA2):
    num_metrics = 3


class TestEvolution(Named):
    name = "evolution"
    knobs = {"population": 4, "sample": 2}


class TestDE(Named):
    name = "de"
    knobs = {"population": 4}


@pytest.mark.skipif(find_spec("cmaes") is None, reason="cmaes is not installed")
class TestCMAES(Named):
    name = "cmaes"
    knobs = {"population": 4}


class TestOptunaTPE(Named):
    name = "optuna"
    knobs = {"n_startup_trials": 4}
    num_trials = 14


@pytest.mark.slow
class TestOptunaNSGAII(Named):
    name = "optuna"
    knobs = {"sampler": "NSGAIISampler", "population_size": 4}
    num_trials = 14


@pytest.mark.slow
class TestOptunaQMC(Named):
    name = "optuna"
    knobs = {"sampler": "QMCSampler"}
    num_trials = 10


@pytest.mark.slow
@pytest.mark.skipif(find_spec("cmaes") is None, reason="cmaes is not installed")
class TestOptunaCMAES(Named):
    name = "optuna"
    knobs = {"sampler": "CmaEsSampler", "popsize": 4, "warn_independent_sampling": False}
    num_trials = 14


_NO_NEVERGRAD = pytest.mark.skipif(find_spec("nevergrad") is None, reason="nevergrad is not installed")


@pytest.mark.slow
@_NO_NEVERGRAD
class TestNevergrad(Named):
    name = "nevergrad"
    num_trials = 14


@pytest.mark.slow
@_NO_NEVERGRAD
class TestNevergradOverItsBudget(Named):
    name = "nevergrad"
    knobs = {"budget": 8}


@pytest.mark.slow
@_NO_NEVERGRAD
class TestNevergradDE(Named):
    name = "nevergrad"
    knobs = {"optimizer": "TwoPointsDE"}
    num_trials = 40


@pytest.mark.slow
@_NO_NEVERGRAD
class TestNevergradCMA(Named):
    name = "nevergrad"
    knobs = {"optimizer": "OldCMA"}


@pytest.mark.slow
@_NO_NEVERGRAD
class TestNevergradOfTwo(Named):
    name = "nevergrad"
    num_metrics = 2


_NO_AX = pytest.mark.skipif(find_spec("ax") is None, reason="Ax is not installed: it pulls BoTorch and GPyTorch")


@pytest.mark.slow
@_NO_AX
class TestAx(Named):
    name = "ax"
    knobs = {"num_startup": 3}
    num_trials = 5


@pytest.mark.slow
@_NO_AX
class TestAxOfTwo(TestAx):
    num_metrics = 2
