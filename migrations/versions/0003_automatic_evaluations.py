"""Automatic evaluations, which do not count as waiting jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    automatic = sa.Column("automatic", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("jobs", automatic)


def downgrade() -> None:
    op.drop_column("jobs", "automatic")
