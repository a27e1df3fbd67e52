"""Quotas of tenants."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    quotas = sa.JSON().with_variant(JSONB(), "postgresql")
    op.add_column("tenants", sa.Column("quotas", quotas, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("tenants", "quotas")
