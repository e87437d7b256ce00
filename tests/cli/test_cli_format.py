from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from whet.cli import format as shown


@given(st.floats(-1e300, 1e300))
def test_a_number_keeps_four_digits_and_no_more(x: float) -> None:
    text = shown.number(x)
    back = float(text)
    assert math.isclose(back, x, rel_tol=5.1e-4, abs_tol=5e-324)
    digits = text.partition("e")[0].lstrip("-").replace(".", "").strip("0")
    assert len(digits) <= 4


def test_a_number_reads_well() -> None:
    wanted = {40: "40", 1234567: "1234567", 0.98123456: "0.9812", 12.0: "12", 1e-5: "1e-5", 3e20: "3e20", -0.5: "-0.5"}
    assert {x: shown.number(x) for x in wanted} == wanted
    assert [shown.number(x) for x in (math.nan, math.inf, -math.inf)] == ["nan", "inf", "-inf"]


def test_values_stay_on_one_line_and_can_not_steer_a_terminal() -> None:
    assert shown.value("a\nb\x1b[31mred") == "a b�[31mred"
    assert shown.value([0.1234567, True, None, {"x": 1.0}]) == "[0.1235, true, -, {x: 1}]"
    assert shown.value("") == "-"


@given(st.floats(min_value=0, max_value=1e8), st.floats(min_value=0, max_value=1e8))
def test_a_longer_duration_never_reads_as_a_shorter_one(a: float, b: float) -> None:
    unit = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}

    def seconds(text: str) -> float:
        total = 0.0
        for part in text.split():
            letters = part.lstrip("0123456789.")
            total += float(part.removesuffix(letters)) * unit[letters]
        return total

    low, high = sorted((a, b))
    assert seconds(shown.duration(low)) <= seconds(shown.duration(high))


def test_times_are_told_relative_to_now() -> None:
    now = 1_700_000_000.0
    told = [shown.ago(now - s, now) for s in (1, 59, 60, 7200, 86_400 * 3, 86_400 * 40)]
    assert told[:5] == ["just now", "59s ago", "1m ago", "2h ago", "3d ago"]
    assert told[5].startswith("2023-10-0")
    assert shown.ago(None, now) == "-"


@given(st.lists(st.floats(allow_nan=True), max_size=60), st.integers(1, 20))
def test_a_sparkline_is_as_long_as_its_points_or_as_its_width(points: list[float], width: int) -> None:
    text = shown.sparkline(points, width)
    assert len(text) == (min(len(points), width) if any(map(math.isfinite, _last_of_each(points, width))) else 0)


def test_a_sparkline_shows_the_ends_of_its_range_and_leaves_gaps() -> None:
    assert shown.sparkline([0, math.nan, 1]) == "▁ █"
    assert shown.sparkline([2.0, 2.0]) == "▄▄"
    assert shown.sparkline([1, 0], ascii_only=True) == "#_"


def _last_of_each(points: list[float], width: int) -> list[float]:
    if len(points) <= width:
        return points
    return [points[(i + 1) * len(points) // width - 1] for i in range(width)]
