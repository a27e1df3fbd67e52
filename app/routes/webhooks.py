"""`/v1/webhooks`: webhooks that report job events to the tenant's servers."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.authentication import AdminScope
from app.fairness.route import FairRoute
from app.idempotent_requests import (
    IdempotencyKeyHeader,
    SaveResponse,
    run_idempotently,
)
from app.schemas.pagination import After, Limit, Page, build_page, check_cursor, page_size
from app.schemas.webhooks import (
    CreatedWebhook,
    DeliveryView,
    NewWebhook,
    SigningSecret,
    WebhookView,
)
from core import audit, webhooks
from core.database import read, write

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=FairRoute)


@router.post("", status_code=201, response_model=CreatedWebhook)
def create_webhook(
    request: NewWebhook, caller: AdminScope, idempotency_key: IdempotencyKeyHeader = None
) -> Response:
    """Create a webhook that POSTs the events of all jobs to a URL (Standard Webhooks 1.0.0).

    The body is `{"type", "timestamp", "data": {id, kind, state, name, result, error, links}}`,
    where `data` has fields of `GET /v1/jobs/{id}`. Verify each message: `webhook-signature` is
    `v1,` followed by the base64 of an HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`.
    Its key is the base64-decoded part of the secret after `whsec_`. Only the response to this
    request shows the secret.

    Any 2xx response within 10 seconds confirms a message; 410 disables the webhook. After any other
    response, redirects included, the message is sent again with the same `webhook-id` after about
    5 s, 30 s, 2 min, 10 min, 1 h, 6 h and 24 h. Messages may be repeated or out of order.
    """

    def create(save: SaveResponse) -> tuple[int, CreatedWebhook]:
        webhooks.check_url(request.url, pointer="/url", tenant_id=caller.tenant_id)
        new = webhooks.NewWebhook(request.url, request.events or webhooks.EVENTS, request.name)
        with write() as session:
            view = CreatedWebhook.of(webhooks.create(session, caller.tenant_id, new))
            audit.record(session, caller, "webhook.create", view.id)
            save(session, 201, view.model_copy(update={"secret": None}))
        return 201, view

    return run_idempotently(caller, idempotency_key, ["POST /v1/webhooks", request], create)


@router.get("", response_model=Page[WebhookView])
def list_webhooks(
    caller: AdminScope,
    limit: Limit = 50,
    after: After = None,
    job: Annotated[
        str | None,
        Query(
            description="List only the webhook of this job. Default: list the tenant's webhooks."
        ),
    ] = None,
) -> Page[WebhookView]:
    """List the tenant's webhooks, newest first; or, with `job`, the webhook of one job."""
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
    """Return the secret that signs messages to job webhooks (`webhook` of a job's request).

    All job webhooks of a tenant share one secret.
    """
    with write() as session:
        audit.record(session, caller, "webhook.read_secret", caller.tenant_id)
        return SigningSecret(secret=webhooks.signing_secret(session, caller.tenant_id))


@router.get("/{webhook_id}", response_model=WebhookView)
def read_webhook(webhook_id: str, caller: AdminScope) -> WebhookView:
    """Return a webhook, without its secret."""
    with read() as session:
        return WebhookView.of(webhooks.get(session, caller.tenant_id, webhook_id))


@router.delete("/{webhook_id}", status_code=204)
def delete_webhook(webhook_id: str, caller: AdminScope) -> None:
    """Delete a webhook and its deliveries. Pending messages are not sent."""
    with write() as session:
        audit.record(session, caller, "webhook.delete", webhook_id)
        webhooks.delete(session, caller.tenant_id, webhook_id)


@router.get("/{webhook_id}/deliveries", response_model=Page[DeliveryView])
def list_deliveries(
    webhook_id: str, caller: AdminScope, limit: Limit = 50, after: After = None
) -> Page[DeliveryView]:
    """List the deliveries of a webhook, newest first.

    Only the status of a response is stored, not its body.
    """
    limit = page_size(limit)
    with read() as session:
        webhook = webhooks.get(session, caller.tenant_id, webhook_id)
        rows = webhooks.page_of_deliveries(
            session, webhook, limit=limit + 1, after=check_cursor(after, "dlv")
        )
    return build_page(rows, limit, DeliveryView.of)
