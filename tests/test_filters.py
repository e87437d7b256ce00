"""Filters over runs are parsed, never run, and say what they can't read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whet.errors import ExpressionError
from whet.filters import And, Column, Compare, Contains, Missing, Not, Tagged, Truth, column, matches, parse, scalar

NOW = 1_000_000_000.0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("state", Column("", "state")),
        ("val_loss", Column("metrics", "val_loss")),
        ("val_loss.min", Column("metrics", "val_loss", "min")),
        ("metrics.state", Column("metrics", "state")),
        ("metrics.val_loss.max_step", Column("metrics", "val_loss", "max_step")),
        ('metrics["val/loss"].count', Column("metrics", "val/loss", "count")),
        ('metrics["a.min"]', Column("metrics", "a.min")),
        ("val/loss.min", Column("metrics", "val/loss", "min")),
        ("config.optimizer.lr", Column("config", "optimizer.lr")),
        ('config["a b"].c', Column("config", "a b.c")),
        ("config.batch-size", Column("config", "batch-size")),
        ("config", Column("metrics", "config")),
        ("min", Column("metrics", "min")),
    ],
)
def test_columns(text: str, wanted: Column) -> None:
    assert column(text) == wanted


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("  ", None),
        ("0.3 > loss", Compare(Column("metrics", "loss"), "<", 0.3)),
        ("loss >= -1", Compare(Column("metrics", "loss"), ">=", -1)),
        ('created > "7d"', Compare(Column("", "created"), ">", NOW - 604800)),
        ('created >= "2001-09-09T01:46:40"', Compare(Column("", "created"), ">=", NOW)),
        ('created >= "2001-09-09T03:46:40+02:00"', Compare(Column("", "created"), ">=", NOW)),
        ('duration < "1.5h"', Compare(Column("", "duration"), "<", 5400.0)),
        ('"a" in tags and "b" in name', And((Tagged("a"), Contains(Column("", "name"), "b")))),
        ("best is not None", Not(Missing(Column("", "best")))),
        ("not stopped", Not(Truth(Column("", "stopped")))),
    ],
)
def test_filters(source: str, wanted: object) -> None:
    assert parse(source, now=NOW) == wanted


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("loss <", "is not an expression"),
        ("__import__('os').system('x')", "is not allowed"),
        ("loss + 1 < 2", r"'loss \+ 1' \(at character 1\) is not allowed"),
        ("f(x)", r"'f\(x\)'"),
        ("[loss for loss in tags]", "is not allowed"),
        ("loss.__class__ == 1 or (lambda: 0)", "is not allowed"),
        ("1 < 2", "both literals"),
        ("name == 5", 'name is text, got 5: write it in quotes: "5"'),
        ('number == "5"', "number is a number, got '5': leave the quotes away"),
        ('state == "done"', "unknown state 'done'"),
        ('created > "yesterday"', "give a date such as"),
        ('duration > "long"', "give seconds"),
        ('tags == "best"', '"best" in tags'),
        ("tags", "alone says nothing"),
        ("loss < None", "None is in no order"),
        ('"a" in number', "number is a number, not text"),
        ("3 in tags", "says nothing"),
        ('other["x"] == 1', "unknown place 'other'"),
        ('metrics["x"].mean < 1', "unknown statistic 'mean'.*known: "),
        ("loss < 1e999", "too large"),
        ("a" * 2001, "too long"),
    ],
)
def test_mistakes_are_said(source: str, match: str) -> None:
    with pytest.raises(ExpressionError, match=match):
        parse(source, now=NOW)


@given(st.text(max_size=40))
def test_any_text_is_a_filter_or_an_error(source: str) -> None:
    try:
        node = parse(source, now=NOW)
    except ExpressionError:
        return
    assert matches(node, lambda which: None, ()) in (True, False)


@given(st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(), st.lists(st.integers())))
def test_a_scalar_is_a_finite_number_a_text_or_nothing(value: object) -> None:
    seen = scalar(value)
    assert seen is None or isinstance(seen, str) or abs(seen) < float("inf")


def test_nothing_equals_nothing_and_a_number_is_no_text() -> None:
    for a, b in ((None, None), (float("nan"), float("nan")), (1, "1"), (float("inf"), float("inf"))):
        have = {"a": a, "b": b}
        for op in ("==", "<", "<=", ">", ">="):
            assert not matches(parse(f"a {op} b", now=NOW), lambda which, have=have: have[which.name], ())
        assert matches(parse("a != b", now=NOW), lambda which, have=have: have[which.name], ())
