"""Bring a database's tables to another version, through Alembic and without its ini file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from whet.errors import Conflict, StoreError, UnknownName
from whet.store import owner as owners
from whet.store.database import Database, Statement
from whet.store.schema import VERSION_TABLE, answers, runs, sweeps

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

__all__ = ["Moved", "bring_down", "bring_up", "downgrade", "upgrade", "versions"]

SCRIPTS = Path(__file__).parent / "migrations"
_OWNERS = Statement(select(runs.c.owner).where(runs.c.phase == "running").distinct())
_DRIVERS = Statement(select(sweeps.c.driver).where(sweeps.c.driver.is_not(None)).distinct())


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What was done to a database: from and to which version, where its back-up lies, and what was lost, in words."""

    was: str
    now: str
    backup: Path | None = None
    lost: tuple[str, ...] = ()


def versions() -> list[str]:
    """Return all versions that tables may have, oldest first."""
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions()][::-1]


def bring_up(database: Database, to: str | None = None) -> Moved:
    """Bring older tables up to version `to` (default: the newest), after a back-up.

    Raises:
        UnknownName: there is no such version.
        StoreError: the tables are newer than that, newer than this Whet, or there are none.
    """
    known = versions()
    to = _known(to or known[-1], known)
    with database.exclusive():
        was = _found(database, known)
        if was > to:
            raise StoreError(f"{database.shown} has version {was}, which is above {to}", "use `whet db downgrade`")
        if was == to:
            return Moved(was=was, now=was)
        backup = database.back_up(was)
        upgrade(database, to)
    return Moved(was=was, now=to, backup=backup)


def bring_down(database: Database, to: str, *, force: bool = False) -> Moved:
    """Bring the tables down to version `to`, after a back-up.

    What the older tables have no room for is lost: that is refused unless it is nothing, or unless `force`. It happens whole or not at all.

    Raises:
        UnknownName: there is no such version.
        Conflict: something would be lost.
        StoreError: the tables are older than that, newer than this Whet, or there are none.
    """
    known = versions()
    to = _known(to, known)
    with database.exclusive():
        was = _found(database, known)
        if was < to:
            raise StoreError(f"{database.shown} has version {was}, which is below {to}", "use `whet db upgrade`")
        if was == to:
            return Moved(was=was, now=was)
        if not force and (busy := _at_work(database)):
            raise Conflict(
                f"{database.shown} is being worked on by {', '.join(busy)}", "end that first, or add --force"
            )
        lost = _downgrade(database, to, keep=False)
        if lost and not force:
            raise Conflict(
                f"going down from version {was} to {to} loses {', '.join(lost)}",
                "to lose them all the same, add --force (SQLite keeps a back-up beside the database)",
                lost=lost,
            )
        backup = database.back_up(was)
        _downgrade(database, to)
    return Moved(was=was, now=to, backup=backup, lost=lost)


def upgrade(database: Database, to: str = "head") -> None:
    """Bring the tables up to a version."""
    from alembic import command

    with database.connected() as connection, connection.begin():
        command.upgrade(_config(connection), to)


def downgrade(database: Database, to: str) -> None:
    """Bring the tables down to a version, whatever is lost; "base" leaves none."""
    _downgrade(database, to)


def _downgrade(database: Database, to: str, *, keep: bool = True) -> tuple[str, ...]:
    """Return what is lost; unless `keep`, it was only tried."""
    from alembic import command

    tables = database.tables() - {VERSION_TABLE, answers.name}  # what is asked again a day later is asked anew: no loss
    with database.connected() as connection, connection.begin() as transaction:
        before = {} if keep else _contents(connection, tables)
        command.downgrade(_config(connection), to)
        lost = () if keep else _lost(before, _contents(connection, tables))
        if not keep:
            transaction.rollback()
    return lost


def _contents(connection: Connection, names: Collection[str]) -> Mapping[str, Mapping[str, int]]:
    """Return for each table how many rows it has (under "") and how many values each column has."""
    import sqlalchemy as sa

    inspector = sa.inspect(connection)
    found: dict[str, dict[str, int]] = {}
    for name in sorted(set(inspector.get_table_names()) & set(names)):
        columns = [column["name"] for column in inspector.get_columns(name)]
        table = sa.table(name, *map(sa.column, columns))
        counts = connection.execute(sa.select(sa.func.count(), *(sa.func.count(table.c[c]) for c in columns))).one()
        found[name] = dict(zip(("", *columns), counts, strict=True))
    return found


def _lost(before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    lost = []
    for table, counts in sorted(before.items()):
        if table not in after:
            if counts[""]:
                lost.append(f"{counts['']} row{'s' * (counts[''] != 1)} of {table}")
            continue
        for column, count in counts.items():
            gone = count - after[table].get(column, 0)
            if gone > 0:
                what = f"{table}.{column}" if column else table
                noun = "value" if column else "row"
                lost.append(f"{gone} {noun}{'s' * (gone != 1)} of {what}")
    return tuple(lost)


def _at_work(database: Database) -> list[str]:
    """Return the processes of this machine that run trials or sweeps of it, in words."""
    found = [owner for statement in (_OWNERS, _DRIVERS) for (owner,) in database.once(statement)]
    alive = sorted({tuple(owner.split("|")[:2]) for owner in found if owner and owners.alive(owner)})
    return [f"process {pid} on {host}" for host, pid in alive]


def _known(version: str, known: list[str]) -> str:
    if version not in known:
        raise UnknownName.of("version", version, known)
    return version


def _found(database: Database, known: list[str]) -> str:
    found = database.version()
    if found is None:
        raise StoreError(f"{database.shown} has no tables of Whet's", "check --store; a first use makes them")
    if found not in known:
        raise StoreError(
            f"{database.shown} has version {found}, this Whet knows {known[0]} to {known[-1]}",
            "use the newer Whet that wrote it",
        )
    return found


def _config(connection: object) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config
