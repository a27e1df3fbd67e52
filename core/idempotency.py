"""Idempotency keys: one effect per `Idempotency-Key`, even if a request repeats or a process dies.

A key is reserved in a separate transaction. The response is saved in the same transaction as the
effect, so both are committed or neither is.
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
LEASE_S = 120.0  # after this, a request without a response counts as dead


@dataclass(frozen=True)
class Reservation:
    """The exclusive right to execute the request of an idempotency key."""

    tenant_id: str
    key: str
    reservation_id: str


@dataclass(frozen=True)
class SavedResponse:
    """The response to the first request with the key."""

    status: int
    body: Json


def reserve(tenant_id: str, key: str, fingerprint: str) -> Reservation | SavedResponse:
    """Reserve the key, or return the saved response of an earlier identical request.

    Raises:
        ValidationFailed: The key was used with a different request.
        Conflict: The first request is still running.
    """
    reservation = Reservation(tenant_id, key, new_id("idm"))
    try:
        with write() as session:
            _delete_expired(session, tenant_id)
            session.add(
                IdempotencyKey(
                    tenant_id=tenant_id,
                    key=key,
                    fingerprint=fingerprint,
                    reservation_id=reservation.reservation_id,
                    lease_until=clock(LEASE_S),
                )
            )
    except IntegrityError:
        return _replay_or_take_over(reservation, fingerprint)
    return reservation


def _replay_or_take_over(reservation: Reservation, fingerprint: str) -> Reservation | SavedResponse:
    """Return the saved response, or take the key over if the first request's lease expired."""
    with write() as session:
        row = session.get(IdempotencyKey, (reservation.tenant_id, reservation.key))
        if row is None:  # released in the meantime
            raise _in_progress_error()
        if row.fingerprint != fingerprint:
            raise ValidationFailed(
                "This `Idempotency-Key` was used with a different request. Use a new key.",
                code="idempotency_conflict",
            )
        if row.response_body is not None and row.response_status is not None:
            return SavedResponse(row.response_status, row.response_body)
        taken_over = session.execute(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.tenant_id == reservation.tenant_id,
                IdempotencyKey.key == reservation.key,
                IdempotencyKey.response_body.is_(None),
                IdempotencyKey.lease_until < clock(),
            )
            .values(reservation_id=reservation.reservation_id, lease_until=clock(LEASE_S))
            .returning(IdempotencyKey.key)
        ).one_or_none()
    if taken_over is None:
        raise _in_progress_error()
    return reservation


def _in_progress_error() -> Conflict:
    return Conflict(
        "The first request with this `Idempotency-Key` is still running. Retry later.",
        code="idempotency_in_progress",
        headers={"Retry-After": "1"},
    )


def complete(session: Session, reservation: Reservation, status: int, body: Json) -> None:
    """Save the response, in the same transaction as the effect.

    Raises Conflict if another request took the reservation over; the caller must then roll back.
    """
    saved = session.execute(
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
    if saved is None:
        raise _in_progress_error()


def release(reservation: Reservation) -> None:
    """Delete the reservation after a failure without effect, so that the key may be used again."""
    with write() as session:
        session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.tenant_id == reservation.tenant_id,
                IdempotencyKey.key == reservation.key,
                IdempotencyKey.reservation_id == reservation.reservation_id,
                IdempotencyKey.response_body.is_(None),
            )
        )


def _delete_expired(session: Session, tenant_id: str) -> None:
    session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.created_at < clock(-RETENTION_S)
        )
    )
