"""Migrations create the tables that the code expects, on the database of the test run."""

import shutil
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from core import migration
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


CONCURRENT_INDEX = """
from alembic import op

revision, down_revision = "9999", "{head}"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.create_index("ix_new", "jobs", ["step"])
        return
    with op.get_context().autocommit_block():  # a transaction cannot do this
        op.create_index("ix_new", "jobs", ["step"], postgresql_concurrently=True)
"""


def test_a_migration_may_create_an_index_while_others_write(
    configured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    file = folder / "versions" / "9999_new.py"
    before = head()
    file.write_text(CONCURRENT_INDEX.format(head=before))
    monkeypatch.setattr(migration, "MIGRATIONS", folder)
    migrate(configured.database_url)
    with get_engine().connect() as connection:
        assert current(connection) == head() == "9999"
        assert "ix_new" in {index["name"] for index in inspect(connection).get_indexes("jobs")}
    with get_engine().begin() as connection:  # other tests use the same database
        connection.execute(text("DROP INDEX ix_new"))
        restore = text("UPDATE alembic_version SET version_num = :before")
        connection.execute(restore, {"before": before})


def test_every_table_of_what_a_tenant_owns_has_a_tenant_id() -> None:
    without = {name for name, table in Base.metadata.tables.items() if "tenant_id" not in table.c}
    assert without == {"erased_tenants", "losses", "tenants", "workers"}
