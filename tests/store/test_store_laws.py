"""Every store keeps the laws."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whet.errors import Refused
from whet.server.app import application
from whet.store import Store, open_store
from whet.store.base import Runs, Sweeps, Tokens, Trials
from whet.store.files import Files, LocalFiles
from whet.store.token import Scope
from whet.testing.serving import serving
from whet.testing.store_file_laws import FileLaws
from whet.testing.store_laws import StoreLaws
from whet.testing.store_token_laws import TokenLaws


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whet's folder, for stores that have none of their own."""
    monkeypatch.setenv("WHET_DIR", str(tmp_path / ".whet"))
    monkeypatch.delenv("WHET_BLOBS", raising=False)


class TestMemory(StoreLaws, FileLaws, TokenLaws):
    def make(self) -> Store:
        return open_store("memory")


class TestSqlite(StoreLaws, FileLaws, TokenLaws):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> Store:
        return open_store(str(self.folder / "not yet there" / "whet.db"))


class Changing(Store):
    """The store that `now` is at the moment: so one server serves all tests, each its own store."""

    now: Store

    @property
    def sweeps(self) -> Sweeps:  # type: ignore[override]
        return self.now.sweeps

    @property
    def trials(self) -> Trials:  # type: ignore[override]
        return self.now.trials

    @property
    def runs(self) -> Runs:  # type: ignore[override]
        return self.now.runs

    @property
    def tokens(self) -> Tokens:  # type: ignore[override]
        return self.now.tokens

    @property
    def files(self) -> Files:  # type: ignore[override]
        return self.now.files

    @property
    def url(self) -> str:  # type: ignore[override]
        return self.now.url

    def close(self) -> None:
        self.now.close()


@pytest.fixture(scope="class")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Changing, str]]:
    changing = Changing()
    changing.now = open_store(str(tmp_path_factory.mktemp("first") / "whet.db"))
    with contextlib.closing(changing.now), serving(application(changing)) as url:
        yield changing, url


class TestHttp(StoreLaws, FileLaws):
    """A server over SQLite, and its client."""

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path, served: tuple[Changing, str]) -> Iterator[None]:
        changing, self.url = served
        self.behind = changing
        first = changing.now
        with contextlib.closing(open_store(str(tmp_path / "whet.db"))) as changing.now:
            yield
        changing.now = first

    def make(self) -> Store:
        return open_store(self.url)

    def near(self, store: Store) -> LocalFiles:
        assert isinstance(self.behind.files, LocalFiles)
        return self.behind.files

    def test_tokens_stay_at_the_server(self, store: Store) -> None:
        for call in (
            store.tokens.all,
            lambda: store.tokens.create(Scope.ADMIN),
            lambda: store.tokens.check("whet_a_b"),
        ):
            with pytest.raises(Refused, match="are kept where its store is"):
                call()


@pytest.mark.postgres
class TestPostgres(StoreLaws, FileLaws, TokenLaws):
    @pytest.fixture(autouse=True)
    def _database(self, new_database: Callable[[], str]) -> None:
        self.new_database = new_database

    def make(self) -> Store:
        return open_store(self.new_database())
