"""Bring a database's tables to another version, through Alembic and without its ini file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from whet.store.database import Database
from whet.store.schema import VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["downgrade", "upgrade"]

SCRIPTS = Path(__file__).parent / "migrations"


def upgrade(database: Database, to: str = "head") -> None:
    """Bring the tables up to a version."""
    from alembic import command

    with database.engine().begin() as connection:
        config = _config(connection)
        command.upgrade(config, to)


def downgrade(database: Database, to: str) -> None:
    """Bring the tables down to a version; "base" leaves none."""
    from alembic import command

    with database.engine().begin() as connection:
        config = _config(connection)
        command.downgrade(config, to)


def _config(connection: object) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config
