"""Engines, transactions and the database clock, for SQLite and PostgreSQL.

A transaction is `with write() as session:` or `with read() as session:`. Leaving the block commits.
Keep transactions short: never hold one open during training or while waiting for the broker.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    create_engine,
    event,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from core.settings import get_settings

Result = TypeVar("Result")

WRITE = {"semblance_write": True}
# Locks of the SQLite writers of this process, by URL. SQLite allows one writer and makes the others
# retry with growing delays. Threads of one process queue on the lock instead, so that only separate
# processes compete for SQLite's own lock.
_sqlite_writers: dict[str, AbstractContextManager[object]] = {}


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware UTC datetimes on every database; SQLite itself stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class clock(FunctionElement[datetime]):  # noqa: N801 - lower case, because it is a SQL function
    """The current time of the database plus `offset` seconds: `clock(30.0)`.

    PostgreSQL uses the server's clock. SQLite has none and uses the process's (or a test's).
    """

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__(float(offset))


@compiles(clock, "postgresql")
def _clock_on_postgresql(element: clock, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(element.clauses, **options)
    # Not now(), which returns the start of the transaction.
    return f"(clock_timestamp() + make_interval(secs => CAST({seconds} AS double precision)))"


@compiles(clock, "sqlite")
def _clock_on_sqlite(element: clock, compiler: SQLCompiler, **options: Any) -> str:
    return f"semblance_clock({compiler.process(element.clauses, **options)})"


def cutoff(session: Session, age_s: float) -> datetime:
    """Return the database's time `age_s` seconds ago, to select older rows.

    PostgreSQL looks it up in an index. It could not with `clock`, which it reads again for each
    row, as the check of a lease needs.
    """
    return session.scalars(select(clock(-age_s))).one()


def make_engine(
    url: str, *, now: Callable[[], float] = time.time, timeout_s: float | None = None
) -> Engine:
    """Create an engine for `url`.

    `timeout_s` is the maximum time of a statement on PostgreSQL. Default: that of the settings.

    `now` returns seconds since 1970. It is SQLite's clock, which tests replace; PostgreSQL
    ignores it.
    """
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite_engine(url, now)
    from core import postgres  # psycopg is slow to load

    return postgres.make_engine(
        url, get_settings(), timeout_s or get_settings().database_timeout_seconds
    )


def _sqlite_engine(url: str, now: Callable[[], float]) -> Engine:
    if database := make_url(url).database:
        Path(database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": 10, "check_same_thread": False}
    )

    def sqlite_clock(offset: float) -> str:
        moment = datetime.fromtimestamp(now() + offset, UTC).replace(tzinfo=None)
        # The format in which SQLAlchemy stores datetimes.
        return moment.isoformat(sep=" ", timespec="microseconds")

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # `begin` below starts transactions, not the driver
        connection.create_function("semblance_clock", 1, sqlite_clock)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock immediately: upgrading a read lock may fail without waiting.
        write = connection.get_execution_options().get("semblance_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


@lru_cache
def get_engine() -> Engine:
    """Return the engine of this process, with its pool of connections.

    The first call must not come from two threads at the same time: each would create a pool.
    """
    return make_engine(get_settings().database_url)


@contextmanager
def write(engine: Engine | None = None) -> Iterator[Session]:
    """Open a transaction that may write: committed when the block ends, rolled back on error."""
    bind = (engine or get_engine()).execution_options(**WRITE)
    is_sqlite = bind.dialect.name == "sqlite"
    with (
        _sqlite_writers.setdefault(str(bind.url), threading.RLock())
        if is_sqlite
        else nullcontext(),
        Session(bind, expire_on_commit=False) as session,
        session.begin(),
    ):
        yield session


def transact(action: Callable[[Session], Result]) -> Result:
    """Run `action` in a transaction that may write; repeat it once if the connection was lost.

    The server may have committed the first transaction before the connection was lost, so `action`
    must be harmless if it is repeated.
    """
    for is_last in (False, True):
        try:
            with write() as session:
                return action(session)
        except DBAPIError as error:
            if is_last or not error.connection_invalidated:
                raise
    raise AssertionError  # the last attempt returns or raises


@contextmanager
def read(engine: Engine | None = None) -> Iterator[Session]:
    """Open a read-only transaction that sees one consistent state of the database."""
    bind = engine or get_engine()
    if bind.dialect.name == "postgresql":  # by default, each statement would see a newer state
        bind = bind.execution_options(isolation_level="REPEATABLE READ")
    with Session(bind, expire_on_commit=False) as session, session.begin():
        yield session
