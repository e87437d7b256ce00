"""A value goes to its place on an axis and back."""

import random

from hypothesis import given
from hypothesis import strategies as st

from whet.search.axes import Axis, axes, point, values
from whet.space import Beta, Choice, Float, Int, Space
from whet.testing.spaces import spaces


def test_even_grids_and_choices_go_by_index_and_the_rest_by_quantile():
    assert Axis(Int(1, 9)).size == 9
    assert Axis(Float(0, 1, step=0.25)).size == 5
    for parameter in (Float(0, 1), Int(1, 9, log=True), Int(1, 9, shape=Beta(2, 2)), Int(0, 5000), Choice(list(range(900)))):  # fmt: skip
        assert Axis(parameter).size is None
    axis = Axis(Choice(["a", "b", "z"], weights=[1, 0, 2]))
    assert (axis.size, axis.is_ordered, axis.decode(1), axis.encode("z"), axis.encode("b")) == (2, False, "z", 1, None)
    assert Axis(Choice([1, 2], ordered=True)).is_ordered
    assert Axis(Choice([7])).is_fixed
    assert Axis(Int(3, 3)).is_fixed
    assert Axis(Float(3, 3)).is_fixed


@given(space=spaces(), seed=st.integers(0, 99))
def test_a_configuration_comes_back_from_its_point(space: Space, seed: int) -> None:
    known = axes(space)
    params = space.sample(random.Random(seed))
    places = point(known, params, random.Random(seed))
    found = values(space, known, places)
    assert found.keys() == params.keys()
    for name, value in params.items():
        if isinstance(value, float) and isinstance(space[name], Float):
            assert abs(found[name] - value) <= 1e-6 * max(1.0, abs(value))
        else:
            assert found[name] == value
    assert all(
        0 <= place <= (1 if known[name].size is None else known[name].size - 1) for name, place in places.items()
    )
