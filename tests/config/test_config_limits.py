"""`limits` in a sweep: what is read, what is written, what is refused, and how."""

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.config import dump, limits_from, parse, schema, to_mapping
from whet.errors import ConfigError
from whet.space import Float, Space
from whet.trial import Limit

PLAIN = {"method": "random", "metric": "loss", "parameters": {"lr": {"min": 0.1, "max": 1.0}}}

TEXT = """
method: random
metric: {name: val_loss}
parameters:
  lr: {min: 0.0001, max: 0.1, log: true}
limits:
  latency_ms: {max: 20}
  accuracy: {min: 0.9}
  size: {min: 1e-1, max: 0.5}
"""


def test_limits_have_the_words_of_parameters() -> None:
    assert parse(TEXT).problem.limits == (
        Limit(name="latency_ms", max=20.0),
        Limit(name="accuracy", min=0.9),
        Limit(name="size", min=0.1, max=0.5),
    )
    assert [str(limit) for limit in parse(TEXT).problem.limits] == [
        "latency_ms <= 20",
        "accuracy >= 0.9",
        "0.1 <= size <= 0.5",
    ]


bounds = st.floats(-1e12, 1e12)
names = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=12).filter(
    lambda n: n != "lr"
)


@st.composite
def bounded(draw: st.DrawFn) -> dict[str, float]:
    low, high = sorted((draw(bounds), draw(bounds)))
    return draw(st.sampled_from([{"min": low}, {"max": high}, {"min": low, "max": high}]))


@given(st.dictionaries(names, bounded(), max_size=4))
def test_what_is_written_can_be_read_and_means_the_same(given: dict[str, dict[str, float]]) -> None:
    config = parse({**PLAIN, "limits": given})
    assert [(k.name, k.min, k.max) for k in config.problem.limits] == [
        (n, b.get("min"), b.get("max")) for n, b in given.items()
    ]
    assert parse(to_mapping(config)) == config
    assert parse(dump(config)) == config
    jsonschema.Draft202012Validator(schema()).validate(to_mapping(config))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"size": {}}, "limits.size: it has no bound: write {max: …}, {min: …} or both"),
        ({"size": {"max": 1, "min": 2}}, "limits.size: min 2 is above max 1"),
        ({"size": {"maximum": 2}}, "limits.size.maximum: .*did you mean 'max'"),
        ({"size": 20}, "limits.size: got the number 20, wanted a mapping"),
        ({"size": {"max": "20"}}, "limits.size.max: got the text '20', wanted a number: take the quotes off"),
        ({"size": {"max": float("inf")}}, "limits.size.max: inf is not finite"),
        ({"lr": {"max": 1}}, "limits.lr: lr is a parameter, which is known beforehand: write it among the constraints"),
        ({"": {"max": 1}}, "the name is empty"),
        ([1], "limits: got a list, wanted a mapping"),
    ],
)
def test_what_is_no_limit_is_refused(limits: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse({**PLAIN, "limits": limits})


@pytest.mark.parametrize("limits", [{"size": {}}, {"size": 20}, {"size": {"maximum": 2}}, [1]])
def test_the_schema_refuses_them_too(limits: object) -> None:
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors({**PLAIN, "limits": limits}))


def test_an_empty_mapping_and_nothing_are_no_limits() -> None:
    assert parse({**PLAIN, "limits": None}).problem.limits == parse({**PLAIN, "limits": {}}).problem.limits == ()


def test_the_place_in_the_text_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:7: limits\.latency_ms\.maxi"):
        parse(TEXT.replace("{max: 20}", "{maxi: 20}"), source="f.yaml")


def test_python_takes_them_as_well() -> None:
    space = Space({"x": Float(0, 1)})
    assert limits_from({"size": {"max": 3}}, space) == (Limit(name="size", max=3.0),)
    with pytest.raises(ConfigError, match="x is a parameter"):
        limits_from({"x": {"max": 3}}, space)
    with pytest.raises(ConfigError, match="no bound"):
        Limit(name="size")
    with pytest.raises(ConfigError, match="exchange them"):
        Limit(name="size", min=2, max=1)


def test_what_limits_and_budgets_go_by_is_kept_of_a_run() -> None:
    more = {
        "limits": {"size": {"max": 1}, "loss": {"max": 2}},
        "terminate": {"cost": {"kwh": 2, "seconds": 9, "size": 4}},
    }
    assert parse({**PLAIN, **more}).measures == ("size", "kwh")
