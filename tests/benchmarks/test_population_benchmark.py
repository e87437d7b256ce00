"""The benchmark of population-based training runs, and shows what it says."""

import pytest
from benchmarks.search.population import TASKS, run


def distances(method, name="toy", seeds=6):
    make, population, stretches = TASKS[name]
    task = make()
    return [run(task, method, population, stretches, seed) for seed in range(seeds)]


def test_pbt_comes_nearer_than_fixed_configurations_with_as_many_steps():
    assert sum(distances("pbt")) < 0.8 * sum(distances("random"))


@pytest.mark.slow
def test_pb2_comes_nearer_than_pbt_with_a_population_of_four():
    by_pb2, by_pbt = distances("pb2"), distances("pbt")
    assert sum(a < b for a, b in zip(by_pb2, by_pbt, strict=True)) >= 5


def test_the_network_learns():
    make, _, _ = TASKS["digits"]
    assert run(make(), "pbt", 4, 6, seed=0) < 10.0  # per cent of errors
