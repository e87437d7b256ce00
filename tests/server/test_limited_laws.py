"""A token that is limited to projects is no obstacle within them: the laws of a store hold for its holder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from whet.errors import NotFound, Refused
from whet.server.app import application
from whet.server.guard import Door
from whet.store import Store, open_store
from whet.store.base import NewRun, Sweep
from whet.store.http import HttpStore
from whet.store.token import Scope
from whet.testing.serving import serving
from whet.testing.store_laws import StoreLaws
from whet.trial import Goal

PROJECTS = ("p", "q", "elsewhere")  # of the laws


class _Behind:
    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path) -> Iterator[None]:
        with (
            contextlib.closing(open_store(str(tmp_path / "whet.db"))) as self.behind,
            serving(application(self.behind, Door(host="gpu1"))) as self.url,
        ):
            _, self.secret = self.behind.tokens.create(Scope.ADMIN, projects=PROJECTS)
            yield

    def make(self) -> Store:
        return HttpStore(self.url, self.secret)


@pytest.mark.slow
class TestLimited(_Behind, StoreLaws):
    def test_sweeps_are_found_by_id_name_and_beginning(self, store: Store, sweep: Sweep) -> None:
        """But nobody is told who else is there."""
        for text in (sweep.id, "s", sweep.id[:9]):
            assert store.sweeps.find(text).id == sweep.id
        with pytest.raises(NotFound, match="no sweep 'nobody' in projects 'elsewhere', 'p', 'q'"):
            store.sweeps.find("nobody")

    def test_runs_are_found_and_selected(self, store: Store, sweep: Sweep) -> None:
        """The same law up to its last words, which name runs that are like the one that is not there."""
        with pytest.raises(AssertionError, match="no run 'abc9' in projects 'elsewhere', 'p', 'q'"):
            super().test_runs_are_found_and_selected(store, sweep)

    def test_columns_are_returned_as_asked(self, table: Store) -> None:
        """The same law up to its last words, which ask for a project that is not the caller's."""
        with pytest.raises(Refused, match="this token is not for project 'nobody'"):
            super().test_columns_are_returned_as_asked(table)

    def test_any_text_is_looked_for_and_names_a_worker(self, store: Store, sweep: Sweep) -> None:
        """The same law but for its first words: its project is none of the caller's."""
        with pytest.raises(Refused, match="this token is not for project"):
            super().test_any_text_is_looked_for_and_names_a_worker(store, sweep)


class TestNames(_Behind):
    """What is called alike in several projects."""

    def test_sweeps(self) -> None:
        store = self.make()
        one, two = (store.sweeps.create(project, {}, goals=[Goal.MINIMIZE], name="twin") for project in "pq")
        self.behind.sweeps.create("foreign", {}, goals=[Goal.MINIMIZE], name="twin")
        with pytest.raises(NotFound, match="'twin' could be any of 2 sweeps"):
            store.sweeps.find("twin")
        assert store.sweeps.find("twin", "q") == two
        named_so = store.sweeps.create("elsewhere", {}, goals=[Goal.MINIMIZE], name=one.id)
        assert store.sweeps.find(one.id) == one  # an id comes before a name
        assert store.sweeps.find(one.id, "elsewhere") == named_so
        store.close()

    def test_runs(self) -> None:
        store = self.make()
        for id, project in (("aa1", "q"), ("aa2", "p"), ("ab1", "q")):
            store.runs.create(NewRun(id=id, project=project, name="twin" if id != "ab1" else "aa1", owner="me"))
        self.behind.runs.create(NewRun(id="aa3", project="foreign", name="twin", owner="me"))
        assert store.runs.find("twin").id == "aa2"  # the newest
        assert store.runs.find("aa1").id == "aa1"
        assert store.runs.find("ab").id == "ab1"
        with pytest.raises(NotFound, match="'aa' could be any of 2 runs"):
            store.runs.find("aa")
        store.close()
