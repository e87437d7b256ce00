"""What a study shows of itself: importance, figures, replays, and its HTML in a notebook."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from whet.errors import StudyError, UnknownName
from whet.space import Choice, Float, Space
from whet.study.create import create_study


@pytest.fixture
def study(store):
    made = create_study(
        name="a <b>&amp; \"c\"", storage=store, space=Space({"x<script>": Choice(["<i>", "&"]), "lr": Float(1e-4, 1, log=True)}),
        method="random", seed=1, metrics=["<loss>"], stopper="none",
    )  # fmt: skip
    made.optimize(lambda trial: trial.params["lr"] + (trial.params["x<script>"] == "&"), n_trials=40)
    return made


def parsed(html: str) -> ElementTree.Element:
    """Return the HTML as a tree: it is well-formed, so nothing that came from a name is markup."""
    return ElementTree.fromstring(html)


def test_a_notebook_shows_facts_history_and_the_best(study):
    html = study._repr_html_()
    tree = parsed(html)
    text = "".join(tree.itertext())
    assert 'a <b>&amp; "c"' in text
    assert "minimize <loss>" in text
    assert "40 (40 complete)" in text
    assert f"(trial {study.best_trial.number})" in text
    rows = tree.findall(".//tbody/tr")
    assert len(rows) == 5
    assert rows[0][0].text == str(study.best_trial.number)
    assert [h.text for h in tree.findall(".//th")] == ["trial", "<loss>", "x<script>", "lr"]
    assert len(tree.findall(".//svg//circle")) == 40
    assert len(html) < 10_000


def test_names_and_values_are_escaped_and_nothing_runs(study):
    html = study._repr_html_()
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z]+)", html))
    assert tags <= {"div", "span", "svg", "title", "g", "circle", "path", "table", "thead", "tbody", "tr", "th", "td"}
    assert not re.search(r"\son\w+=|javascript:|https?:", html)


def test_notebooks_of_studies_with_little_in_them(store):
    def html(**more):
        return "".join(parsed(more["study"]._repr_html_()).itertext())

    space = Space({"x": Float(0, 1)})
    empty = create_study(storage=store, space=space, seed=1)
    assert "no trial is complete yet" in html(study=empty)
    one = create_study(storage=store, space=space, seed=1)
    one.optimize(lambda t: 1.0, n_trials=1)
    assert "best 1 of 1" in html(study=one)
    same = create_study(storage=store, space=space, seed=1, method="random")
    same.optimize(lambda t: float("inf") if t.number == 3 else 1.0, n_trials=6)
    assert "best 5 of 6" in html(study=same)
    broken = create_study(storage=store, space=space, seed=1, method="random")
    broken.optimize(lambda t: float("nan"), n_trials=3)
    assert "3 failed" in html(study=broken)
    two = create_study(storage=store, space=space, seed=1, method="random", directions=["minimize", "maximize"])
    two.optimize(lambda t: (t.params["x"], t.params["x"]), n_trials=9)
    assert "on the Pareto front" in html(study=two)
    many = create_study(storage=store, space=Space({f"p{i}": Float(0, 1) for i in range(30)}), seed=1, method="random")
    many.optimize(lambda t: t.params["p0"], n_trials=5)
    assert "…" in html(study=many)
    assert "p29" not in html(study=many)


def test_importance(study):
    assert next(iter(study.importance())) in {"x<script>", "lr"}
    by_variance = study.importance("fanova")
    assert by_variance["x<script>"] > 0.6
    with pytest.raises(UnknownName, match="anova"):
        study.importance("anova")


def test_a_replay_from_python(study):
    found = study.replay()
    assert (found.num_suggested, found.num_reproduced) == (40, 40)


def test_a_figure_for_a_notebook(study):
    pytest.importorskip("matplotlib")
    figure = study.plot("response", params=["lr"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["lr (log)"]
    with pytest.raises(UnknownName, match="histroy"):
        study.plot("histroy")
    with pytest.raises(StudyError, match="needs several metrics"):
        study.plot("pareto")
