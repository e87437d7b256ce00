"""Tokens, for stores that others reach through a server."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SECONDS = sa.Float(53)


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("projects", sa.Text, nullable=False),
        sa.Column("created", SECONDS, nullable=False),
        sa.Column("expires", SECONDS),
        sa.Column("revoked", SECONDS),
        sa.Column("used", SECONDS),
    )


def downgrade() -> None:
    op.drop_table("tokens")
