import copy
import json
import math
import pickle
import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from whet.errors import SpaceError
from whet.space import Beta, Choice, Float, Int, Normal, Space, infer
from whet.testing.spaces import parameters, spaces
from whet.trial import Phase

UNITS = st.floats(0.0, 1.0)


@settings(max_examples=300)
@given(parameters(), UNITS)
def test_what_is_decoded_is_legal_and_comes_back(parameter, u):
    value = parameter.decode(u)
    assert parameter.clean("p", value) == value
    v = parameter.encode(value)
    assert 0.0 <= v <= 1.0
    if isinstance(parameter, Float) and parameter.step is None:
        assume(1e-6 < u < 1 - 1e-6 or parameter.shape is None)  # the tail of a normal is flat
        width = min(parameter.high - parameter.low, 100.0)
        assert parameter.decode(v) == pytest.approx(value, abs=1e-9 * width, rel=1e-9)
    elif math.isfinite(getattr(parameter, "low", 0.0)) and math.isfinite(getattr(parameter, "high", 0.0)):
        assert parameter.decode(v) == value
    assert type(parameter.decode(v)) is type(value)


@settings(max_examples=100)
@given(parameters())
def test_every_legal_value_of_a_discrete_parameter_has_its_share(parameter):
    assume(
        parameter.size is not None and parameter.size <= 300 and not isinstance(getattr(parameter, "shape", None), Beta)
    )
    if isinstance(parameter, Choice):
        weights = parameter.weights or [1] * len(parameter.options)
        legal = [o for o, w in zip(parameter.options, weights, strict=True) if w]
    else:
        legal = (
            [parameter.clean("p", parameter.low + i * parameter.step) for i in range(parameter.size)]
            if parameter.step
            else [parameter.low]
        )
    units = [parameter.encode(value) for value in legal]
    assert units == sorted(units)
    assert [parameter.decode(u) for u in units] == legal
    assert len({repr(v) for v in legal}) == len(legal)


@settings(max_examples=150, deadline=None)
@given(spaces(), st.integers(0, 10**6))
def test_samples_of_a_space_are_legal_and_come_back(space, seed):
    values = space.sample(random.Random(seed))
    assert space.clean(values) == values
    assert list(values) == [name for name in space if name in values]
    assert set(values) == set(space.active(values))
    assert space.contains(json.loads(json.dumps(values)))  # what the store keeps
    units = space.encode(values)
    assert [math.isnan(u) for u in units] == [name not in values for name in space]
    again = pickle.loads(pickle.dumps(space))
    assert repr(again) == repr(space)
    assert again.sample(random.Random(seed)) == values
    if values:
        del values[min(values)]
        assert not space.contains(values)
    assert not space.contains({**values, "no such": 1})


def test_conditions_nest_and_an_inactive_parent_does_not_hold():
    space = Space(
        {
            "nesterov": Choice([True, False], when="momentum > 0.5"),
            "momentum": Float(0, 1, when="opt == 'sgd'"),
            "opt": Choice(["sgd", "adam"]),
        }
    )
    assert space.active_order == ("opt", "momentum", "nesterov")
    assert space.decode([0.0, 0.9, 0.0]) == {"nesterov": True, "momentum": 0.9, "opt": "sgd"}
    assert space.decode([0.0, 0.4, 0.0]) == {"momentum": 0.4, "opt": "sgd"}
    assert space.decode([0.0, 0.9, 0.9]) == {"opt": "adam"}
    assert space.active({"opt": "adam", "momentum": 0.9}) == ["opt"]
    with pytest.raises(SpaceError, match="momentum"):
        space.clean({"opt": "adam", "momentum": 0.9})
    with pytest.raises(SpaceError, match="nesterov is missing"):
        space.clean({"opt": "sgd", "momentum": 0.9})


