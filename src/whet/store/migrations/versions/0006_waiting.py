"""Whether a trial waits is seen at a glance: an index over those that do."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_WAITING = sa.text("phase IN ('pending', 'paused')")


def upgrade() -> None:
    op.create_index("runs_waiting", "runs", ["sweep"], sqlite_where=_WAITING, postgresql_where=_WAITING)


def downgrade() -> None:
    op.drop_index("runs_waiting", "runs")
