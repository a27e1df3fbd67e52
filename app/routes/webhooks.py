"""`/v1/webhooks`: servers of the customer's that are told of jobs."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.authentication import AdminScope
from app.idempotency import IdempotencyKeyHeader, SaveResponse, created_response, run_idempotently
from app.request_body import StrictJsonRoute
from app.schemas.pagination import After, Limit, Page, build_page, check_cursor, page_size
from app.schemas.webhooks import (
    CreatedWebhook,
    DeliveryView,
    NewWebhook,
    SigningSecret,
    WebhookView,
)
from core import webhooks
from core.database import read, write

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=StrictJsonRoute)


@router.post("", status_code=201, response_model=CreatedWebhook)
def create_webhook(
    request: NewWebhook, caller: AdminScope, idempotency_key: IdempotencyKeyHeader = None
) -> Response:
    """Have a URL told of all jobs from now on, by POST, after Standard Webhooks 1.0.0.

    The body is `{"type", "timestamp", "data": {id, kind, state, name, result, error, links}}`;
    `data` is part of what `GET /v1/jobs/{id}` shows. Check a message before you believe it:
    `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over
    `{webhook-id}.{webhook-timestamp}.{body}`, keyed with the bytes whose base64 follows `whsec_` in
    the secret. The answer to this request shows the secret, once.

    Any 2xx within 10 seconds takes a message; 410 disables the webhook. Anything else, redirects
    among it, has the same message (same `webhook-id`) sent again after about 5 s, 30 s, 2 min,
    10 min, 1 h, 6 h and 24 h. A message may come twice, and later than the one that follows it.
    """

    def create(remember: SaveResponse) -> Response:
        webhooks.check_url(request.url, pointer="/url")
        new = webhooks.NewWebhook(request.url, request.events or webhooks.EVENTS, request.name)
        with write() as session:
            view = CreatedWebhook.of(webhooks.create(session, caller.tenant_id, new))
            remember(session, 201, view)
        return created_response(201, view)

    return run_idempotently(caller, idempotency_key, ["POST /v1/webhooks", request], create)


@router.get("", response_model=Page[WebhookView])
def list_webhooks(
    caller: AdminScope,
    limit: Limit = 50,
    after: After = None,
    job: Annotated[str | None, Query(description="the webhook that this job has brought")] = None,
) -> Page[WebhookView]:
    """Newest first; those that jobs have brought are left out, but for the job that is named."""
    limit = page_size(limit)
    with read() as session:
        rows = webhooks.page(
            session,
            caller.tenant_id,
            limit=limit + 1,
            after=check_cursor(after, "wh"),
            job_id=job,
        )
    return build_page(rows, limit, WebhookView.of)


@router.get("/secret", response_model=SigningSecret)
def read_signing_secret(caller: AdminScope) -> SigningSecret:
    """What messages to the webhooks that jobs bring (`webhook` of a job's request) are signed with.
    It is the same for all jobs."""
    with write() as session:
        return SigningSecret(secret=webhooks.signing_secret(session, caller.tenant_id))


@router.get("/{webhook_id}", response_model=WebhookView)
def read_webhook(webhook_id: str, caller: AdminScope) -> WebhookView:
    """One webhook, without its secret."""
    with read() as session:
        return WebhookView.of(webhooks.get(session, caller.tenant_id, webhook_id))


@router.delete("/{webhook_id}", status_code=204)
def delete_webhook(webhook_id: str, caller: AdminScope) -> None:
    """Send nothing more to it, what waits included, and forget its deliveries."""
    with write() as session:
        webhooks.delete(session, caller.tenant_id, webhook_id)


@router.get("/{webhook_id}/deliveries", response_model=Page[DeliveryView])
def list_deliveries(
    webhook_id: str, caller: AdminScope, limit: Limit = 50, after: After = None
) -> Page[DeliveryView]:
    """What was sent or waits, newest first. Of what the URL answered, only the status is kept."""
    limit = page_size(limit)
    with read() as session:
        webhook = webhooks.get(session, caller.tenant_id, webhook_id)
        rows = webhooks.page_of_deliveries(
            session, webhook, limit=limit + 1, after=check_cursor(after, "dlv")
        )
    return build_page(rows, limit, DeliveryView.of)