def test_constraints_bind_where_their_parameters_are_active():
    space = Space({"a": Int(1, 9), "b": Int(1, 9, when="a > 4")}, constraints=["a + b <= 10"])
    assert space.contains({"a": 3})
    assert space.contains({"a": 5, "b": 5})
    with pytest.raises(SpaceError, match=r"breaks the constraint 'a \+ b <= 10'"):
        space.clean({"a": 6, "b": 5})
    rng = random.Random(0)
    assert all(space.contains(space.sample(rng)) for _ in range(200))
    with pytest.raises(SpaceError, match="no configuration fulfils 'a > 9': drop or relax it, or widen the ranges"):
        Space({"a": Int(1, 9)}, constraints=["a > 9"]).sample(rng)


@pytest.mark.parametrize(
    ("parameter", "wanted"),
    [
        (Float(1e-4, 1.0, log=True), stats.loguniform(1e-4, 1.0)),
        (Float(-2.0, 3.0), stats.uniform(-2.0, 5.0)),
        (Float(-math.inf, math.inf, shape=Normal(1.0, 2.0)), stats.norm(1.0, 2.0)),
        (Float(0.0, 3.0, shape=Normal(1.0, 2.0)), stats.truncnorm(-0.5, 1.0, 1.0, 2.0)),
        (Float(0.0, math.inf, log=True, shape=Normal(0.5, 0.7)), stats.lognorm(0.7, scale=math.exp(0.5))),
        (Float(2.0, 6.0, shape=Beta(2.0, 5.0)), stats.beta(2.0, 5.0, loc=2.0, scale=4.0)),
    ],
)
def test_samples_have_the_distribution(parameter, wanted):
    rng = np.random.default_rng(0)
    drawn = [parameter.decode(rng.random()) for _ in range(2000)]
    assert stats.kstest(drawn, wanted.cdf).pvalue > 0.01
    for value in drawn[:20]:
        assert parameter.encode(value) == pytest.approx(wanted.cdf(value), abs=1e-9)


def test_shares_of_discrete_values():
    even = [Int(1, 4).decode(u) for u in np.linspace(0.0, 0.9999, 4000)]
    assert np.bincount(even)[1:].tolist() == pytest.approx([1000] * 4, abs=2)
    weighted = [Choice(["a", "b", "c"], weights=[1, 0, 3]).decode(u) for u in np.linspace(0.0, 1.0, 4000)]
    assert [weighted.count(c) for c in "abc"] == pytest.approx([1000, 0, 3000], abs=2)
    log = [Int(1, 8, log=True).decode(u) for u in np.linspace(0.0, 0.9999, 4000)]
    assert log.count(1) / 4000 == pytest.approx(math.log(3) / math.log(17), abs=1e-3)


