import numpy as np
from scipy.stats import kstest

from whet.search.random import Random
from whet.space import Choice, Float, Space
from whet.trial import Problem

WIDE = Space({**{f"x{i:02}": Float(0, 1) for i in range(11)}, "kind": Choice(["a", "b", "c"])})


def _drawn(seed: int, count: int) -> list[dict[str, object]]:
    return [dict(s.params) for s in Random(Problem(space=WIDE), seed=seed).ask(count)]


def test_draws_are_uniform_and_independent_of_each_other():
    drawn = _drawn(0, 4000)
    x_ND = np.array(
        [[row[f"x{i:02}"] for i in range(11)] for row in drawn]
    )  # more parameters than one digest has numbers
    for i in range(11):
        assert kstest(x_ND[:, i], "uniform").pvalue > 1e-3
    together = np.corrcoef(np.concatenate([x_ND[:-1], x_ND[1:]], axis=1).T) - np.eye(22)
    assert abs(together).max() < 0.08  # five standard errors; the neighbours are other trials' draws
    assert abs(np.mean([row["kind"] == "b" for row in drawn]) - 1 / 3) < 0.04


def test_a_seed_has_its_own_draws():
    assert _drawn(0, 3) != _drawn(1, 3)
    assert len({row["x00"] for seed in range(20) for row in _drawn(seed, 20)}) == 400
