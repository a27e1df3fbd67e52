"""PostgreSQL and Redis servers for the tests, and databases on them.

`python -m tests.servers COMMAND …` runs a command with the servers of this machine, if they answer.
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

DEFAULT_URLS = {
    "SEMBLANCE_TEST_DATABASE_URL": "postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    "SEMBLANCE_TEST_BROKER_URL": "redis://127.0.0.1:6379/9",
}


def broker_of_worker(url: str | None) -> str | None:
    """Return the URL of the numbered Redis database of this xdist worker."""
    if url is None:
        return None
    address, first = url.rsplit("/", 1)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"{address}/{(int(first) + int(worker)) % 16}"


SERVER = os.environ.get("SEMBLANCE_TEST_DATABASE_URL")  # PostgreSQL
BROKER = broker_of_worker(os.environ.get("SEMBLANCE_TEST_BROKER_URL"))  # Redis

DELETE_ALL = ";".join(
    (
        "SET session_replication_role = replica",  # without the triggers of the audit log
        *(
            f"DELETE FROM {table.name}"  # noqa: S608 - names of our own tables
            for table in reversed(Base.metadata.sorted_tables)
        ),
    )
)
END_CONNECTIONS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
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
    """Delete all rows and end other connections. A copy of a template would take 300 ms."""
    execute(url, END_CONNECTIONS, DELETE_ALL)


def drop_database(name: str) -> None:
    assert SERVER is not None
    execute(SERVER, f'DROP DATABASE "{name}" WITH (FORCE)')


def database_for(folder: Path) -> str:
    """Create an empty database for a server's folder at the first call; return its URL."""
    if folder not in _served:
        digest = hashlib.sha256(f"{os.getpid()} {folder}".encode()).hexdigest()[:16]
        _served[folder] = f"semblance_served_{digest}"
        create_database(_served[folder])
    return url_of(_served[folder])


def drop_served() -> None:
    while _served:
        drop_database(_served.popitem()[1])


def main(command: Sequence[str]) -> None:
    given = DEFAULT_URLS | {name: os.environ[name] for name in DEFAULT_URLS if name in os.environ}
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