BAD = [
    (lambda: Float(1, 0), "Float(1, 0) has low > high: give low <= high"),
    (lambda: Float(math.nan, 1), "has a bound that is no number"),
    (lambda: Float(0, 1, log=True), "Float(0, 1, log) is log with low <= 0: give low > 0, or leave log out"),
    (lambda: Float(0, math.inf), "Float(0, inf) has an infinite bound: give finite bounds, or shape=Normal(mu, sigma)"),
    (lambda: Float(0, 1, step=0), "has step 0.0: give a finite step > 0"),
    (lambda: Float(100, 101, shape=Normal()), "has no probability within its bounds"),
    (lambda: Normal(0, 0), "Normal(mu=0, sigma=0) is no distribution"),
    (lambda: Beta(0, 1), "Beta(a=0, b=1) is no distribution"),
    (lambda: Int(0.5, 2), "has a low that is no integer: give integers, or use Float"),
    (lambda: Int(0, 2, step=0), "step=0"),
    (lambda: Choice([]), "Choice has no options: give at least one"),
    (lambda: Choice("adam"), "the options 'adam' are one string: give a list, such as ['adam']"),
    (lambda: Choice([1, 1.0]), "Choice has the option 1.0 twice"),
    (lambda: Choice([[1], (1,)]), "twice"),
    (lambda: Choice(["a", "b"], weights=[1]), "2 options and 1 weights: give one weight an option"),
    (lambda: Choice(["a", "b"], weights=[0, 0]), "give finite weights >= 0, not all 0"),
    (lambda: Space({"a": 3}), "a=3 is not a parameter: give a Float, an Int or a Choice"),
    (
        lambda: Space({"opt": Int(0, 1), "b": Int(0, 1, when="otp == 1")}),
        "the condition of b, 'otp == 1', names the unknown parameter 'otp': did you mean 'opt'?",
    ),
    (lambda: Space({"a": Int(0, 1, when="b > 0"), "b": Int(0, 1, when="a > 0")}), "the conditions run in a circle"),
    (lambda: Space({"a": Int(0, 1, when="a > 0")}), "the conditions run in a circle"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_definitions_say_what_to_do(make, message):
    with pytest.raises(SpaceError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (Float(1e-5, 1, log=True), -1, "p=-1 is outside Float(1e-05, 1, log): give a value in [1e-05, 1]"),
        (Float(0, 1), math.nan, "p=nan is not a number"),
        (Float(0, 1), math.inf, "p=inf is outside"),
        (Float(0, 1), True, "p=True is not a number"),
        (Float(0, 1), "0.5", "p='0.5' is not a number"),
        (Float(0, 1), np.zeros(2), "is not a number"),
        (
            Float(0, 1, step=0.25),
            0.3,
            "p=0.3 is off the grid of Float(0, 1, step=0.25): the nearest legal value is 0.25",
        ),
        (Int(0, 9), 3.5, "p=3.5 is not an integer"),
        (Int(0, 9), True, "p=True is not a number"),
        (Int(0, 10**10), 10**10 + 5, "is outside"),
        (Int(0, 9, step=3), 5, "p=5 is off the grid of Int(0, 9, step=3): the nearest legal value is 6"),
        (Choice(["a", "b"]), "c", "p='c' is not among 2 options: give one of 'a', 'b'"),
        (Choice([1, 2]), True, "is not among"),
        (Choice([[1]]), [True], "is not among"),
        (Choice(["a", "b"], weights=[1, 0]), "b", "is not among"),
    ],
)
def test_illegal_values_say_what_to_do(parameter, value, message):
    with pytest.raises(SpaceError) as caught:
        parameter.clean("p", value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "value", "wanted"),
    [
        (Float(0, 1), 1, 1.0),
        (Float(0, 1), np.float32(0.5), 0.5),
        (Float(0, 1), 1 + 1e-10, 1.0),
        (Float(0, 1, step=0.1), 0.30000000001, 3 * 0.1),
        (Int(0, 9), 3.0, 3),
        (Int(0, 9), np.int64(3), 3),
        (Int(0, 10**18), 10**18 - 1, 10**18 - 1),
        (Choice([1, True, None]), True, True),
        (Choice([(1, 2), "x"]), [1, 2], (1, 2)),
        (Choice([{"a": (1,)}]), {"a": [1]}, {"a": (1,)}),
        (Choice([0.5, 1]), np.float64(0.5), 0.5),
    ],
)
def test_legal_values_get_the_parameters_own_type(parameter, value, wanted):
    found = parameter.clean("p", value)
    assert found == wanted
    assert type(found) is type(wanted)


def test_huge_integers_stay_exact():
    assert Int(0, 10**18 - 1).high == 10**18 - 1
    assert Int(0, 10**18 - 1).size == 10**18
    assert Int(0, 10**18 - 1).decode(1.0) == 10**18 - 1


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("lr", 0.01, "Float(0.001, 0.1, log)"),
        ("dropout", 0.5, "Float(0, 0.9)"),
        ("drop_path", 0.95, "Float(0.5, 0.995)"),
        ("momentum", 0.9, "Float(0, 0.99)"),
        ("momentum", 0, "Float(0, 0.99)"),
        ("beta2", 0.999, "Float(0.99, 0.9999)"),
        ("alpha", 1e-4, "Float(1e-05, 0.001, log)"),
        ("weight_decay", 0.0, "Float(0, 0.01)"),
        ("weight_decay", 0, "Float(0, 0.01)"),
        ("lr", 1, "Float(0.1, 10, log)"),
        ("seed", 42, "Choice([42])"),
        ("random_state", 0, "Choice([0])"),
        ("lora_alpha", 16, "Int(4, 64, log)"),
        ("batch_size", 64, "Int(16, 256, log)"),
        ("epochs", 10, "Int(2, 40, log)"),
        ("shift", -2.0, "Float(-4, 0)"),
        ("width", 64, "Int(16, 256, log)"),
        ("layers", 2, "Int(1, 8)"),
        ("offset", 0, "Int(0, 10)"),
        ("scale", 5e-324, "Choice([5e-324])"),
        ("scale", -1e308, "Choice([-1e+308])"),
        ("flag", True, "Choice([False, True])"),
        ("name", "adam", "Choice(['adam'])"),
    ],
)
def test_sensible_ranges_around_a_value(name, value, wanted):
    parameter = infer(name, value)
    assert repr(parameter) == wanted
    assert parameter.clean(name, value) == value


