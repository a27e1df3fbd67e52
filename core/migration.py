"""Brings the database to the newest schema; safe to call at every start, from several processes."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from core.database import WRITE, make_engine

MIGRATIONS = Path(__file__).parents[1] / "migrations"
LOCK = 0x5E3B1A9C  # any number, the same in every process


def head() -> str:
    """The newest revision, read from the file names so that alembic is imported only if needed."""
    return max(path.stem.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(
        text("SELECT version_num FROM alembic_version")
    ).scalar()
    return revision


def migrate(url: str) -> None:
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            if current(connection) == head():
                return
        _upgrade(engine)
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> None:
    from alembic import command  # half a second of CPU time, needed once
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.execution_options(**WRITE).begin() as connection:
        if engine.dialect.name == "postgresql":  # SQLite's write lock is held already
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
