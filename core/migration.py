"""Database migration to the newest schema.

It is safe to call at every start and from several processes at the same time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from core.database import WRITE, make_engine

MIGRATIONS = Path(__file__).parents[1] / "migrations"
LOCK = 0x5E3B1A9C  # arbitrary, but the same in every process
TIMEOUT_S = 86_400.0  # a statement may change a large table


def head() -> str:
    """Return the newest revision, read from file names so that alembic need not be imported."""
    return max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def current(connection: Connection) -> str | None:
    """Return the revision of the database, or None if it was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar()
    return revision


def migrate(url: str) -> None:
    engine = make_engine(url, timeout_s=TIMEOUT_S)
    try:
        with engine.connect() as connection:
            if current(connection) == head():
                return
        _upgrade(engine)
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> None:
    from alembic import command  # takes half a second of CPU time and is rarely needed
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with _only_migration(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _only_migration(engine: Engine) -> Iterator[Connection]:
    """Wait until no other process migrates; yield the connection for the migrations.

    SQLite's write lock excludes others, so all migrations are one transaction. On PostgreSQL,
    another connection holds the lock, so each migration is one transaction and may leave it to
    create an index concurrently.
    """
    if engine.dialect.name == "sqlite":
        with engine.execution_options(**WRITE).begin() as connection:
            yield connection
        return
    with engine.begin() as lock, engine.connect() as connection:
        lock.execute(text("SET LOCAL lock_timeout = 0"))  # the other migration may take hours
        # Without a parameter: the snapshot of a statement with parameters lasts until the commit,
        # and a concurrent index waits for all older snapshots.
        lock.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        yield connection
