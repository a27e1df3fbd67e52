"""Leases of database rows: the right of one process to change a row for a limited time.

Each acquisition of a row's lease increments the row's fencing token. Every write of the holder
requires that this token is still the newest and that the lease has not expired. A process that was
suspended for too long, or whose row another process has acquired, therefore changes nothing. All
times are those of the database's clock.

A lease is used for jobs, shards, datasets in validation, webhook deliveries and idempotency keys.
The conditions of a call must select one row; `acquire` also needs the condition that the row is
available.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.database import clock
from core.tables import Leased

log = logging.getLogger(__name__)

Row = TypeVar("Row", bound=Leased)


class LeaseLost(Exception):
    """The process no longer holds the row: it must stop immediately and write nothing more."""


def has_expired(table: type[Leased]) -> ColumnElement[bool]:
    """Select rows whose holder has not renewed its lease in time."""
    return table.lease_until < clock()


def is_free(table: type[Leased]) -> ColumnElement[bool]:
    """Select rows that are not held: those without a lease, and those whose lease has expired."""
    return table.lease_until.is_(None) | has_expired(table)


def acquire(
    session: Session,
    table: type[Row],
    *conditions: ColumnElement[bool],
    seconds: float,
    **values: Any,
) -> Row | None:
    """Acquire the lease of the row and set `values`.

    Returns the row with its new fencing token, or None if no row satisfies the conditions.
    """
    token = table.fencing_token + 1
    return _update(
        session, table, *conditions, fencing_token=token, lease_until=clock(seconds), **values
    )


def renew(
    session: Session,
    table: type[Row],
    fencing_token: int,
    *conditions: ColumnElement[bool],
    seconds: float,
    **values: Any,
) -> Row:
    """Let the lease last for `seconds` from now, and set `values`. Raises LeaseLost."""
    return fenced_update(
        session, table, fencing_token, *conditions, lease_until=clock(seconds), **values
    )


def release(
    session: Session,
    table: type[Row],
    fencing_token: int,
    *conditions: ColumnElement[bool],
    **values: Any,
) -> Row:
    """End the lease and set `values`. Raises LeaseLost."""
    return fenced_update(session, table, fencing_token, *conditions, lease_until=None, **values)


def fenced_update(
    session: Session,
    table: type[Row],
    fencing_token: int,
    *conditions: ColumnElement[bool],
    **values: Any,
) -> Row:
    """Set `values` if the lease with this fencing token is valid, and return the row.

    Without values, the call only checks the lease and locks the row until the transaction ends.

    Raises:
        LeaseLost: The lease has ended, or the row does not satisfy the conditions.
    """
    is_held = (table.fencing_token == fencing_token) & (table.lease_until >= clock())
    unchanged = {"fencing_token": fencing_token}
    row = _update(session, table, *conditions, is_held, **(values or unchanged))
    if row is None:
        raise LeaseLost(f"The lease of a row of {table.__name__} was lost.")
    return row


def _update(
    session: Session, table: type[Row], *conditions: ColumnElement[bool], **values: Any
) -> Row | None:
    return session.execute(
        update(table)
        .where(*conditions)
        .values(**values)
        .returning(table)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).scalar_one_or_none()


@contextmanager
def renewed(renew: Callable[[], None], interval_s: float) -> Iterator[Callable[[], None]]:
    """Call `renew` every `interval_s` seconds in a background thread until the block ends.

    Yields a function that raises LeaseLost if `renew` has raised it.
    """
    ended, lost = threading.Event(), threading.Event()

    def renew_until_ended() -> None:
        while not ended.wait(interval_s):
            try:
                renew()
            except LeaseLost:
                lost.set()
                return
            except SQLAlchemyError as error:  # the lease is still valid: retry until it expires
                log.warning("lease not renewed", extra={"cause": type(error).__name__})

    def check() -> None:
        if lost.is_set():
            raise LeaseLost("The lease was lost while the work went on.")

    thread = threading.Thread(target=renew_until_ended, name="lease renewal", daemon=True)
    thread.start()
    try:
        yield check
    finally:
        ended.set()
        thread.join()
