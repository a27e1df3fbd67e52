"""Alembic environment. The connection comes from core.migration, or else from the settings."""

from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from core.database import WRITE, UtcDateTime, get_engine
from core.tables import Base


def render(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Render our column types as plain SQLAlchemy types.

    A migration must not import code of this project, which may change after it was written.
    """
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(item, sa.Enum):
        return "sa.String(16)"
    if isinstance(item, sa.JSON):
        return 'sa.JSON().with_variant(JSONB(), "postgresql")'
    return False


connection = context.config.attributes.get("connection")
if connection is None:
    connection = get_engine().execution_options(**WRITE).connect()
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite can change a table only by copying it
    render_item=render,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
