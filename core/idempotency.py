"""One effect for one Idempotency-Key, whatever is sent twice and whatever dies in between.

A key is reserved in a transaction of its own; the answer is written in the transaction that has
the effect. So the effect and the memory of it come together or not at all.
"""

from dataclasses import dataclass

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.database import clock, write
from core.errors import Conflict, ValidationFailed
from core.ids import new_id
from core.tables import IdempotencyKey, Json

RETENTION_S = 24 * 3_600.0
LEASE_S = 120.0  # a first request that has not answered by then is taken to have died


@dataclass(frozen=True)
class Reservation:
    """The right to have the effect."""

    tenant_id: str
    key: str
    reservation_id: str


@dataclass(frozen=True)
class SavedResponse:
    """What the first request was answered."""

    status: int
    body: Json


def reserve(tenant_id: str, key: str, fingerprint: str) -> Reservation | SavedResponse:
    """Raises ValidationFailed when the key came with another request, Conflict while that one still runs."""
    mine = Reservation(tenant_id, key, new_id("idm"))
    try:
        with write() as session:
            _forget_old(session, tenant_id)
            session.add(
                IdempotencyKey(
                    tenant_id=tenant_id,
                    key=key,
                    fingerprint=fingerprint,
                    reservation_id=mine.reservation_id,
                    lease_until=clock(LEASE_S),
                )
            )
    except IntegrityError:
        return _known(mine, fingerprint)
    return mine


def _known(mine: Reservation, fingerprint: str) -> Reservation | SavedResponse:
    with write() as session:
        row = session.get(IdempotencyKey, (mine.tenant_id, mine.key))
        if row is None:  # released since
            raise _still_running()
        if row.fingerprint != fingerprint:
            raise ValidationFailed(
                "this Idempotency-Key was sent with another request", code="idempotency_conflict"
            )
        if row.response_body is not None and row.response_status is not None:
            return SavedResponse(row.response_status, row.response_body)
        taken = session.execute(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.tenant_id == mine.tenant_id,
                IdempotencyKey.key == mine.key,
                IdempotencyKey.response_body.is_(None),
                IdempotencyKey.lease_until < clock(),
            )
            .values(reservation_id=mine.reservation_id, lease_until=clock(LEASE_S))
            .returning(IdempotencyKey.key)
        ).one_or_none()
    if taken is None:
        raise _still_running()
    return mine


def _still_running() -> Conflict:
    return Conflict(
        "the first request with this Idempotency-Key still runs",
        code="idempotency_in_progress",
        headers={"Retry-After": "1"},
    )


def complete(session: Session, reservation: Reservation, status: int, body: Json) -> None:
    """Write the answer, in the transaction of the effect. Raises Conflict when the reservation was
    taken over: the transaction must then not be committed."""
    done = session.execute(
        update(IdempotencyKey)
        .where(
            IdempotencyKey.tenant_id == reservation.tenant_id,
            IdempotencyKey.key == reservation.key,
            IdempotencyKey.reservation_id == reservation.reservation_id,
            IdempotencyKey.response_body.is_(None),
        )
        .values(response_status=status, response_body=body)
        .returning(IdempotencyKey.key)
    ).one_or_none()
    if done is None:
        raise _still_running()


def release(reservation: Reservation) -> None:
    """After a failure without effect: the key may be used again."""
    with write() as session:
        session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.tenant_id == reservation.tenant_id,
                IdempotencyKey.key == reservation.key,
                IdempotencyKey.reservation_id == reservation.reservation_id,
                IdempotencyKey.response_body.is_(None),
            )
        )


def _forget_old(session: Session, tenant_id: str) -> None:
    session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.created_at < clock(-RETENTION_S)
        )
    )
