"""Request and response bodies of webhooks and their deliveries."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from core.request_fields import Name, RequestModel
from core.tables import Delivery, Webhook
from job_kinds.request import Events, JobEvent, Url


class NewWebhook(RequestModel):
    url: Url = Field(description="HTTPS URL on the public internet.")
    events: Events | None = Field(None, description="Events to send. Default: all.")
    name: Name | None = Field(None, description="Name of the webhook. Default: none.")


class WebhookView(BaseModel):
    id: str = Field(description="Webhook id (`wh_…`).")
    name: str | None = Field(description="Name of the webhook.")
    url: str = Field(description="URL that receives the messages.")
    events: list[JobEvent] = Field(description="Events that are sent.")
    job: str | None = Field(description="Id of the only job it reports; null for all jobs.")
    created_at: datetime = Field(description="Time of creation.")
    disabled_at: datetime | None = Field(
        description="Time at which its URL answered 410 and the webhook was disabled."
    )
    links: dict[str, str] = Field(description="Paths of related resources.")

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookView":
        return cls.model_validate(_fields(webhook))


class CreatedWebhook(WebhookView):
    secret: str | None = Field(
        description="Secret that signs the messages. It is shown only once: null if a repeated "
        "request returns the first response."
    )

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
    secret: str = Field(description="Secret that signs the messages of all job webhooks.")


class DeliveryView(BaseModel):
    id: str = Field(description="Delivery id (`dlv_…`), sent in the header `webhook-id`.")
    type: JobEvent = Field(description="Event that the message reports.")
    job: str = Field(description="Job id (`job_…`).")
    state: Literal["pending", "delivered", "failed"] = Field(
        description="`pending` until a 2xx response, or until the service stops trying."
    )
    attempt: int = Field(description="Number of attempts so far.")
    next_at: datetime | None = Field(description="Time of the next attempt; null if there is none.")
    response_status: int | None = Field(
        description="HTTP status of the latest attempt; null if there was no response."
    )
    last_error: str | None = Field(description="Error of the latest attempt.")
    created_at: datetime = Field(description="Time of creation.")
    delivered_at: datetime | None = Field(description="Time of the successful attempt.")
    failed_at: datetime | None = Field(
        description="Time at which the service stopped trying to deliver it."
    )

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryView":
        final_state = (
            "delivered" if delivery.delivered_at else "failed" if delivery.failed_at else None
        )
        return cls(
            id=delivery.id,
            type=delivery.type,
            job=delivery.job_id,
            state=final_state or "pending",
            attempt=delivery.fencing_token,
            next_at=delivery.next_at,
            response_status=delivery.response_status,
            last_error=delivery.last_error,
            created_at=delivery.created_at,
            delivered_at=delivery.delivered_at,
            failed_at=delivery.failed_at,
        )
