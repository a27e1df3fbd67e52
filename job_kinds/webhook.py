"""Webhook of one job, as a part of the request for the job."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from core import webhooks
from core.request_fields import RequestModel

JobEvent = Literal["job.running", "job.paused", "job.succeeded", "job.failed", "job.cancelled"]
assert set(webhooks.EVENTS) == set(JobEvent.__args__)  # type: ignore[attr-defined]  # noqa: S101 - kept in sync

Url = Annotated[str, StringConstraints(min_length=1, max_length=2_048)]
Events = Annotated[list[JobEvent], Field(min_length=1)]


class JobWebhook(RequestModel):
    """A webhook for one job, signed with the secret from `GET /v1/webhooks/secret`."""

    url: Url = Field(description="HTTPS URL on the public internet.")
    events: Events | None = Field(None, description="Events to send. Default: all.")


def _wrap_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


# A plain URL is short for {"url": …}.
JobWebhookOrUrl = Annotated[
    JobWebhook, BeforeValidator(_wrap_url, json_schema_input_type=JobWebhook | Url)
]
