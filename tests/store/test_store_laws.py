"""Every store keeps the laws."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whet.errors import Refused
from whet.server.app import application
from whet.store import Store, open_store
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


class TestHttp(StoreLaws, FileLaws):
    """A server over SQLite, and its client."""

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path) -> Iterator[None]:
        with (
            contextlib.closing(open_store(str(tmp_path / "whet.db"))) as behind,
            serving(application(behind)) as self.url,
        ):
            yield

    def make(self) -> Store:
        return open_store(self.url)

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
