"""The servers that a run of the suite was given, if any, and databases on them.

`python -m tests.servers COMMAND …` runs a command with those of this machine, if they answer.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import redis
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

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

_served: dict[Path, str] = {}


def url_of(name: str) -> str:
    assert SERVER is not None
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def on_server(statement: str) -> None:
    assert SERVER is not None
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def database_for(folder: Path) -> str:
    """The URL of an empty database that belongs to a server's folder, the same each time."""
    if folder not in _served:
        digest = hashlib.sha256(f"{os.getpid()} {folder}".encode()).hexdigest()[:16]
        _served[folder] = f"semblance_served_{digest}"
        on_server(f'CREATE DATABASE "{_served[folder]}"')
    return url_of(_served[folder])


def drop_served() -> None:
    while _served:
        on_server(f'DROP DATABASE "{_served.popitem()[1]}" WITH (FORCE)')


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
