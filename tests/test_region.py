"""Where constraints can hold: bounds contain what they bound, tight constraints are drawn from evenly, contradictions are found and named."""

from __future__ import annotations

import copy
import itertools
import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import whet
from whet.bounds import ANYTHING, Among, Range, bounds_of
from whet.errors import ExpressionError, SpaceError
from whet.expression import parse
from whet.plugins import build
from whet.region import Region
from whet.space import Choice, Float, Int, Space
from whet.testing.spaces import spaces
from whet.trial import Phase, Problem, Trial

TERMS = st.recursive(
    st.sampled_from(["a", "b", "n", "k", "2", "0.5", "-1"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "**"]), inner).map(
            lambda t: f"({' '.join(t)})"
        ),
        st.tuples(st.sampled_from(["abs", "round", "int", "log", "exp", "sqrt"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} > 0 else {t[2]})"),
    ),
    max_leaves=6,
)
RULES = st.one_of(
    st.tuples(TERMS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), TERMS).map(" ".join),
    st.tuples(TERMS, TERMS, TERMS).map(lambda t: f"{t[0]} < {t[1]} <= {t[2]} or not ({t[0]} in [1, 2, {t[2]}])"),
    TERMS,
)
SPACE = Space({"a": Float(-3, 3), "b": Float(0.1, 2, log=True), "n": Int(-2, 30), "k": Choice([1, 2.5, -4])})


@settings(max_examples=600, deadline=None)
@given(rule=RULES, seed=st.integers(0, 10**6))
def test_bounds_contain_every_value(rule: str, seed: int) -> None:
    """In any box, whatever the expression is at a point of it."""
    rng = random.Random(seed)
    expression = parse(rule)
    ends = [sorted((rng.uniform(-3, 3), rng.uniform(-3, 3))), sorted((rng.uniform(0.1, 2), rng.uniform(0.1, 2)))]
    first = rng.randint(-2, 25)
    domain = {"a": Range(*ends[0]), "b": Range(*ends[1]), "n": Range(first, first + 5), "k": Among((1, 2.5, -4))}
    found = bounds_of(expression, domain)
    for _ in range(20):
        point = {"a": rng.uniform(*ends[0]), "b": rng.uniform(*ends[1]), "n": rng.randint(first, first + 5), "k": rng.choice([1, 2.5, -4])}  # fmt: skip
        try:
            value = expression(point)
        except ExpressionError:
            continue
        if isinstance(found, Range):
            assert found.low <= value <= found.high
        elif isinstance(found, Among):
            assert value in found.values


def test_bounds_are_no_wider_than_needed() -> None:
    domain = {"x": Range(-1.0, 2.0), "n": Among((1, 2)), "c": Among(("a", "b"))}
    wanted = {"x * x": Range(-2.0, 4.0), "x ** 2 >= 0": Among((True,)), "x > 2": Among((False,)), "n * 2": Among((2, 4)),
              "c in ['a', 'b']": Among((True,)), "c not in ['a', 'b']": Among((False,)), "c == 'z'": Among((False,)), "log(x)": ANYTHING, "x / x": ANYTHING}  # fmt: skip
    for rule, bounds in wanted.items():
        assert bounds_of(parse(rule), domain) == bounds


@settings(max_examples=150, deadline=None)
@given(spaces(), st.lists(RULES, min_size=1, max_size=3), st.integers(0, 10**6))
def test_a_region_leaves_out_nothing_that_is_legal(other: Space, rules: list[str], seed: int) -> None:
    for space in (other, Space(SPACE.parameters, constraints=rules)):
        rng = random.Random(seed)
        region = Region(space._order, space.constraints, 300)
        for _ in range(50):
            unit = [rng.random() for _ in space]
            try:
                legal = not space.broken(space.decode(unit))
            except ExpressionError:
                continue
            placed = dict(zip(space, unit, strict=True))
            inside = any(
                all(low <= placed[name] < high or placed[name] == high == 1 for (name, _), (low, high) in zip(region._order, box, strict=True))
                for box in region._boxes
            )  # fmt: skip
            assert inside or not legal


def test_draws_within_tight_constraints_have_the_distribution_of_plain_ones() -> None:
    tight = Space({"x": Float(0, 1), "y": Float(0, 1), "n": Int(1, 6)}, constraints=["x + y < 0.02", "n > 2 or x < y"])
    rng = random.Random(1)
    found = [tight.sample(rng) for _ in range(3000)]
    assert all(tight.contains(values) for values in found)
    # In the triangle x has the density 2 (1 − x), and x < y half of the time: n is below 3 half as often.
    assert stats.kstest([v["x"] / 0.02 for v in found if v["n"] > 2], stats.beta(1, 2).cdf).pvalue > 0.01
    shares = [sum(v["n"] == n for v in found) / len(found) for n in range(1, 7)]
    assert shares == pytest.approx([0.1, 0.1, 0.2, 0.2, 0.2, 0.2], abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "rules"),
    [
        ({"a": Float(0, 1), "b": Float(0, 1)}, ["abs(a - b) < 0.000005"]),
        ({f"x{i}": Float(0, 1) for i in range(6)}, ["x0 + x1 + x2 + x3 + x4 + x5 < 0.4"]),
        ({"a": Int(1, 1000), "b": Int(1, 1000)}, ["a * b == 997 * 991"]),
        ({"a": Choice(list(range(5000)))}, ["a % 1000 == 999", "a > 4000"]),
        ({"c": Choice(["x", "y"], weights=[1, 1e-9]), "m": Float(0, 1, when="c == 'y'")}, ["c == 'y'", "m > 0.999"]),
        ({"lr": Float(1e-9, 1, log=True), "n": Int(1, 2**40, log=True)}, ["lr * n < 1.2e-9"]),
    ],
)
def test_tight_constraints_are_kept_by_every_method(parameters: dict, rules: list[str]) -> None:
    space = Space(parameters, constraints=rules)
    space.check()
    for method in ("random", "tpe", "gp", "auto", "de", "evolution"):
        searcher = build("searcher", method, Problem(space=space), knobs_given={}, seed=0)
        for number in range(14):
            params = searcher.ask(1)[0].params
            assert space.contains(params)
            value = float(sum(v for v in params.values() if isinstance(v, (int, float))))
            searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(value,))], [])


