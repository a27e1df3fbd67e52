"""The rows of `deliveries`: one message to one webhook, written with the change that it tells of,
then claimed and sent until the webhook has taken it or the last attempt has failed."""

import json
import random
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

# Seconds from one attempt to the next; after the last one the delivery has failed.
BACKOFF_S = (5, 30, 120, 600, 3_600, 21_600, 86_400)
# A claimed delivery is due again after this: longer than any attempt takes.
LEASE_S = 60.0


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that was claimed; `attempt` is its fence."""

    id: str
    tenant_id: str
    webhook_id: str
    attempt: int
    url: str
    secret: str
    payload: str


def enqueue(session: Session, job: Job, event: str) -> None:
    """Write a message for every webhook that waits for this event, in the caller's transaction."""
    if event not in EVENTS:
        return
    waiting = (
        select(Webhook)
        .where(
            Webhook.tenant_id == job.tenant_id,
            Webhook.job_id.is_(None) | (Webhook.job_id == job.id),
            Webhook.disabled_at.is_(None),
        )
        # Nobody deletes it before our commit: that would undo the job's change.
        .with_for_update(read=True, key_share=True)
    )
    webhooks = [webhook for webhook in session.scalars(waiting) if event in webhook.events]
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
    """What is sent: of the job, what names it and what came out of it, as the API shows it."""
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
    """The delivery that has waited longest, but for those of these URLs and tenants."""
    return session.scalar(
        select(Delivery.id)
        .join(Webhook, Webhook.id == Delivery.webhook_id)
        .where(
            Delivery.next_at.is_not(None),  # PostgreSQL: no index serves a clock
            Delivery.next_at <= clock(),
            Delivery.tenant_id.not_in(busy_tenants),
            Webhook.url.not_in(busy_urls),
            Webhook.disabled_at.is_(None),
        )
        .order_by(Delivery.next_at, Delivery.id)
        .limit(1)
    )


def claim(session: Session, delivery_id: str) -> ClaimedDelivery | None:
    """Take the delivery for an attempt; None when somebody else did."""
    taken = session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id, Delivery.next_at <= clock())
        .values(attempt=Delivery.attempt + 1, next_at=clock(LEASE_S))
        .returning(Delivery.tenant_id, Delivery.webhook_id, Delivery.attempt, Delivery.payload)
    ).one_or_none()
    if taken is None:
        return None
    webhook = session.get_one(Webhook, taken.webhook_id)
    return ClaimedDelivery(
        id=delivery_id,
        tenant_id=taken.tenant_id,
        webhook_id=webhook.id,
        attempt=taken.attempt,
        url=webhook.url,
        secret=webhook.secret,
        payload=taken.payload,
    )


def mark_delivered(session: Session, delivery: ClaimedDelivery, status: int) -> None:
    _held(session, delivery, response_status=status, last_error=None, delivered_at=clock())


def mark_failed(
    session: Session, delivery: ClaimedDelivery, reason: str, status: int | None
) -> None:
    """Try again later, or no more."""
    told = {"response_status": status, "last_error": reason}
    if delivery.attempt > len(BACKOFF_S):
        _held(session, delivery, failed_at=clock(), **told)
        return
    spread = random.uniform(0.8, 1.2)  # noqa: S311 - it spreads load and guards nothing
    _held(session, delivery, next_at=clock(BACKOFF_S[delivery.attempt - 1] * spread), **told)


def mark_gone(session: Session, delivery: ClaimedDelivery, reason: str, status: int) -> None:
    """The webhook wants no more: it is disabled, and what waits for it fails."""
    session.execute(
        update(Webhook)
        .where(Webhook.id == delivery.webhook_id, Webhook.disabled_at.is_(None))
        .values(disabled_at=clock())
    )
    _held(session, delivery, failed_at=clock(), response_status=status, last_error=reason)
    session.execute(
        update(Delivery)
        .where(Delivery.webhook_id == delivery.webhook_id, Delivery.next_at.is_not(None))
        .values(next_at=None, failed_at=clock(), last_error="the webhook was disabled")
    )


def _held(session: Session, sending: ClaimedDelivery, **values: Any) -> None:
    """Change the row, unless it was deleted or another attempt has begun since."""
    session.execute(
        update(Delivery)
        .where(
            Delivery.id == sending.id,
            Delivery.attempt == sending.attempt,
            Delivery.next_at.is_not(None),
        )
        .values({"next_at": None, **values})
    )


def purge(session: Session, retention_s: float) -> None:
    """Forget what was settled before that long, and webhooks of ended jobs that have no more."""
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
    """Newest first."""
    query = select(Delivery).where(
        Delivery.tenant_id == webhook.tenant_id, Delivery.webhook_id == webhook.id
    )
    if after is not None:
        query = query.where(Delivery.id < after)
    return list(session.scalars(query.order_by(Delivery.id.desc()).limit(limit)))
