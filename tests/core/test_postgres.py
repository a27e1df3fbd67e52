"""Timeouts and lost connections, on the PostgreSQL server of the test run."""

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.database import get_engine, transact
from core.postgres import Connection
from core.settings import Settings
from tests.servers import SERVER

pytestmark = pytest.mark.skipif(SERVER is None, reason="needs PostgreSQL")


def test_a_client_stops_waiting_for_a_server_that_does_not_answer(configured: Settings) -> None:
    with get_engine().connect() as connection:
        driver_connection = connection.connection.driver_connection
        assert isinstance(driver_connection, Connection)
        driver_connection.limit_s = 0.2
        started = time.monotonic()
        with pytest.raises(OperationalError) as raised:
            connection.execute(text("SELECT pg_sleep(20)"))
        assert time.monotonic() - started < 5
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
