"""The tables. What is written here and what the migrations make is the same (a test compares them).

Mappings lie in text columns as JSON (`whet.store.codec`): they are read whole, and text keeps nan and inf, which no database's JSON does.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

__all__ = [
    "HEAD",
    "VERSION_TABLE",
    "answers",
    "artifacts",
    "chunks",
    "former",
    "metadata",
    "metas",
    "projects",
    "reports",
    "runs",
    "sources",
    "sweeps",
    "tokens",
    "versions",
]

HEAD = "0006"
"""The version of these tables: the last migration's."""
VERSION_TABLE = "whet_version"

metadata = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER is SQLite's own row number
_Seconds = Float(53)


def _of_run(*, primary_key: bool = False) -> Column[str]:
    return Column("run", Text, ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, primary_key=primary_key)


projects = Table(
    "projects",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created", _Seconds, nullable=False),
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, ForeignKey("projects.name"), nullable=False),
    Column("name", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("goals", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cap", BigInteger),
    Column("next_number", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column(
        "reports_revision", BigInteger, nullable=False
    ),  # of the last report: most looks for changes need not look there
    Column("version", BigInteger, nullable=False),
    Column("best_run", Text),
    Column("best_number", BigInteger),
    Column("best_value", _Seconds),
    Column("driver", Text),
    Column("driver_beat", _Seconds),
    Column("created", _Seconds, nullable=False),
    Column("updated", _Seconds, nullable=False),
    UniqueConstraint("project", "name", name="sweeps_by_name"),
)

runs = Table(
    "runs",
    metadata,
    Column("key", _Key, primary_key=True),  # the order of creation
    Column("id", Text, nullable=False),
    Column("project", Text, ForeignKey("projects.name"), nullable=False),
    Column("sweep", Text, ForeignKey("sweeps.id", ondelete="CASCADE")),
    Column("number", BigInteger),
    Column("name", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("values", Text),
    Column("stopped", Boolean, nullable=False),
    Column("best", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("num_lost", BigInteger, nullable=False),  # of its workers
    Column("parent", Text),
    Column("parent_number", BigInteger),
    Column("owner", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("attrs", Text, nullable=False),
    Column("stats", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("created", _Seconds, nullable=False),
    Column("started", _Seconds),
    Column("ended", _Seconds),
    Column("beat", _Seconds),
    Column("revision", BigInteger),  # the sweep's, at this trial's last change
    Column("seen", BigInteger),  # the sweep's, that the suggestion was made from
    Column("seen_version", BigInteger),  # the sweep's, that the suggestion was made by
    Column("over", BigInteger),  # the sweep's revision at which this trial was over
    Column("suggested", Text),  # params before they were first replaced
    Column("settled", BigInteger),  # the sweep's revision at which they were
    Column("asked", Text),  # the key of the question that it was last handed out for
    UniqueConstraint("id", name="runs_by_id"),
    UniqueConstraint("sweep", "number", name="runs_by_number"),
    Index("runs_by_revision", "sweep", "revision"),
    Index("runs_by_project", "project", "key"),
)
_is_live = literal_column("phase") == literal_column("'running'")
_is_waiting = text("phase IN ('pending', 'paused')")
Index("runs_waiting", runs.c.sweep, sqlite_where=_is_waiting, postgresql_where=_is_waiting)
Index("runs_live", runs.c.sweep, sqlite_where=_is_live, postgresql_where=_is_live)

former = Table(  # configurations that were replaced by ones that search otherwise
    "former",
    metadata,
    Column("sweep", Text, ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
    Column("version", BigInteger, primary_key=True),  # the last one that had it
    Column("config", Text, nullable=False),
)

metas = Table(  # apart from runs: a diff may be long, and SQLite writes a changed row anew from end to end
    "metas",
    metadata,
    _of_run(primary_key=True),
    Column("meta", Text, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("sweep", Text, ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("attempt", BigInteger, nullable=False),
    Column("values", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("reports_by_revision", "sweep", "revision"),
)

sources = Table(
    "sources",
    metadata,
    _of_run(primary_key=True),
    Column("source", Text, primary_key=True),
    Column("offset", BigInteger, nullable=False),
)

chunks = Table(
    "chunks",
    metadata,
    Column("key", _Key, primary_key=True),  # the order of shipping
    _of_run(),
    Column("payload", LargeBinary, nullable=False),
    Index("chunks_by_run", "run", "key"),
)

artifacts = Table(
    "artifacts",
    metadata,
    _of_run(primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # SHA-256 of the secret, which is nowhere
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("projects", Text, nullable=False),
    Column("created", _Seconds, nullable=False),
    Column("expires", _Seconds),
    Column("revoked", _Seconds),
    Column("used", _Seconds),
)

answers = Table(  # to what was asked for with a key, until it is too old to be asked for again
    "answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("answer", Text, nullable=False),
    Column("at", _Seconds, nullable=False),
    Index("answers_by_time", "at"),
)

versions = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
"""Alembic's table, as it makes it itself."""
