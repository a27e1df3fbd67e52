"""Webhooks and their deliveries, as they cross HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from app.request_body import RequestModel
from app.schemas.types import Name
from core import webhooks
from core.tables import Delivery, Webhook

JobEvent = Literal["job.running", "job.paused", "job.succeeded", "job.failed", "job.cancelled"]
assert set(webhooks.EVENTS) == set(JobEvent.__args__)  # type: ignore[attr-defined]  # noqa: S101 - in step

Url = Annotated[str, StringConstraints(min_length=1, max_length=2_048)]
Events = Annotated[list[JobEvent], Field(min_length=1)]


class JobWebhook(RequestModel):
    """A webhook for one job; signed with the secret of `GET /v1/webhooks/secret`."""

    url: Url
    events: Events | None = Field(None, description="default: all")


def _from_text(given: Any) -> Any:
    return {"url": given} if isinstance(given, str) else given


# A plain URL stands for {"url": …}.
JobWebhookOrUrl = Annotated[
    JobWebhook, BeforeValidator(_from_text, json_schema_input_type=JobWebhook | Url)
]


class NewWebhook(RequestModel):
    url: Url = Field(description="https, and on the public internet")
    events: Events | None = Field(None, description="default: all")
    name: Name | None = None


class WebhookView(BaseModel):
    id: str
    name: str | None
    url: str
    events: list[JobEvent]
    job: str | None = Field(description="the job that it is for, if it is for one")
    created_at: datetime
    disabled_at: datetime | None = Field(description="when its URL answered 410")
    links: dict[str, str]

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookView":
        return cls.model_validate(_fields(webhook))


class CreatedWebhook(WebhookView):
    secret: str = Field(description="checks the signatures; shown this once")

    @classmethod
    def of(cls, webhook: Webhook) -> "CreatedWebhook":
        return cls.model_validate(_fields(webhook) | {"secret": webhook.secret})


def _fields(webhook: Webhook) -> dict[str, Any]:
    path = f"/v1/webhooks/{webhook.id}"
    return {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "events": webhook.events,
        "job": webhook.job_id,
        "created_at": webhook.created_at,
        "disabled_at": webhook.disabled_at,
        "links": {"self": path, "deliveries": f"{path}/deliveries"},
    }


class SigningSecret(BaseModel):
    secret: str


class DeliveryView(BaseModel):
    id: str = Field(description="the header `webhook-id`")
    type: JobEvent
    job: str
    state: Literal["pending", "delivered", "failed"]
    attempt: int = Field(description="attempts so far")
    next_at: datetime | None = Field(description="when it is tried next")
    response_status: int | None = Field(description="of the latest attempt, if it was answered")
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None
    failed_at: datetime | None = Field(description="when it was given up")

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryView":
        ended = "delivered" if delivery.delivered_at else "failed" if delivery.failed_at else None
        return cls(
            id=delivery.id,
            type=delivery.type,
            job=delivery.job_id,
            state=ended or "pending",
            attempt=delivery.attempt,
            next_at=delivery.next_at,
            response_status=delivery.response_status,
            last_error=delivery.last_error,
            created_at=delivery.created_at,
            delivered_at=delivery.delivered_at,
            failed_at=delivery.failed_at,
        )
