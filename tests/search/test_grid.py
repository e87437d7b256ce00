import itertools

import pytest
from hypothesis import given, settings

from whet.errors import ConfigError, UnknownName
from whet.search.grid import Grid
from whet.space import Choice, Float, Int, Normal, Space
from whet.testing.spaces import spaces
from whet.trial import Phase, Problem, Trial


def every(space, **knobs):
    return [dict(s.params) for s in Grid(Problem(space=space), seed=0, **knobs).ask(100_000)]


def test_the_product_in_order_the_last_parameter_fastest():
    space = Space({"a": Choice(["x", "y"]), "n": Int(1, 3), "f": Float(0, 1)})
    wanted = [dict(zip("anf", v, strict=True)) for v in itertools.product("xy", [1, 2, 3], [0.0, 0.25, 0.5, 0.75, 1.0])]
    assert every(space) == wanted


@pytest.mark.parametrize(
    ("parameter", "wanted"),
    [
        (Float(1e-4, 1e-1, log=True), [1e-4, 1e-3, 1e-2, 1e-1]),
        (Float(-1, 2), [-1.0, 0.0, 1.0, 2.0]),
        (Float(0, 1, step=0.5), [0.0, 0.5, 1.0]),
        (Float(0.5, 0.5), [0.5]),
        (Int(1, 10, step=3), [1, 4, 7, 10]),
        (Int(7, 7), [7]),
        (Choice(["a", "b", "c"], weights=[1, 0, 2]), ["a", "c"]),
        (Choice([1, True, None]), [1, True, None]),
    ],
)
def test_the_values_of_one_parameter(parameter, wanted):
    found = [params["p"] for params in every(Space({"p": parameter}), resolution=4)]
    assert found == wanted
    assert list(map(type, found)) == list(map(type, wanted))


def test_a_normal_without_bounds_takes_the_middles_of_equal_shares():
    found = [
        p["p"] for p in every(Space({"p": Float(float("-inf"), float("inf"), shape=Normal(2.0, 3.0))}), resolution=3)
    ]
    third = 3.0 * 0.9674215661017
    assert found == pytest.approx([2.0 - third, 2.0, 2.0 + third])


def test_a_mapping_thins_out_single_parameters():
    space = Space({"n": Int(1, 1000), "f": Float(0, 1)})
    assert len(every(space, resolution={"n": 4})) == 4 * 5
    with pytest.raises(UnknownName, match="did you mean 'n'"):
        every(space, resolution={"nn": 4})
    for resolution, message in ((0, "grid has resolution=0"), (2.5, "grid has resolution=2.5"),
                                ({"n": True}, "grid has resolution of n=True")):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            every(space, resolution=resolution)


@settings(max_examples=60, deadline=None)
@given(spaces(max_size=4))
def test_each_active_configuration_once_and_all_of_them(space):
    axes = {name: list({repr(p[name]): p[name] for p in every(Space({name: bare(q)}), resolution=2)}.values())
            for name, q in space.items()}  # fmt: skip
    if len(list(itertools.islice(itertools.product(*axes.values()), 3001))) > 3000:
        return
    brute = {}
    for values in itertools.product(*axes.values()):
        full = dict(zip(axes, values, strict=True))
        active: dict[str, object] = {}
        for name in space.active_order:
            if space.is_active(name, active):
                active[name] = full[name]
        if not space.broken(active):
            brute[repr({n: active[n] for n in space if n in active})] = True
    found = every(space, resolution=2)
    assert sorted(map(repr, found)) == sorted(brute)
    assert Grid(Problem(space=space), seed=0, resolution=2).count() == len(found)


def bare(parameter):
    fields = {"low": parameter.low, "high": parameter.high, "log": parameter.log, "step": parameter.step,
              "shape": parameter.shape} if not isinstance(parameter, Choice) else {}  # fmt: skip
    if isinstance(parameter, Choice):
        return Choice(parameter.options, weights=parameter.weights)
    return type(parameter)(**fields)


def test_what_was_tried_or_is_pending_is_not_repeated_and_the_end_comes_by_itself():
    space = Space({"n": Int(0, 5)})
    grid = Grid(Problem(space=space), seed=0)
    grid.tell([Trial(number=0, params={"n": 3}, phase=Phase.FAILED)], [Trial(number=1, params={"n": 0})])
    assert [s.params["n"] for s in grid.ask(9)] == [1, 2, 4, 5]
    grid.tell([Trial(number=i, params={"n": i}, phase=Phase.FINISHED, values=(0.0,)) for i in (1, 2, 4, 5, 0)], [])
    assert grid.ask(1) == []


def test_astronomic_grids_are_counted_and_begun_at_once():  # a materialised product would never end
    space = Space({f"p{i}": Int(1, 1000) for i in range(40)}, constraints=["p0 + p1 <= 3"])
    grid = Grid(Problem(space=space), seed=0)
    assert grid.count() == 3 * 1000**38
    assert len(grid.ask(10)) == 10


def test_steps_far_finer_than_the_values_stay_apart():
    low, step = 1e5, 3e-5
    space = Space({"p": Float(low, low + 9 * step, step=step)})
    grid = Grid(Problem(space=space), seed=0)
    found = [s.params for s in grid.ask(99)]
    assert len(found) == grid.count() == space.size == 10
    assert all(space.clean(params) == params for params in found)
    grid.tell([Trial(number=0, params=found[4], phase=Phase.FINISHED, values=(0.0,))], [])
    assert [s.params for s in grid.ask(99)] == found[:4] + found[5:]
