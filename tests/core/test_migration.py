"""Migrations make what the code expects, on the database at hand."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from core.database import get_engine
from core.migration import MIGRATIONS, current, head, migrate
from core.settings import Settings
from core.tables import Base


def test_a_migrated_database_has_the_tables_of_the_code(configured: Settings) -> None:
    with get_engine().connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []
        inspector = inspect(connection)
        for name, table in Base.metadata.tables.items():
            columns = [column["name"] for column in inspector.get_columns(name)]
            assert columns == list(table.c.keys())


def test_the_newest_revision_is_found_without_alembic(configured: Settings) -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == head()


def test_migrating_again_changes_nothing(configured: Settings) -> None:
    migrate(configured.database_url)
    with get_engine().connect() as connection:
        assert current(connection) == head()


def test_every_row_and_key_but_a_workers_carries_a_tenant() -> None:
    without = {name for name, table in Base.metadata.tables.items() if "tenant_id" not in table.c}
    assert without == {"tenants", "workers"}
