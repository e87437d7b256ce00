"""What is written can be read, and means the same."""

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.config import (
    Plugin,
    SweepConfig,
    Termination,
    dump,
    flatten,
    nest,
    parameter_from,
    parameter_to_mapping,
    parse,
    space_from,
    space_to_mapping,
    to_mapping,
)
from whet.errors import ConfigError
from whet.space import Beta, Choice, Float, Int, Normal, Space
from whet.trial import Goal, Metric, Problem, Summary

texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12)
numbers = st.floats(-1e6, 1e6, allow_nan=False)
positive = st.floats(1e-6, 1e6, allow_nan=False)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts
options = scalars | st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars, max_size=2)


@st.composite
def floats(draw):
    low, high = sorted((draw(numbers), draw(numbers)))
    kind = draw(st.sampled_from(["plain", "log", "step", "normal", "open", "log_normal", "beta"]))
    mu, sigma = draw(st.floats(-3, 3)), draw(st.floats(0.1, 3))
    step = draw(st.none() | st.floats(0.01, 10))
    match kind:
        case "plain":
            return Float(low, high)
        case "log":
            return Float(abs(low) + 1e-9, abs(low) + abs(high) + 1e-9, log=True)
        case "step":
            return Float(low, high, step=(high - low) / draw(st.integers(1, 1000)) or 1.0)
        case "normal":
            return Float(mu - sigma, mu + sigma, step=step, shape=Normal(mu, sigma))
        case "open":
            ends = draw(st.sampled_from([(-math.inf, math.inf), (-math.inf, mu), (mu, math.inf)]))
            return Float(*ends, step=step, shape=Normal(mu, sigma))
        case "log_normal":
            return Float(draw(st.sampled_from([0.0, 1e-3])), draw(st.sampled_from([math.inf, 1e3])), log=True,
                         step=step, shape=Normal(mu, sigma))  # fmt: skip
    return Float(low, high + 1, shape=Beta(draw(positive), draw(positive)))


@st.composite
def ints(draw):
    low, extra, step = draw(st.integers(-1000, 1000)), draw(st.integers(0, 1000)), draw(st.integers(1, 20))
    match draw(st.sampled_from(["plain", "log", "step", "normal", "reach", "beta"])):
        case "plain":
            return Int(low, low + extra)
        case "log":
            return Int(abs(low) + 1, abs(low) + 1 + extra, log=True, step=step)
        case "step":
            return Int(low, low + extra, step=step)
        case "normal":
            return Int(low, low + extra, step=step, shape=Normal(low, 100.0))
        case "reach":
            log = draw(st.booleans())
            form = {"distribution": "q_log_normal" if log else "q_normal", "mu": low / 500, "sigma": 2, "q": step}
            return parameter_from(form)
    return Int(low, low + extra + 1, step=step, shape=Beta(2.0, 3.0))


@st.composite
def choices(draw):
    found = draw(st.lists(options, min_size=1, max_size=5, unique_by=lambda o: (isinstance(o, bool), repr(o))))
    numeric = {(isinstance(o, bool), float(o)) for o in found if isinstance(o, (bool, int, float))}
    if len(numeric) < sum(isinstance(o, (bool, int, float)) for o in found):
        found = ["only"]
    weights = draw(st.none() | st.lists(st.floats(0.1, 10), min_size=len(found), max_size=len(found)))
    return Choice(found, weights=weights, ordered=draw(st.booleans()))


parameters = floats() | ints() | choices()
parts = st.sampled_from(["lr", "optimizer", "a", "b c", "größe", "x-1", "parameters", "values"])
names = st.lists(parts, min_size=1, max_size=3).map(".".join)


@st.composite
def spaces(draw):
    found = draw(st.dictionaries(names, parameters, min_size=1, max_size=5))
    clean = {n: p for n, p in found.items() if not any(other.startswith(f"{n}.") for other in found)}
    first = next(iter(clean))
    dependent = Float(0, 1, when=f"params[{first!r}] != 3")
    return Space({**clean, "dependent": dependent}, constraints=[f"params[{first!r}] != 'never'"])


