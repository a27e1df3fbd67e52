"""Idempotency keys: one effect per `Idempotency-Key`, even if a request repeats or a process dies.

A key is reserved in a separate transaction: the request holds its row by a lease (see core.leases).
The response is saved in the same transaction as the effect, so both are committed or neither is.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core import leases
from core.database import clock, cutoff, write
from core.errors import Conflict, ValidationFailed
from core.leases import LeaseLost
from core.tables import IdempotencyKey, Json

RETENTION_S = 24 * 3_600.0
LEASE_S = 300.0  # after this, a request without a response counts as dead


@dataclass(frozen=True)
class Reservation:
    """The exclusive right to execute the request of an idempotency key."""

    tenant_id: str
    key: str
    fencing_token: int


@dataclass(frozen=True)
class SavedResponse:
    """The response to the first request with the key."""

    status: int
    body: Json


def reserve(tenant_id: str, key: str, fingerprint: str) -> Reservation | SavedResponse:
    """Reserve the key, or return the saved response of an earlier identical request.

    Raises:
        ValidationFailed: The key was used with a different request.
        Conflict: The first request is still running, or what it created is deleted.
    """
    try:
        with write() as session:
            _delete_expired(session, tenant_id, key)
            session.add(IdempotencyKey(tenant_id=tenant_id, key=key, fingerprint=fingerprint))
            session.flush()
            return _acquire(session, tenant_id, key, fingerprint)
    except IntegrityError:
        with write() as session:
            return _replay_or_take_over(session, tenant_id, key, fingerprint)


def _replay_or_take_over(
    session: Session, tenant_id: str, key: str, fingerprint: str
) -> Reservation | SavedResponse:
    """Return the saved response, or reserve the key if the first request failed or is dead."""
    row = session.get(IdempotencyKey, (tenant_id, key))
    if row is None:  # its retention ended in the meantime
        raise _in_progress_error()
    was_released = row.lease_until is None and row.response_body is None
    if row.fingerprint != fingerprint and not was_released:
        raise ValidationFailed(
            "This `Idempotency-Key` was used with a different request. Use a new key.",
            code="idempotency_conflict",
        )
    if row.response_body == {}:
        raise Conflict(
            "The resource that this `Idempotency-Key` created was deleted. Use a new key.",
            code="idempotency_resource_deleted",
        )
    if row.response_body is not None and row.response_status is not None:
        return SavedResponse(row.response_status, row.response_body)
    return _acquire(session, tenant_id, key, fingerprint)


def _acquire(session: Session, tenant_id: str, key: str, fingerprint: str) -> Reservation:
    row = leases.acquire(
        session,
        IdempotencyKey,
        *_is_key(tenant_id, key),
        IdempotencyKey.response_body.is_(None),
        leases.is_free(IdempotencyKey),
        seconds=LEASE_S,
        fingerprint=fingerprint,
        created_at=clock(),
    )
    if row is None:
        raise _in_progress_error()
    return Reservation(tenant_id, key, row.fencing_token)


def _in_progress_error() -> Conflict:
    return Conflict(
        "The first request with this `Idempotency-Key` is still running. Retry later.",
        code="idempotency_in_progress",
        headers={"Retry-After": "1"},
    )


def complete(session: Session, reservation: Reservation, status: int, body: Json) -> None:
    """Save the response, in the same transaction as the effect.

    Raises Conflict if the reservation has expired; the caller must then roll back.
    """
    try:
        saved = {"response_status": status, "response_body": body, "resource_id": body.get("id")}
        _release(session, reservation, **saved)
    except LeaseLost as error:
        raise _in_progress_error() from error


def forget_responses(session: Session, resource_ids: Collection[str]) -> None:
    """Delete the content of responses that created these resources, which are deleted.

    The keys remain: a request that is repeated late must not create another resource.
    """
    created = update(IdempotencyKey).where(IdempotencyKey.resource_id.in_(resource_ids))
    session.execute(created.values(response_body={}))


def release(reservation: Reservation) -> None:
    """End the reservation after a failure without effect, so that the key may be used again."""
    with suppress(LeaseLost), write() as session:
        _release(session, reservation)


def _release(session: Session, reservation: Reservation, **values: Any) -> None:
    is_key = _is_key(reservation.tenant_id, reservation.key)
    leases.release(session, IdempotencyKey, reservation.fencing_token, *is_key, **values)


def _is_key(tenant_id: str, key: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == key


def _delete_expired(session: Session, tenant_id: str, key: str) -> None:
    has_expired = IdempotencyKey.created_at < clock(-RETENTION_S)
    session.execute(delete(IdempotencyKey).where(*_is_key(tenant_id, key), has_expired))


def purge(session: Session) -> None:
    """Delete the keys whose retention has ended."""
    expired = IdempotencyKey.created_at < cutoff(session, RETENTION_S)
    session.execute(delete(IdempotencyKey).where(expired))
