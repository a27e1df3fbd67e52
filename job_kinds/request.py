"""Fields that the requests for all kinds of jobs have, and the warnings in their plans."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, StringConstraints

from core import webhooks
from core.devices import RequestedDevice
from core.request_fields import RequestModel, Seed, Tags

Priority = Annotated[
    Literal["low", "normal", "high"],
    Field(
        description="Priority in the queue. `high` moves a job ahead by one hour of waiting time, "
        "`low` moves it back by one hour. Default: normal."
    ),
]

ModelReference = Annotated[
    str,
    Field(
        min_length=1,
        max_length=256,
        description="Model: `name` (its newest version), `name:version`, `name@alias` or `mdl_…`.",
    ),
]


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


class JobRequest(RequestModel):
    kind: str  # the name of the kind in each subclass
    seed: Seed | None = Field(
        None, description="Random seed. Default: a random one, returned in `resolved`."
    )
    priority: Priority = "normal"
    device: RequestedDevice = Field(
        "auto",
        description="Device to run on: `cpu`, `gpu`, or `auto` (default) for that of the first "
        "free worker. A job with `auto` stays on this kind of device once something is saved.",
    )
    tags: Tags = {}
    webhook: JobWebhookOrUrl | None = Field(
        None, description="Webhook for this job, in addition to the tenant's webhooks."
    )
    validate_only: bool = Field(
        False,
        description="Return the resolved configuration, for some kinds with an estimate, without "
        "creating a job. Default: false.",
    )


class WarningView(BaseModel):
    code: str = Field(
        description="Stable code of the warning, for use in programs, such as `few_holdout_items`."
    )
    message: str = Field(description="Explanation for people.")
