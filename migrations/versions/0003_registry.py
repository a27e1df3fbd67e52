"""aliases, descriptions, imported models"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.add_column(sa.Column("description", sa.String(), nullable=True))
        batch_op.alter_column("job_id", existing_type=sa.String(), nullable=True)
    op.create_table(
        "aliases",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_aliases_model_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_aliases_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "name", "alias", name=op.f("pk_aliases")),
    )
    with op.batch_alter_table("aliases", schema=None) as batch_op:
        batch_op.create_index("ix_aliases_model_id", ["model_id"], unique=False)


def downgrade() -> None:
    op.drop_table("aliases")
    op.execute("DELETE FROM models WHERE job_id IS NULL")
    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.alter_column("job_id", existing_type=sa.String(), nullable=False)
        batch_op.drop_column("description")
