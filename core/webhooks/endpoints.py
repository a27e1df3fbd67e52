"""Rows of `webhooks`: create, read and delete them.

An administrator creates webhooks for all jobs of a tenant. A job's request may add one for itself.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import delete as delete_rows
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.errors import FieldError, NotFound, Unavailable, ValidationFailed
from core.ids import new_id
from core.settings import get_settings
from core.tables import Delivery, Job, Tenant, Webhook
from core.webhooks import ssrf_guard
from core.webhooks.outbox import EVENTS
from core.webhooks.signing import new_secret
from core.webhooks.ssrf_guard import Resolve, UrlNotAllowed

MAX_CONCURRENT_CHECKS = 8
MAX_CHECKS_OF_TENANT = 6
_checks: Counter[str] = Counter()  # that run now, by tenant
_lock = threading.Lock()


@dataclass(frozen=True)
class NewWebhook:
    url: str
    events: Sequence[str]
    name: str | None = None


def check_url(
    url: str, *, pointer: str, tenant_id: str, resolve: Resolve = ssrf_guard.resolve
) -> None:
    """Raise ValidationFailed, with `pointer`, unless the server may send requests to the URL.

    Do not call this inside a transaction, because it resolves the host name. Few requests may wait
    for that, and fewer of one tenant: names that nobody answers must not hold all threads of the
    API, or keep others from checking theirs.

    Raises:
        Unavailable: Too many host names are being resolved.
    """
    with _count_check(tenant_id):
        try:
            ssrf_guard.allowed_addresses(ssrf_guard.parse(url), resolve)
        except UrlNotAllowed as error:
            field_error = FieldError(pointer, error.code, str(error))
            raise ValidationFailed(f"{pointer}: {error}", field_errors=[field_error]) from error


@contextmanager
def _count_check(tenant_id: str) -> Iterator[None]:
    with _lock:
        is_full = _checks.total() >= MAX_CONCURRENT_CHECKS
        if is_full or _checks[tenant_id] >= MAX_CHECKS_OF_TENANT:
            raise Unavailable(
                "Too many host names are being resolved. Retry later.",
                code="resolver_busy",
                headers={"Retry-After": "5"},
            )
        _checks[tenant_id] += 1
    try:
        yield
    finally:
        with _lock:
            _checks[tenant_id] -= 1
            if not _checks[tenant_id]:
                del _checks[tenant_id]


def create(session: Session, tenant_id: str, new: NewWebhook) -> Webhook:
    """Add a webhook with a new secret. Call `check_url` first.

    Raises ValidationFailed if the tenant already has the maximum number of webhooks.
    """
    limit = get_settings().limits.webhooks
    count = select(func.count()).select_from(Webhook).where(Webhook.tenant_id == tenant_id)
    if (session.scalar(count.where(Webhook.job_id.is_(None))) or 0) >= limit:
        raise ValidationFailed(
            f"At most {limit} webhooks are allowed. Delete one first.",
            code="too_many_webhooks",
            limit=limit,
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
    session.refresh(webhook)  # the database sets the times
    return webhook


def add_job_webhook(session: Session, job: Job) -> None:
    """Add the webhook in a job's request, if any: `webhook: {url, events?}`.

    It is signed with the tenant's secret, which a receiver can have before the job exists.
    """
    webhook = job.request.get("webhook")
    if webhook is None:
        return
    session.add(
        Webhook(
            id=new_id("wh"),
            tenant_id=job.tenant_id,
            job_id=job.id,
            url=webhook["url"],
            events=list(dict.fromkeys(webhook.get("events") or EVENTS)),
            secret=signing_secret(session, job.tenant_id),
        )
    )


def signing_secret(session: Session, tenant_id: str) -> str:
    """Return the tenant's secret for webhooks of single jobs; create it on first use."""
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
        raise NotFound(f"Webhook {webhook_id} does not exist.")
    return webhook


def page(
    session: Session,
    tenant_id: str,
    *,
    limit: int,
    after: str | None = None,
    job_id: str | None = None,
) -> list[Webhook]:
    """Return one page, newest first: webhooks for all jobs, or the webhook of the job `job_id`."""
    query = select(Webhook).where(Webhook.tenant_id == tenant_id, Webhook.job_id == job_id)
    if after is not None:
        query = query.where(Webhook.id < after)
    return list(session.scalars(query.order_by(Webhook.id.desc()).limit(limit)))


def delete(session: Session, tenant_id: str, webhook_id: str) -> None:
    """Delete the webhook and its deliveries; pending messages are not sent."""
    # Lock the row first: a concurrent state change has already added its message, or adds none.
    session.scalar(select(Webhook.id).where(Webhook.id == webhook_id).with_for_update())
    webhook = get(session, tenant_id, webhook_id)
    session.execute(delete_rows(Delivery).where(Delivery.webhook_id == webhook.id))
    session.delete(webhook)


def delete_of_jobs(session: Session, job_ids: Sequence[str]) -> None:
    """Delete the webhooks of single jobs, and all deliveries about these jobs."""
    session.execute(delete_rows(Delivery).where(Delivery.job_id.in_(job_ids)))
    session.execute(delete_rows(Webhook).where(Webhook.job_id.in_(job_ids)))
