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

from core.database import clock
from core.ids import new_id
from core.tables import Delivery, Job, Webhook

EVENTS = ("job.running", "job.paused", "job.succeeded", "job.failed", "job.cancelled")

# A claimed delivery is due again after this time, which is longer than any attempt.
LEASE_S = 60.0


@dataclass(frozen=True)
class ClaimedDelivery:
    """A claimed delivery. `attempt` is its fencing token."""

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
            Delivery.tenant_id.not_in(busy_tenants),
            Webhook.url.not_in(busy_urls),
            Webhook.disabled_at.is_(None),
        )
        .order_by(Delivery.next_at, Delivery.id)
        .limit(1)
    )


def claim(session: Session, delivery_id: str) -> ClaimedDelivery | None:
    """Claim the delivery for an attempt; return None if another process was faster."""
    row = session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.next_at <= clock())
        .values(attempt=Delivery.attempt + 1, next_at=clock(LEASE_S))
        .returning(Delivery.tenant_id, Delivery.webhook_id, Delivery.attempt, Delivery.payload)
    ).one_or_none()
    if row is None:
        return None
    webhook = session.get_one(Webhook, row.webhook_id)
    return ClaimedDelivery(
        id=delivery_id,
        tenant_id=row.tenant_id,
        webhook_id=webhook.id,
        attempt=row.attempt,
        url=webhook.url,
        secret=webhook.secret,
        payload=row.payload,
    )


def mark_delivered(session: Session, delivery: ClaimedDelivery, status: int) -> None:
    _fenced_update(session, delivery, response_status=status, last_error=None, delivered_at=clock())


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
        _fenced_update(session, delivery, failed_at=clock(), **outcome)
    else:
        _fenced_update(session, delivery, next_at=clock(retry_in_s), **outcome)


def mark_gone(session: Session, delivery: ClaimedDelivery, reason: str, status: int) -> None:
    """Disable the webhook, whose URL answered 410 Gone, and fail its pending deliveries."""
    session.execute(
        update(Webhook)
        .where(Webhook.id == delivery.webhook_id, Webhook.disabled_at.is_(None))
        .values(disabled_at=clock())
    )
    _fenced_update(session, delivery, failed_at=clock(), response_status=status, last_error=reason)
    session.execute(
        update(Delivery)
        .where(Delivery.webhook_id == delivery.webhook_id, Delivery.next_at.is_not(None))
        .values(next_at=None, failed_at=clock(), last_error="The webhook was disabled.")
    )


def _fenced_update(session: Session, delivery: ClaimedDelivery, **values: Any) -> None:
    """Update the row, unless it was deleted or another attempt has started.

    Without `next_at` in `values`, no further attempt is scheduled.
    """
    session.execute(
        update(Delivery)
        .where(
            Delivery.id == delivery.id,
            Delivery.attempt == delivery.attempt,
            Delivery.next_at.is_not(None),
        )
        .values({"next_at": None, **values})
    )


def purge(session: Session, retention_s: float) -> None:
    """Delete finished deliveries older than `retention_s`, and job webhooks without deliveries.

    A job's webhook is deleted only if its job ended more than `retention_s` ago.
    """
    session.execute(
        delete(Delivery).where(
            Delivery.next_at.is_(None), Delivery.created_at < clock(-retention_s)
        )
    )
    deliveries = select(Delivery.id).where(Delivery.webhook_id == Webhook.id)
    ended = select(Job.id).where(Job.id == Webhook.job_id, Job.finished_at < clock(-retention_s))
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
