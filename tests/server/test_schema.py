"""The API keeps to its own description, whatever is sent to it."""

from __future__ import annotations

import tempfile

import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

import whet
from whet.server.app import application
from whet.store import open_store

_FOLDER = tempfile.TemporaryDirectory()
_STORE = open_store(f"{_FOLDER.name}/whet.db")
_STUDY = whet.create_study(
    space={"x": {"min": 0.0, "max": 1.0}, "k": ["a", "b"]}, method="random", storage=_STORE, name="s", seed=0
)
_STUDY.optimize(lambda trial: trial.params["x"], n_trials=12)

schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", application(_STORE)).exclude(
    path_regex="/events$|/turns/"
)


@pytest.mark.slow
@schema.parametrize()
@hypothesis.settings(max_examples=40, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_every_answer_is_a_described_one(case):
    case.call_and_validate(
        excluded_checks=[positive_data_acceptance]
    )  # what fits the description may still make no sense
