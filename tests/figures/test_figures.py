"""Every figure of every kind of sweep: as data, as text, and on paper; and what it says is what the trials were."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from whet.cli.output import plain
from whet.errors import StudyError, UnknownName
from whet.figures.base import FIGURES, chart
from whet.figures.canvas import Axis, Canvas, ticks
from whet.figures.history import window
from whet.figures.sheet import Sheet
from whet.figures.style import new_figure, save, style
from whet.space import Choice, Float, Int, Space
from whet.trial import Goal, Metric, Phase, Problem, Report, Trial

SPACE = Space(
    {
        "opt": Choice(["sgd", "adam"]),
        "lr": Float(1e-5, 1.0, log=True),
        "momentum": Float(0, 0.99, when="opt == 'sgd'"),
        "width": Int(8, 256, log=True),
        "odd $name_{x}^2": Choice([None, True, (1, 2), "a" * 60]),
        "fixed": Choice([3]),
    }
)


def trial(number: int, rng: random.Random, metrics: int, objective=None) -> Trial:
    params = SPACE.sample(rng)
    loss = (math.log10(params["lr"]) + 2) ** 2 + params.get("momentum", 0.5) if objective is None else objective(params)
    reports = tuple(Report(step=s, values=(loss + 1 / (s + 1),) * metrics) for s in range(4))
    common = {"number": number, "params": params, "started": 100.0 + number, "ended": 102.5 + number}
    if number % 9 == 4:
        return Trial(**common, phase=Phase.FAILED, reason="broken", reports=reports[:1])
    if number % 5 == 3:
        return Trial(**common, phase=Phase.FINISHED, stopped=True, values=reports[1].values, reports=reports[:2])
    values = (loss, *(params["width"] * (k + 1.0) for k in range(metrics - 1)))
    return Trial(**common, phase=Phase.FINISHED, values=values, reports=reports)


def sheet(count: int, *, metrics: int = 1, goal: Goal = Goal.MINIMIZE, objective=None, **more) -> Sheet:
    rng = random.Random(0)
    named = tuple(Metric(name=f"metric {k}", goal=goal) for k in range(metrics))
    trials = [trial(n, rng, metrics, objective) for n in range(count)]
    return Sheet("a sweep", Problem(space=SPACE, metrics=named), trials, **more)


def second(value: float) -> Sheet:
    """Return a sheet of three metrics of which the second is the same everywhere."""
    usual = sheet(60, metrics=3)
    trials = [t if t.values is None else replace(t, values=(t.values[0], value, t.values[2])) for t in usual.trials]
    return Sheet("a sweep", usual.problem, trials)


SHEETS = {
    "usual": lambda: sheet(60),
    "maximize": lambda: sheet(60, goal=Goal.MAXIMIZE),
    "three metrics": lambda: sheet(60, metrics=3),
    "negative": lambda: sheet(60, objective=lambda p: -p["lr"] * 1e9),
    "diverging": lambda: sheet(60, objective=lambda p: 1e300 if p["lr"] > 0.3 else p["lr"]),
    "infinite": lambda: sheet(60, objective=lambda p: math.inf if p["lr"] > 0.3 else p["lr"]),
    "huge": lambda: sheet(60, objective=lambda p: 1e300 * (p["lr"] - 0.01)),
    "mostly huge": lambda: sheet(60, objective=lambda p: 1e300 if p["lr"] > 1e-4 else p["lr"]),
    "an infinite second": lambda: second(math.inf),
    "tiny": lambda: sheet(60, objective=lambda p: 1e-250 * p["lr"]),
    "constant": lambda: sheet(40, objective=lambda p: 2.0),
    "one": lambda: sheet(1),
    "none": lambda: sheet(0),
    "all failed": lambda: Sheet("s", Problem(space=SPACE), [trial(4, random.Random(0), 1)]),
}


@pytest.mark.parametrize(
    "kind", [kind if kind == "usual" else pytest.param(kind, marks=pytest.mark.slow) for kind in SHEETS]
)
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_of_every_sweep_is_drawn_or_says_why_not(name: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    try:
        made = chart(name, SHEETS[kind]())
    except StudyError as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.fix
        assert kind != "usual" or name in ("pareto", "hypervolume")
        assert kind != "three metrics"
        return
    json.dumps(plain(made.data()), allow_nan=False)
    for width in (60, 80, 100):
        lines = made.lines(width, colours=False)
        assert max(map(len, lines)) <= width + 24, [line for line in lines if len(line) > width]
        assert not any("\x1b" in line or line != line.rstrip() for line in lines)
    with style():
        figure = new_figure(*made.size)
        made.draw(figure)
        save(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5_000


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_file_is_the_same_every_time(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for n in range(2):
        with style():
            made = chart("history", sheet(30))
            figure = new_figure(*made.size)
            made.draw(figure)
            save(figure, tmp_path / f"{n}.{ending}")
    one, other = ((tmp_path / f"{n}.{ending}").read_bytes() for n in range(2))
    assert one == other
    assert one[:4] in (b"\x89PNG", b"<?xm", b"%PDF")


def test_the_users_own_style_is_put_back() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"axes.grid": False, "font.size": 30}):
        with style():
            assert matplotlib.rcParams["font.size"] == 9.5
        assert matplotlib.rcParams["font.size"] == 30


def test_history_has_what_the_trials_were() -> None:
    made = chart("history", sheet(20))
    data = made.data()
    assert data["failed"] == [4, 13]
    assert [s["number"] for s in data["stopped"]] == [3, 8, 18]
    best = [c["best"] for c in data["complete"]]
    assert best == sorted(best, reverse=True)
    text = "\n".join(made.lines(80, colours=False))
    assert (text.count("×"), text.count("!")) == (4, 3)  # each with its word below
    assert "\x1b[34m" in "\n".join(made.lines(80, colours=True))


def test_stopping_counts_what_was_saved() -> None:
    """Of 10 trials 4 fails, 3 and 8 are stopped after two of four steps: 2·2 of 9·4 steps saved."""
    data = chart("stopping", sheet(10)).data()
    assert (data["num_stopped"], data["steps_saved"]) == (2, pytest.approx(4 / 36))


def test_timeline_has_as_many_lanes_as_ran_at_once() -> None:
    data = chart("timeline", sheet(10)).data()  # each takes 2.5 s, one starts a second
    assert {t["lane"] for t in data["trials"]} == {0, 1, 2}
    assert data["busy"] == pytest.approx(25 / (3 * 11.5))


def test_response_and_contour_follow_what_is_asked() -> None:
    made = chart("response", sheet(80, params=("width", "lr")))
    assert [r["name"] for r in made.data()["responses"]] == ["width", "lr"]
    data = chart("contour", sheet(80, params=("lr", "momentum"))).data()
    assert (data["x"]["name"], data["y"]["name"]) == ("lr", "momentum")
    assert (len(data["mean"]), len(data["mean"][0])) == (len(data["x"]["values"]), len(data["y"]["values"]))
    with pytest.raises(StudyError, match="two parameters, not 1"):
        chart("contour", sheet(80, params=("lr",)))


def test_what_matters_comes_first() -> None:
    assert next(iter(chart("importance", sheet(200)).data()["ped_anova"])) == "lr"
    assert chart("response", sheet(200)).data()["responses"][0]["name"] == "lr"


def test_names_that_are_not_there() -> None:
    with pytest.raises(UnknownName, match="histroy"):
        chart("histroy", sheet(5))
    with pytest.raises(UnknownName, match="lrr"):
        sheet(5, params=("lrr",))
    with pytest.raises(UnknownName, match="loss"):
        sheet(5, metric="loss")


def test_the_window_leaves_out_what_lies_far_off() -> None:
    usual = [1.0 + i / 100 for i in range(100)]
    assert window([*usual, 1e6], Goal.MINIMIZE) == (1.0, 1.99, False)
    assert window([*usual, -1e6], Goal.MAXIMIZE)[:2] == (1.0, 1.99)
    assert window([*usual, -5.0], Goal.MINIMIZE)[0] == -5.0  # the best is always shown
    assert window([10.0**-i for i in range(12)], Goal.MINIMIZE)[2]


# -- the canvas -----------------------------------------------------------------------------------------------------------


def test_a_canvas_has_its_dots_where_they_belong() -> None:
    canvas = Canvas(Axis(0, 1), Axis(0, 1), width=10, height=4)
    canvas.line([0, 1], [0, 1])
    rows = [line[line.index("│") + 1 :] if "│" in line else line[line.index("┤") + 1 :] for line in canvas.lines()[:4]]
    assert [row.rstrip() for row in rows] == ["        ⡠⠊", "     ⢀⠔⠁", "  ⢀⡠⠊", "⡠⠔⠁"] or rows[0].rstrip()[-1] != " "
    assert rows[0][0] == " "
    assert rows[3][0] != " "


def test_axes_take_anything_finite() -> None:
    assert Axis(2, 2).place(2) == pytest.approx(0.5)
    assert Axis(1e-300, 1e-300, log=True).place(1e-300) == pytest.approx(0.5)
    assert Axis(-1e308, 1e308).place(0) == pytest.approx(0.5)
    assert math.isnan(Axis(1, 10, log=True).place(-1))
    assert Axis(1e-4, 1, log=True).value(0.5) == pytest.approx(1e-2)
    assert ticks(Axis(1e-4, 1, log=True), 6) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert ticks(Axis(0, 70), 5) == pytest.approx([0, 20, 40, 60])
