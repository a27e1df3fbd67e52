"""Fields that the requests for all kinds of jobs have."""

from typing import Annotated, Literal

from pydantic import Field

from core.devices import RequestedDevice
from core.request_fields import RequestModel, Seed, Tags
from job_kinds.webhook import JobWebhookOrUrl

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
