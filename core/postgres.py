"""PostgreSQL engines that notice when their server has gone, is frozen or restarts.

The server ends a statement after `statement_timeout`. A frozen server does not, and neither does
the kernel, whose connection to it still lives: `Connection` stops waiting on the client's side. A
host that has gone is noticed by keepalive packets and by `tcp_user_timeout`.

A pooler such as PgBouncer may give each transaction another connection to the server. Settings of a
session and prepared statements would then reach the wrong transactions.
"""

import time
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine, create_engine, event

from core.settings import Settings

RETRY_S = 0.25  # pause between attempts to connect
LOCK_TIMEOUT_MS = 10_000
GRACE_S = 2.0  # the client waits this much longer than the server's own timeout
TCP = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # milliseconds
}


class Connection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer within `limit_s` seconds."""

    limit_s: float | None = None

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout or self.limit_s)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:  # no answer came
                self.pgconn.finish()
            raise


def make_engine(url: str, settings: Settings, timeout_s: float) -> Engine:
    """Create an engine with the pool and the timeouts of the settings.

    While the server cannot be reached, a new connection is tried again for
    `database_wait_seconds`. If a transaction has to wait longer than `timeout_s` for a statement or
    for a connection of the pool, it fails with OperationalError or TimeoutError.
    """
    session = {
        "statement_timeout": round(1_000 * timeout_s),
        "lock_timeout": LOCK_TIMEOUT_MS,
        "timezone": "UTC",
    }
    if settings.database_transaction_pooling:
        arguments: dict[str, Any] = {"prepare_threshold": None}
    else:
        arguments = {"options": " ".join(f"-c {name}={value}" for name, value in session.items())}
    engine = create_engine(
        url,
        hide_parameters=True,  # errors, which are logged, must not have values of customers
        pool_pre_ping=True,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_max_connections - settings.database_pool_size,
        pool_timeout=timeout_s,
        connect_args=TCP | arguments,
    )
    if settings.database_transaction_pooling:
        statement = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in session.items())

        @event.listens_for(engine, "begin")
        def configure(connection: SqlConnection) -> None:
            connection.exec_driver_sql(statement)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, parameters: Any) -> Connection:
        deadline = time.monotonic() + settings.database_wait_seconds
        while True:
            try:
                connection = Connection.connect(**parameters)
            except psycopg.OperationalError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(RETRY_S)
            else:
                connection.limit_s = timeout_s + GRACE_S
                return connection

    return engine
