"""The servers that a run of the suite was given, if any, and databases on them.

`python -m tests.servers COMMAND …` runs a command with those of this machine, if they answer.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import redis
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url

from core.tables import Base

HERE = {
    "SEMBLANCE_TEST_DATABASE_URL": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "SEMBLANCE_TEST_BROKER_URL": "redis://127.0.0.1:6379/9",
}


def own_broker(url: str | None) -> str | None:
    """Redis has numbered databases; the processes that run tests use one each."""
    if url is None:
        return None
    address, first = url.rsplit("/", 1)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"{address}/{(int(first) + int(worker)) % 16}"


SERVER = os.environ.get("SEMBLANCE_TEST_DATABASE_URL")  # PostgreSQL
BROKER = own_broker(os.environ.get("SEMBLANCE_TEST_BROKER_URL"))  # Redis

EMPTY = ";".join(f"DELETE FROM {table.name}" for table in reversed(Base.metadata.sorted_tables))
OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""

_served: dict[Path, str] = {}


def url_of(name: str) -> str:
    assert SERVER is not None
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def create_database(name: str) -> str:
    """Return the URL of a new database, whose commits need not survive a power failure."""
    assert SERVER is not None
    off = f'ALTER DATABASE "{name}" SET synchronous_commit TO off'
    execute(SERVER, f'CREATE DATABASE "{name}"', off)
    return url_of(name)


def empty_database(url: str) -> None:
    """Remove all rows, and whoever is still connected: a copy of an empty one takes longer."""
    execute(url, OTHERS, EMPTY)


def drop_database(name: str) -> None:
    assert SERVER is not None
    execute(SERVER, f'DROP DATABASE "{name}" WITH (FORCE)')


def database_for(folder: Path) -> str:
    """The URL of an empty database that belongs to a server's folder, the same each time."""
    if folder not in _served:
        digest = hashlib.sha256(f"{os.getpid()} {folder}".encode()).hexdigest()[:16]
        _served[folder] = f"semblance_served_{digest}"
        create_database(_served[folder])
    return url_of(_served[folder])


def drop_served() -> None:
    while _served:
        drop_database(_served.popitem()[1])


def main(command: Sequence[str]) -> None:
    given = HERE | {name: os.environ[name] for name in HERE if name in os.environ}
    database, broker = given.values()
    try:
        create_engine(database, connect_args={"connect_timeout": 3}).connect().close()
        redis.Redis.from_url(broker, socket_connect_timeout=3).ping()
    except Exception as error:
        sys.stdout.write(
            f"no servers here ({type(error).__name__}); not run: {' '.join(command)}\n"
        )
        return
    os.execvpe(command[0], command, os.environ | given)  # noqa: S606 - the tests, once more


if __name__ == "__main__":
    main(sys.argv[1:])
