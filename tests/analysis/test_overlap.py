"""Spaces against each other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.analysis.overlap import overlap
from whet.parameters import Choice, Float, Int, Normal, Parameter
from whet.space import Space


def share(*parameters: Parameter) -> float | None:
    (row,) = overlap([Space({"x": one}) for one in parameters])
    return row.share


def test_how_much_is_common() -> None:
    assert share(Float(0, 1), Float(0.5, 1.5)) == pytest.approx(1 / 3)
    assert share(Float(1e-4, 1e-2, log=True), Float(1e-3, 1e-1, log=True)) == pytest.approx(1 / 3)
    assert share(Float(1e-4, 1, log=True), Float(0.5, 1)) == pytest.approx(0.5 / (1 - 1e-4))  # one is linear
    assert share(Int(1, 4), Int(1, 8)) == 0.5
    assert share(Int(1, 4), Float(1, 8)) == pytest.approx(3 / 7)
    assert share(Int(1, 4), Int(6, 9)) == 0.0
    assert share(Int(3, 3), Int(3, 3)) == 1.0
    assert share(Choice(["a", "b", "c"]), Choice(["b", "a", 1]), Choice(["b"])) == 0.25
    assert share(Choice([1]), Choice([True])) == 0.0
    assert share(Choice([1, 2]), Int(1, 2)) is None
    assert share(Float(-math.inf, math.inf, shape=Normal(0, 1)), Float(0, 1)) is None


def test_what_is_not_in_all_comes_last_and_has_no_share() -> None:
    first, second = overlap([Space({"a": Float(0, 1), "b": Int(0, 3)}), Space({"b": Int(2, 9)})])
    assert (first.name, first.share, second.name, second.share) == ("b", pytest.approx(2 / 10), "a", None)
    assert second.extents[1] is None
    assert second.common is not None
    assert overlap([]) == ()


BOUNDS = st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)).map(sorted)


@given(st.lists(BOUNDS, min_size=1, max_size=4))
def test_a_share_is_one(bounds: list[list[float]]) -> None:
    parameters = [Float(low, high) for low, high in bounds]
    found = share(*parameters)
    assert found is not None
    assert 0.0 <= found <= 1.0
    assert share(*reversed(parameters)) == found
    assert share(parameters[0], parameters[0]) == 1.0
