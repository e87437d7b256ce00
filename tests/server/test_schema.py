"""The API keeps to its own description, whatever is sent to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

import whet
from whet.server.app import application
from whet.store import open_store
from whet.testing.serving import serving


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with something in it."""
    with contextlib.closing(open_store(str(tmp_path_factory.mktemp("schema") / "whet.db"))) as store:
        space = {"x": {"min": 0.0, "max": 1.0}, "k": ["a", "b"]}
        study = whet.create_study(space=space, method="random", storage=store, name="s", seed=0)
        study.optimize(lambda trial: trial.params["x"], n_trials=12)
        with serving(application(store)) as url:
            yield url


schema = schemathesis.openapi.from_dict(application(open_store("memory")).openapi()).exclude(
    path_regex="/events$|/turns/"
)


@pytest.mark.slow
@schema.parametrize()
@hypothesis.settings(max_examples=12, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_every_answer_is_a_described_one(case, url):
    # What fits the description may still make no sense; and of a query's text nobody can say that it is no list of texts.
    case.call_and_validate(base_url=url, excluded_checks=[positive_data_acceptance, negative_data_rejection])
