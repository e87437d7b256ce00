"""The question that a trial was handed out for: whoever lost the answer finds it again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("asked", sa.Text))


def downgrade() -> None:
    op.drop_column("runs", "asked")
