"""Outbox of webhook messages: the rows of `deliveries`, each one message to one webhook.

A message is added in the transaction of the change that it reports. It is then claimed and sent
until the webhook accepts it or the last attempt fails.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core import leases
from core.database import clock, cutoff
from core.ids import new_id
from core.tables import Delivery, Job, Webhook

EVENTS = ("job.running", "job.paused", "job.succeeded", "job.failed", "job.cancelled")

LEASE_S = 60.0  # longer than any attempt


@dataclass(frozen=True)
class ClaimedDelivery:
    """A claimed delivery. `attempt`, the number of its attempt, is also its fencing token."""

    id: str
    tenant_id: str
    webhook_id: str
    attempt: int
    url: str
    secret: str
    payload: str


def enqueue(session: Session, job: Job, event: str) -> None:
    """Add a message for every webhook subscribed to the event, in the caller's transaction."""
    if event not in EVENTS:
        return
    candidates = (
        select(Webhook)
        .where(
            Webhook.tenant_id == job.tenant_id,
            Webhook.job_id.is_(None) | (Webhook.job_id == job.id),
            Webhook.disabled_at.is_(None),
        )
        # Lock the rows: a concurrent delete would roll back the job's state change.
        .with_for_update(read=True, key_share=True)
    )
    webhooks = [webhook for webhook in session.scalars(candidates) if event in webhook.events]
    if not webhooks:
        return
    now = session.scalars(select(clock())).one()
    payload = json.dumps(message(job, event, now), separators=(",", ":"))
    session.add_all(
        Delivery(
            id=new_id("dlv"),
            tenant_id=job.tenant_id,
            webhook_id=webhook.id,
            job_id=job.id,
            type=event,
            payload=payload,
        )
        for webhook in webhooks
    )


def message(job: Job, event: str, now: datetime) -> dict[str, Any]:
    """Return the body of a message: the job's id, state and outcome, in the form of the API."""
    links = {"self": f"/v1/jobs/{job.id}"}
    if job.result and "model" in job.result:
        links["model"] = f"/v1/models/{job.result['model']}"
    return {
        "type": event,
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "id": job.id,
            "kind": job.kind,
            "state": job.state,
            "name": job.name,
            "result": job.result,
            "error": job.error,
            "links": links,
        },
    }


def next_due(
    session: Session, *, busy_urls: Iterable[str], busy_tenants: Iterable[str]
) -> str | None:
    """Return the id of the longest due delivery, ignoring busy URLs and tenants."""
    return session.scalar(
        select(Delivery.id)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(
            # Lets PostgreSQL use the index: it cannot for a comparison with a volatile clock.
            Delivery.next_at.is_not(None),
            Delivery.next_at <= clock(),
            leases.is_free(Delivery),
            Delivery.tenant_id.not_in(busy_tenants),
            Webhook.url.not_in(busy_urls),
            Webhook.disabled_at.is_(None),
        )
        .order_by(Delivery.next_at, Delivery.id)
        .limit(1)
    )


def claim(session: Session, delivery_id: str) -> ClaimedDelivery | None:
    """Claim the delivery for an attempt; return None if another process was faster."""
    delivery = leases.acquire(
        session,
        Delivery,
        Delivery.id == delivery_id,
        Delivery.next_at <= clock(),
        leases.is_free(Delivery),
        seconds=LEASE_S,
    )
    if delivery is None:
        return None
    webhook = session.get_one(Webhook, delivery.webhook_id)
    return ClaimedDelivery(
        id=delivery_id,
        tenant_id=delivery.tenant_id,
        webhook_id=webhook.id,
        attempt=delivery.fencing_token,
        url=webhook.url,
        secret=webhook.secret,
        payload=delivery.payload,
    )


def mark_delivered(session: Session, delivery: ClaimedDelivery, status: int) -> None:
    """Record the success. Raises LeaseLost, like the other functions that record an outcome."""
    _release(session, delivery, response_status=status, last_error=None, delivered_at=clock())


def mark_failed(
    session: Session,
    delivery: ClaimedDelivery,
    reason: str,
    status: int | None,
    *,
    retry_in_s: float | None = None,
) -> None:
    """Schedule the next attempt in `retry_in_s` seconds. None: the delivery has failed."""
    outcome = {"response_status": status, "last_error": reason}
    if retry_in_s is None:
        _release(session, delivery, failed_at=clock(), **outcome)
    else:
        _release(session, delivery, next_at=clock(retry_in_s), **outcome)


def mark_gone(session: Session, delivery: ClaimedDelivery, reason: str, status: int) -> None:
    """Disable the webhook, whose URL answered 410 Gone, and fail its pending deliveries."""
    session.execute(
        update(Webhook)
        .where(Webhook.id == delivery.webhook_id, Webhook.disabled_at.is_(None))
        .values(disabled_at=clock())
    )
    _release(session, delivery, failed_at=clock(), response_status=status, last_error=reason)
    session.execute(
        update(Delivery)
        .where(Delivery.webhook_id == delivery.webhook_id, Delivery.next_at.is_not(None))
        .values(
            next_at=None,
            lease_until=None,
            failed_at=clock(),
            last_error="The webhook was disabled.",
        )
    )


def _release(session: Session, delivery: ClaimedDelivery, **values: Any) -> None:
    """End the attempt. Without `next_at` in `values`, no further attempt is scheduled."""
    values = {"next_at": None} | values
    leases.release(session, Delivery, delivery.attempt, Delivery.id == delivery.id, **values)


def purge(session: Session, retention_s: float) -> None:
    """Delete finished deliveries older than `retention_s`, and job webhooks without deliveries.

    A job's webhook is deleted only if its job ended more than `retention_s` ago.
    """
    oldest = cutoff(session, retention_s)
    session.execute(
        delete(Delivery).where(Delivery.next_at.is_(None), Delivery.created_at < oldest)
    )
    deliveries = select(Delivery.id).where(Delivery.webhook_id == Webhook.id)
    ended = select(Job.id).where(Job.id == Webhook.job_id, Job.finished_at < oldest)
    session.execute(delete(Webhook).where(ended.exists(), ~deliveries.exists()))


def page_of_deliveries(
    session: Session, webhook: Webhook, *, limit: int, after: str | None = None
) -> list[Delivery]:
    """Return one page of the webhook's deliveries, newest first."""
    query = select(Delivery).where(
        Delivery.tenant_id == webhook.tenant_id, Delivery.webhook_id == webhook.id
    )
    if after is not None:
        query = query.where(Delivery.id < after)
    return list(session.scalars(query.order_by(Delivery.id.desc()).limit(limit)))
