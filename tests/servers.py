"""The servers that a run of the suite was given, if any, and databases on them."""

import hashlib
import os
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

SERVER = os.environ.get("SEMBLANCE_TEST_DATABASE_URL")  # PostgreSQL
BROKER = os.environ.get("SEMBLANCE_TEST_BROKER_URL")  # Redis

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