@pytest.mark.parametrize("method", ["tpe", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_model_still_leads_where_constraints_are_tight(method: str) -> None:
    """Of 15 more draws within the constraints one comes near; the models come near again and again."""
    space = Space({"a": Float(0, 1), "b": Float(0, 1)}, constraints=["abs(a - b) < 0.0001"])
    searcher = build("searcher", method, Problem(space=space), knobs_given={}, seed=0)
    found = []
    for number in range(25):
        params = searcher.ask(1)[0].params
        found.append(abs(params["a"] - 0.77))
        searcher.tell([Trial(number=number, params=params, phase=Phase.FINISHED, values=(found[-1],))], [])
    assert sum(loss < 0.04 for loss in found[10:]) >= 5


@pytest.mark.parametrize(
    ("parameters", "rules", "said"),
    [
        ({"a": Float(0, 9), "b": Float(0, 9)}, ["b < 5", "a > b", "a < 8", "b > a + 1"],
         "no configuration fulfils 'a > b' and 'b > a \\+ 1' together: drop or relax one of them"),
        ({"a": Float(0, 1)}, ["a >= 0", "a > 2"], "no configuration fulfils 'a > 2': drop or relax it"),
        ({"a": Int(1, 100), "b": Int(1, 100)}, ["a * b == 101", "a < 50"], r"fulfils 'a \* b == 101'"),
        ({"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)}, ["c < 0.9", "a + b > 1.5", "b + c > 1.5", "a + c < 0.9"],
         r"no configuration fulfils 'a \+ b > 1.5' and 'b \+ c > 1.5' and 'a \+ c < 0.9' together"),
        ({"o": Choice(["sgd", "adam"]), "m": Float(0, 1, when="o == 'sgd'")}, ["m > 2", "o == 'sgd'"],
         "fulfils 'm > 2' and \"o == 'sgd'\" together"),
        ({"a": Float(0, 1e6), "b": Float(0, 1e6), "c": Int(1, 5)}, ["c > 2", "a > b", "b > a + 1"],
         "none of 10,050 draws fulfils 'a > b' and 'b > a \\+ 1' together"),
        ({"a": Float(0, 1), "b": Float(0, 1)}, ["a == b"], r"two floats are equal is written abs\(a - b\) < 0.01"),
    ],
)  # fmt: skip
def test_a_contradiction_is_found_and_its_smallest_set_named(parameters: dict, rules: list[str], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        Space(parameters, constraints=rules).check()
    with pytest.raises(SpaceError, match=said):
        whet.create_study(space=Space(parameters, constraints=rules), storage="memory")
    with pytest.raises(SpaceError, match=said):
        Space(parameters, constraints=rules).sample(random.Random(1))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a > b", "b > c", "c > a", "a + b == 5", "a * c > 12", "c == 1 or b == 2", "a % 2 == 0", "c != a"]),
                min_size=1, max_size=5, unique=True))  # fmt: skip
def test_in_small_spaces_the_verdict_is_that_of_trying_everything(rules: list[str]) -> None:
    space = Space({"a": Int(1, 4), "b": Int(1, 4), "c": Choice([1, 2, 3])}, constraints=rules)

    def possible(some) -> bool:
        return any(
            all(parse(r)(dict(zip("abc", values, strict=True))) for r in some)
            for values in itertools.product(range(1, 5), range(1, 5), (1, 2, 3))
        )

    if possible(rules):
        space.check()
        return
    with pytest.raises(SpaceError, match="no configuration") as caught:
        space.check()
    named = [rule for rule in rules if repr(rule) in caught.value.problem]
    assert not possible(named)
    assert all(possible([other for other in named if other != rule]) for rule in named)


def test_what_has_been_worked_out_travels_along_and_changes_no_equality() -> None:
    space = Space({"a": Float(0, 1)}, constraints=["a < 0.0001"])
    same = Space({"a": Float(0, 1)}, constraints=["a < 0.0001"])
    space.sample(random.Random(0))
    assert space == same
    assert pickle.loads(pickle.dumps(space)) == space == copy.deepcopy(space)
    assert pickle.loads(pickle.dumps(space)).sample(random.Random(3)) == same.sample(random.Random(3))


def test_a_space_with_easy_constraints_works_nothing_out() -> None:
    space = Space({"a": Float(0, 1), "b": Float(0, 1)}, constraints=["a < b"])
    space.check()
    for seed in range(100):
        space.sample(random.Random(seed))
    assert space._region is None
