"""The JSON Schema accepts what the parser accepts, and names the same keys."""

import dataclasses
import importlib.util
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from whet.config import parse, schema, to_mapping
from whet.errors import ConfigError
from whet.launch.base import Resources


def _beside(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WANDB = _beside("test_config_wandb")
VALIDATOR = jsonschema.Draft202012Validator(schema())
FILES = [WANDB.BASIC, WANDB.QUANTISED, WANDB.NESTED, WANDB.HYPERBAND, WANDB.COMMAND, WANDB.PROBABILITIES]


def test_it_is_a_schema_and_json():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


@pytest.mark.parametrize("text", FILES)
def test_it_accepts_wandb_s_files_and_their_canonical_form(text):
    VALIDATOR.validate(yaml.safe_load(text.replace("1e-", "1.0e-")))
    VALIDATOR.validate(to_mapping(parse(text)))


@pytest.mark.parametrize("form", [form for form, _ in (*WANDB.CONTINUOUS, *WANDB.QUANTISED_FORMS)], ids=str)
def test_it_accepts_every_distribution(form):
    VALIDATOR.validate({"parameters": {"x": form}})


PLAIN = {"method": "random", "parameters": {"lr": {"min": 0.1, "max": 1}}}
CHANGES = [
    {},
    {"metod": "grid"},
    {"method": "baies"},
    {"method": {"name": "tpe", "num_startup": 20}},
    {"method": {"num_startup": 20}},
    {"metric": "loss"},
    {"metric": {"name": "loss", "goal": "minimise"}},
    {"metric": {"goal": "minimize"}},
    {"metrics": ["a", {"name": "b", "target": 0.5}]},
    {"metrics": []},
    {"run_cap": 0},
    {"run_cap": 3.0},
    {"run_cap": "3"},
    {"terminate": {"no_improvement": 20, "tolerance": 0.01}},
    {"terminate": {"wall_clock_s": 3600, "cost": {"seconds": 1e5, "gpu_h": 3}}},
    {"terminate": None},
    {"terminate": {}},
    {"terminate": 20},
    {"terminate": {"no_improvement": 0}},
    {"terminate": {"no_improvement": None}},
    {"terminate": {"tolerance": 0.01}},
    {"terminate": {"no_improvement": 20, "tolerance": 1}},
    {"terminate": {"no_improvements": 20}},
    {"terminate": {"expected_improvement": 0.001}},
    {"terminate": {"expected_improvement": 0}},
    {"terminate": {"expected_improvement": 1}},
    {"terminate": {"wall_clock_s": 0}},
    {"terminate": {"cost": {}}},
    {"terminate": {"cost": {"seconds": 0}}},
    {"terminate": {"cost": {"seconds": "3600"}}},
    {"seed": -1},
    {"resources": {"cpus": 2, "mem_gb": 0.5}},
    {"resources": {"cpu": 2}},
    {"name": None},
    {"name": 3},
    {"command": "python ${program} ${args}"},
    {"command": 3},
    {"metric": "loss", "early_terminate": {"type": "hyperband", "min_iter": 3}},
    {"metric": "loss", "early_terminate": "hyperbend"},
    {"constraints": "lr < 0.5"},
    {"parameters": {"lr": {"mim": 0.1, "max": 1}}},
    {"parameters": {"lr": {"distribution": "uniform", "min": 0.1}}},
    {"parameters": {"lr": {"distribution": "uniform", "min": 0.1, "max": 1, "mu": 3}}},
    {"parameters": {"lr": {"distribution": "log_unifrom", "min": 0.1, "max": 1}}},
    {"parameters": {"lr": {"min": "abc", "max": 1}}},
    {"parameters": {"lr": {"values": []}}},
    {"parameters": {"lr": None}},
    {"parameters": {"lr": {}}},
    {"parameters": {"lr": 0.1, "opt": ["sgd", "adam"], "n": {"around": 3}}},
    {"parameters": {"opt": {"parameters": {"lr": {"value": 1}}}}},
    {"parameters": {"opt": {"parameters": {"lr": {"valeu": 1}}}}},
    {"parameters": {"m": {"min": 0, "max": 1, "when": "m2 == 1"}, "m2": [1, 2]}},
    {"parameters": {"m": {"distribution": "normal", "sigma": 0}}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_it_accepts_exactly_what_the_parser_does(change):
    config = {**PLAIN, **change}
    try:
        parse(config)
        accepted = True
    except ConfigError:
        accepted = False
    assert VALIDATOR.is_valid(config) == accepted


keys = st.sampled_from(
    ["method", "metric", "parameters", "min", "max", "values", "name", "goal", "distribution", "when"]
)
trees = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["bayes", "loss", "a", "uniform"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)


def _parsed(config):
    """Return the config, or None where it is refused with an error that says where."""
    try:
        return parse(config)
    except ConfigError as error:
        if error.facts["source"] != "<config>" or not str(error).startswith("<config>:"):
            raise AssertionError(f"{error} does not say where") from error
        return None


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, trees, max_size=4))
def test_any_mapping_is_a_config_or_a_config_error_and_the_schema_is_no_stricter(mapping):
    if _parsed(mapping) is not None:
        VALIDATOR.validate(mapping)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("abm:{}[]&*!-? \n\t'\"#|>%@,1e.<=~\0é\U0001f600"), max_size=60))
def test_any_text_is_a_config_or_a_config_error(text):
    _parsed(text)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_a_damaged_file_is_a_config_that_comes_back_or_a_config_error(text, data):
    start = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.sampled_from([0, 0, 1, 3, 10]))
    new = data.draw(
        st.sampled_from(["", "0", "-", ": ", "[", "}", "'", "x", "\n", " ", "1e400", "null", "&a ", "*a", "<<: "])
    )
    config = _parsed(text[:start] + new + text[start + gone :])
    if config is not None:
        assert parse(to_mapping(config)) == config


def test_the_resources_are_those_of_an_executor():
    assert {field.name for field in dataclasses.fields(Resources)} == schema()["properties"]["resources"][
        "properties"
    ].keys()
