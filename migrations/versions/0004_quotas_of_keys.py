"""Quotas of API keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    quotas = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("api_keys", sa.Column("quotas", quotas, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("api_keys", "quotas")
