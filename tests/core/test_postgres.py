"""Timeouts and lost connections, on the PostgreSQL server of the test run."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.database import get_engine, make_engine, transact, write
from core.postgres import Connection
from core.settings import Settings, get_settings
from core.tables import Tenant
from tests import pgbouncer
from tests.servers import SERVER

pytestmark = pytest.mark.skipif(SERVER is None, reason="needs PostgreSQL")


def test_a_client_stops_waiting_for_a_server_that_does_not_answer(configured: Settings) -> None:
    with get_engine().connect() as connection:
        driver_connection = connection.connection.driver_connection
        assert isinstance(driver_connection, Connection)
        driver_connection.limit_s = 0.2
        with pytest.raises(OperationalError) as raised:
            connection.execute(text("SELECT pg_sleep(20)"))
        # The server ends the statement after 15 s, and keeps the connection.
        assert raised.value.connection_invalidated
    with get_engine().connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1


def test_a_transaction_whose_connection_was_lost_is_repeated_once(configured: Settings) -> None:
    calls = []

    def end_connection(session: Session) -> int:
        calls.append(session.scalar(text("SELECT pg_backend_pid()")))
        if len(calls) == 1:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return len(calls)

    assert transact(end_connection) == 2
    calls.clear()

    def always_end_connection(session: Session) -> None:
        calls.append(session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())")))

    with pytest.raises(OperationalError):
        transact(always_end_connection)


@pytest.mark.skipif(pgbouncer.COMMAND is None, reason="needs pgbouncer")
def test_many_clients_share_few_connections_of_a_transaction_pooler(
    configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timeouts and time zone belong to each transaction, and no statement is prepared."""
    with pgbouncer.running(configured.database_url, size=2) as url:
        monkeypatch.setenv("SEMBLANCE_DATABASE_TRANSACTION_POOLING", "true")
        get_settings.cache_clear()
        engines = [make_engine(url) for _ in range(4)]

        def use(number: int) -> set[tuple[str, ...]]:
            found = set()
            for _ in range(20):  # psycopg would prepare a statement after five
                with write(engines[number % 4]) as session:
                    names = ("statement_timeout", "lock_timeout", "timezone")
                    found.add(tuple(session.scalar(text(f"SHOW {name}")) for name in names))
                    session.scalars(select(Tenant.id).where(Tenant.id == str(number))).all()
            return found

        with ThreadPoolExecutor(8) as pool:
            found = set().union(*pool.map(use, range(8)))
        assert found == {("15s", "10s", "UTC")}
        used = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = '' AND pid <> pg_backend_pid()"
        )
        with get_engine().connect() as connection:
            assert connection.scalar(used) <= 2
        for engine in engines:
            engine.dispose()
