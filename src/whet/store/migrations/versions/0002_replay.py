"""What a replay needs: when trials were over, what was suggested, by which version of the sweep, and the versions before."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = {"seen_version": sa.BigInteger, "over": sa.BigInteger, "suggested": sa.Text, "settled": sa.BigInteger}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("runs", sa.Column(name, kind))
    # The last change of a trial that is over is its end, unless it was annotated later.
    op.execute(
        "UPDATE runs SET over = revision WHERE phase IN ('finished', 'failed', 'canceled') AND sweep IS NOT NULL"
    )
    op.create_table(
        "former",
        sa.Column("sweep", sa.Text, sa.ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("config", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("former")
    for name in COLUMNS:
        op.drop_column("runs", name)
