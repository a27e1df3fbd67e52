"""Migrations create the tables that the code expects, on the database of the test run."""

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


def test_head_finds_the_newest_revision_without_alembic(configured: Settings) -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == head()


def test_migrating_again_changes_nothing(configured: Settings) -> None:
    migrate(configured.database_url)
    with get_engine().connect() as connection:
        assert current(connection) == head()


def test_every_table_except_tenants_and_workers_has_a_tenant_id() -> None:
    without = {name for name, table in Base.metadata.tables.items() if "tenant_id" not in table.c}
    assert without == {"tenants", "workers"}
