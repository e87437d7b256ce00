"""The PostgreSQL server of the store's tests."""

from tests.store.conftest import new_database, postgres_server

__all__ = ["new_database", "postgres_server"]
