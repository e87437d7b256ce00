"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")
SECONDS = sa.Float(53)


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("created", SECONDS, nullable=False),
    )
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, sa.ForeignKey("projects.name"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("goals", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("cap", sa.BigInteger),
        sa.Column("next_number", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("reports_revision", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("best_run", sa.Text),
        sa.Column("best_number", sa.BigInteger),
        sa.Column("best_value", SECONDS),
        sa.Column("driver", sa.Text),
        sa.Column("driver_beat", SECONDS),
        sa.Column("created", SECONDS, nullable=False),
        sa.Column("updated", SECONDS, nullable=False),
        sa.UniqueConstraint("project", "name", name="sweeps_by_name"),
    )
    op.create_table(
        "runs",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project", sa.Text, sa.ForeignKey("projects.name"), nullable=False),
        sa.Column("sweep", sa.Text, sa.ForeignKey("sweeps.id", ondelete="CASCADE")),
        sa.Column("number", sa.BigInteger),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("values", sa.Text),
        sa.Column("stopped", sa.Boolean, nullable=False),
        sa.Column("best", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("num_lost", sa.BigInteger, nullable=False),
        sa.Column("parent", sa.Text),
        sa.Column("parent_number", sa.BigInteger),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("group", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("attrs", sa.Text, nullable=False),
        sa.Column("stats", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("created", SECONDS, nullable=False),
        sa.Column("started", SECONDS),
        sa.Column("ended", SECONDS),
        sa.Column("beat", SECONDS),
        sa.Column("revision", sa.BigInteger),
        sa.Column("seen", sa.BigInteger),
        sa.UniqueConstraint("id", name="runs_by_id"),
        sa.UniqueConstraint("sweep", "number", name="runs_by_number"),
    )
    is_live = sa.text("phase = 'running'")
    op.create_index("runs_by_project", "runs", ["project", "key"])
    op.create_index("runs_by_revision", "runs", ["sweep", "revision"])
    op.create_index("runs_live", "runs", ["sweep"], sqlite_where=is_live, postgresql_where=is_live)
    op.create_table(
        "metas",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("meta", sa.Text, nullable=False),
    )
    op.create_table(
        "reports",
        sa.Column("sweep", sa.Text, sa.ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("values", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("reports_by_revision", "reports", ["sweep", "revision"])
    op.create_table(
        "sources",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("offset", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "chunks",
        sa.Column("key", KEY, primary_key=True),
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_index("chunks_by_run", "chunks", ["run", "key"])
    op.create_table(
        "artifacts",
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for table in ("artifacts", "chunks", "sources", "reports", "metas", "runs", "sweeps", "projects"):
        op.drop_table(table)