@st.composite
def configs(draw):
    space = draw(spaces())
    groups = {n.rsplit(".", k)[0] for n in space for k in range(1, n.count(".") + 1) if draw(st.booleans())}
    metrics = st.builds(
        Metric, name=texts, goal=st.sampled_from(Goal), target=st.none() | numbers, summary=st.sampled_from(Summary)
    )
    return SweepConfig(
        problem=Problem(
            space=space, metrics=tuple(draw(st.lists(metrics, min_size=1, max_size=3, unique_by=lambda m: m.name)))
        ),
        method=draw(st.sampled_from([Plugin(name="tpe", knobs={"num_startup": 20}), Plugin(name="random")])),
        stopper=draw(st.sampled_from([None, Plugin(name="median"), Plugin(name="asha", knobs={"eta": 3})])),
        name=draw(st.none() | texts),
        description=draw(texts | st.just("")),
        program=draw(st.none() | texts),
        command=draw(st.none() | st.lists(texts, min_size=1, max_size=3).map(tuple)),
        run_cap=draw(st.none() | st.integers(1, 10**6)),
        terminate=draw(
            st.none()
            | st.builds(Termination, no_improvement=st.integers(1, 99), tolerance=st.floats(0, 0.99))
            | st.builds(Termination, expected_improvement=st.floats(0, 1, exclude_min=True, exclude_max=True))
            | st.builds(Termination, wall_clock_s=positive, cost=st.dictionaries(texts, positive, max_size=2))
        ),
        seed=draw(st.none() | st.integers(-(2**63), 2**63)),
        resources=draw(st.sampled_from([{}, {"cpus": 2, "gpus": 1, "mem_gb": 1.5, "timeout_s": 60}])),
        define_by_run=draw(st.booleans()),
        extra=draw(st.sampled_from([{}, {"entity": "team", "controller": {"type": "local"}}])),
        nested=frozenset(groups),
    )


@settings(max_examples=300, deadline=None)
@given(parameters)
def test_a_parameter_comes_back(parameter):
    assert parameter_from(parameter_to_mapping(parameter)) == parameter


@settings(max_examples=150, deadline=None)
@given(configs())
def test_a_config_comes_back(config):
    back = parse(json.loads(json.dumps(to_mapping(config))))
    assert back == config
    assert list(back.problem.space) == list(config.problem.space)
    point = [0.3] * len(config.problem.space)
    assert back.problem.space.decode(point) == config.problem.space.decode(point)


@settings(max_examples=60, deadline=None)
@given(configs())
def test_a_config_comes_back_from_yaml(config):
    assert parse(dump(config)) == config


@settings(max_examples=60, deadline=None)
@given(spaces())
def test_a_space_comes_back(space):
    assert space_from(space_to_mapping(space)) == space


@given(st.dictionaries(names, st.integers(), max_size=6))
def test_nest_and_flatten_undo_each_other(values):
    try:
        tree = nest(values)
    except ConfigError:
        assert any(a.startswith(f"{b}.") for a in values for b in values)
    else:
        assert flatten(tree) == values


def test_groups_that_are_not_side_by_side_keep_the_order_of_the_space():
    space = Space({"a.x": Float(0, 1), "b": Float(0, 1), "a.y": Float(0, 1)})
    config = SweepConfig(problem=Problem(space=space), nested=frozenset({"a"}))
    assert to_mapping(config)["nested"] == ["a"]
    assert list(parse(to_mapping(config)).problem.space) == ["a.x", "b", "a.y"]


def test_a_dot_that_is_part_of_a_name_stays():
    config = parse({"method": "random", "parameters": {"a.b": [1], "c": {"parameters": {"d.e": [2]}}}})
    assert nest({"a.b": 1, "c.d.e": 2}, config.nested) == {"a.b": 1, "c": {"d.e": 2}}


def test_a_choice_that_json_can_t_hold_is_refused_when_written():
    with pytest.raises(ConfigError, match=r"values\[1\]: got a object: give text, a number"):
        parameter_to_mapping(Choice(["a", object()]))


def test_json_is_read_as_json():
    text = '{\n\t"method": "random",\n\t"parameters": {"lr": {"min": 1E-4, "max": 1.0}, "s": {"values": ["\\ud83d\\ude00\\/"]}}\n}'
    assert parse(text).problem.space["s"] == Choice(["\U0001f600/"])


def test_yaml_reads_numbers_dates_and_merges_as_people_mean_them():
    text = """
    method: random
    x-range: &range {min: 1e-4, max: 1E2}
    """
    with pytest.raises(ConfigError, match="unknown key 'x-range'"):
        parse(text)
    text = """
    method: random
    name: 2024-01-31
    parameters:
      lr: &range {min: 1e-4, max: 1E2}
      wd: {<<: *range, max: 1}
      flag: [on, off]
    """
    config = parse(text)
    assert config.name == "2024-01-31"
    assert config.problem.space["wd"] == Float(1e-4, 1)
    assert config.problem.space["flag"] == Choice([True, False])


def test_samples_lie_in_their_space():
    rng = random.Random(0)
    space = parse(
        "{method: random, parameters: {a: {distribution: q_log_normal, mu: 3, sigma: 2}, b: {min: 0, max: 9}}}"
    )
    for _ in range(200):
        assert space.problem.space.contains(space.problem.space.sample(rng))


@pytest.mark.parametrize("text", ["0E0", "1e-4", "+1_0e5", "2024-01-01", "1:30", "yes", "null", "0x1f", "1e5\n"])
def test_text_that_looks_like_a_number_stays_text(text):
    config = parse({"method": "random", "description": text, "parameters": {"a": {"values": [text, "b"]}}})
    assert parse(dump(config)) == config
