"""Results are made about normal as SciPy's exact search would, and odd ones do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import yeojohnson, yeojohnson_llf, yeojohnson_normmax

from whet.search.normal import _power, _powered, normalised


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["normal", "lognormal", "exponential", "beta", "uniform"])
def test_the_power_is_all_but_the_most_likely(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    draw = {"beta": lambda n: rng.beta(5, 1, n)}.get(kind) or (lambda n: getattr(rng, kind)(size=n))
    y = draw(60)
    y = (y - y.mean()) / y.std()
    exact = float(np.clip(yeojohnson_normmax(y), -2.2, 4.2))
    found = _powered(y, _power(y))[0]
    powers = np.linspace(exact - 0.05, exact + 0.05, 101)
    power = powers[np.argmin([np.abs(yeojohnson(y, p) - found).max() for p in powers])]
    assert np.abs(yeojohnson(y, power) - found).max() < 1e-2
    assert yeojohnson_llf(power, y) > yeojohnson_llf(exact, y) - 0.01


def test_the_logarithms_of_the_two_ends() -> None:
    y = np.linspace(-2, 2, 9)
    for power in (0.0, 2.0, 1.0, 0.3):
        assert _powered(y, np.array([power]))[0] == pytest.approx(yeojohnson(y, power))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=30))
def test_whatever_is_told_comes_out_finite_and_in_order(losses: list[float]) -> None:
    found = normalised(np.array(losses))
    assert np.isfinite(found).all()
    kept = [(a, b) for a, b in zip(losses, found, strict=True) if np.isfinite(a)]
    for (a, x), (b, y) in zip(sorted(kept), sorted(kept)[1:], strict=False):
        assert x <= y + 1e-9, (a, b)


def test_nan_and_infinity_are_the_worst_and_a_terrible_one_is_clipped() -> None:
    y = normalised(np.array([1.0, 2.0, 3.0, np.nan, np.inf, -np.inf, 1e9]))
    assert y[3] == y[4] == y[6] == y.max()
    assert y[5] == y[0] == y.min()
    assert y.max() < 5