@given(
    st.text() | st.sampled_from(["dropout", "momentum", "beta2", "lr", "seed"]),
    st.one_of(st.floats(0, 1), st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9), st.booleans(), st.text()),
)
def test_the_range_holds_the_value(name, value):
    assert infer(name, value).clean("p", value) == value


def test_inferred_bounds_are_without_the_noise_of_floats():
    found = infer("lr", 1e-6)
    assert (found.low, found.high) == (1e-7, 1e-5)  # 1e-6 * 10 is 9.999999999999999e-06


@pytest.mark.parametrize(
    "option", [1, "1", None, True, [1, 2], {"a": [1.0]}, math.nan, (1, (2,)), Phase.FAILED, 10**400]
)
def test_an_option_is_found_by_what_equals_it(option):
    options = [0, "x", False, [], {}, {"a": []}]
    choice = pickle.loads(pickle.dumps(Choice([*options, option])))
    assert choice.index(copy.deepcopy(option)) == len(options)
    assert choice.index([option]) == -1
    assert choice == Choice([*options, option]) or option != option
    with pytest.raises(SpaceError, match="twice"):
        Choice([option, *options, copy.deepcopy(option)])


def test_what_equals_what():
    assert Choice([1, True, "1"]).index(1.0) == 0
    assert Choice([[1, (2, 3)]]).index((1.0, [2, 3])) == 0
    assert Choice([float("nan")]).index(float("nan")) == 0
    assert Choice([0.5, 2]).clean("p", np.float32(0.5)) == 0.5


def test_options_are_found_without_looking_at_all_of_them(monkeypatch):
    class Counted(str):
        calls = 0

        def __eq__(self, other):
            Counted.calls += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    choice = Choice([Counted(i) for i in range(2000)])
    assert choice.index(Counted(1999)) == 1999
    assert Counted.calls < 4000  # pairs would be 2,000,000


HUGE = 10**400


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Int(0, HUGE), "Int has a high of more than 308 digits: give a smaller number"),
        (lambda: Float(-HUGE, 1), "Float has a low of more than 308 digits: give a smaller number"),
        (lambda: Float("a", 1), "Float has low='a', which is no number: give a number"),
        (lambda: Float(-1e308, 1e308), "Float(-1e+308, 1e+308) is too wide: no float is high - low: give bounds nearer to each other"),
        (lambda: Int(-(10**308), 10**308), "Int(-1e+308, 1e+308) is too wide: no float is high - low: give bounds nearer to each other"),
        (lambda: Int(0, 9).clean("n", HUGE), "n has 1,329 bits, too many for Int(0, 9): give a smaller number"),
        (lambda: Float(0, 9).clean("x", HUGE), "x has 1,329 bits, too many for Float(0, 9): give a smaller number"),
        (lambda: Float(0, 1, when={"a": 1}), "when={'a': 1} is no expression: give text such as \"optimizer == 'sgd'\""),
        (
            lambda: Space({"m": Float(0, 1, when="opt == sgd"), "opt": Choice(["sgd", "adam"])}),
            "the condition of m, 'opt == sgd', names the unknown parameter 'sgd': put the text in quotes: 'sgd'",
        ),
    ],
)  # fmt: skip
def test_what_no_parameter_can_hold_is_said(make, message):
    with pytest.raises(SpaceError) as caught:
        make()
    assert str(caught.value) == message
