"""The rows of `webhooks`: made by an administrator for all of a tenant's jobs, or brought by one
job; found; deleted."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete as delete_rows
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.errors import FieldError, NotFound, ValidationFailed
from core.ids import new_id
from core.settings import get_settings
from core.tables import Delivery, Job, Tenant, Webhook
from core.webhooks import ssrf_guard
from core.webhooks.outbox import EVENTS
from core.webhooks.signing import new_secret
from core.webhooks.ssrf_guard import Resolve, UrlNotAllowed


@dataclass(frozen=True)
class NewWebhook:
    url: str
    events: Sequence[str]
    name: str | None = None


def check_url(url: str, *, pointer: str, resolve: Resolve = ssrf_guard.resolve) -> None:
    """Raises ValidationFailed, with the pointer, for a URL that would not be called. Not for within a
    transaction: it asks the resolver."""
    try:
        ssrf_guard.allowed_addresses(ssrf_guard.parse(url), resolve)
    except UrlNotAllowed as error:
        fault = FieldError(pointer, error.code, str(error))
        raise ValidationFailed(f"{pointer}: {error}", field_errors=[fault]) from error


def create(session: Session, tenant_id: str, new: NewWebhook) -> Webhook:
    """Add a webhook with a secret of its own; check its URL before."""
    limit = get_settings().limits.webhooks
    mine = select(func.count()).select_from(Webhook).where(Webhook.tenant_id == tenant_id)
    if (session.scalar(mine.where(Webhook.job_id.is_(None))) or 0) >= limit:
        raise ValidationFailed(
            f"there may be {limit} webhooks", code="too_many_webhooks", limit=limit
        )
    webhook = Webhook(
        id=new_id("wh"),
        tenant_id=tenant_id,
        name=new.name,
        url=new.url,
        events=list(dict.fromkeys(new.events)),
        secret=new_secret(),
    )
    session.add(webhook)
    session.flush()
    session.refresh(webhook)  # the times are the database's
    return webhook


def add_job_webhook(session: Session, job: Job) -> None:
    """Add the webhook that a job's request brings, if any: `webhook: {url, events?}`.

    It is signed with the tenant's own secret, which a receiver can know before the job exists.
    """
    wanted = job.request.get("webhook")
    if wanted is None:
        return
    session.add(
        Webhook(
            id=new_id("wh"),
            tenant_id=job.tenant_id,
            job_id=job.id,
            url=wanted["url"],
            events=list(dict.fromkeys(wanted.get("events") or EVENTS)),
            secret=signing_secret(session, job.tenant_id),
        )
    )


def signing_secret(session: Session, tenant_id: str) -> str:
    """The tenant's own, made when it is first asked for."""
    session.execute(
        update(Tenant)
        .where(Tenant.id == tenant_id, Tenant.signing_secret.is_(None))
        .values(signing_secret=new_secret())
    )
    secret = session.scalars(select(Tenant.signing_secret).where(Tenant.id == tenant_id)).one()
    assert secret is not None  # noqa: S101 - it was set above
    return secret


def get(session: Session, tenant_id: str, webhook_id: str) -> Webhook:
    webhook = session.get(Webhook, webhook_id)
    if webhook is None or webhook.tenant_id != tenant_id:
        raise NotFound(f"there is no webhook {webhook_id}")
    return webhook


def page(
    session: Session,
    tenant_id: str,
    *,
    limit: int,
    after: str | None = None,
    job_id: str | None = None,
) -> list[Webhook]:
    """Newest first: those for all jobs, or the one that a job has brought."""
    query = select(Webhook).where(Webhook.tenant_id == tenant_id, Webhook.job_id == job_id)
    if after is not None:
        query = query.where(Webhook.id < after)
    return list(session.scalars(query.order_by(Webhook.id.desc()).limit(limit)))


def delete(session: Session, tenant_id: str, webhook_id: str) -> None:
    """Remove the webhook and its deliveries; what waits is not sent."""
    # Locked first: a job that changes its state just now has written its message, or writes none.
    session.scalar(select(Webhook.id).where(Webhook.id == webhook_id).with_for_update())
    webhook = get(session, tenant_id, webhook_id)
    session.execute(delete_rows(Delivery).where(Delivery.webhook_id == webhook.id))
    session.delete(webhook)
