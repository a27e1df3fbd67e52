"""`/v1/usage`: resource usage of a tenant's jobs, its storage and its quotas."""

import re
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from app import quotas
from app.authentication import ReadScope
from app.fairness.route import FairRoute
from core import quotas as stored_quotas
from core import usage
from core.database import read
from core.errors import FieldError, ValidationFailed
from core.usage import Grouping

router = APIRouter(prefix="/v1", tags=["operations"], route_class=FairRoute)


def _require_date(text: object) -> object:
    """Raise ValueError for a number, which pydantic takes for seconds since 1970."""
    if isinstance(text, str) and not re.match(r"\d{4}-\d{2}-\d{2}", text):
        raise ValueError("must be a time in RFC 3339 format")
    return text


def _to_utc(time: datetime | None) -> datetime | None:
    """Raise ValueError for a time of the first or last year that UTC does not have."""
    try:
        return time.astimezone(UTC) if time is not None and time.tzinfo is not None else time
    except OverflowError:
        raise ValueError("must be in the years 1 to 9999 in UTC") from None


Timestamp = Annotated[
    datetime | None,
    BeforeValidator(_require_date),
    AfterValidator(_to_utc),
    Query(description="Time in RFC 3339 format, with a time zone."),
]


class JobsUsage(BaseModel):
    """Usage of all jobs of one kind, over all attempts."""

    kind: str = Field(description="Kind of the jobs.")
    day: date | None = Field(description="Day of their creation, with `by=day`.")
    key: str | None = Field(description="Id of the key that created them, with `by=key`.")
    jobs: int = Field(description="Number of jobs, in any state.")
    succeeded: int = Field(description="Number of succeeded jobs.")
    failed: int = Field(description="Number of failed jobs.")
    cpu_s: float = Field(description="CPU time in seconds.")
    wall_s: float = Field(description="Elapsed time in seconds.")
    gpu_s: float = Field(description="Time for which jobs held a GPU, in seconds.")
    items: int = Field(description="Number of samples that generation jobs have generated.")


class StoredUsage(BaseModel):
    """Current storage in bytes."""

    datasets: int = Field(description="Size of the datasets in bytes.")
    models: int = Field(description="Size of the models in bytes.")
    artifacts: int = Field(description="Size of the jobs' artifacts and checkpoints in bytes.")


class QuotaUsageView(BaseModel):
    """Current use of a quota of the calling key (`key_…`), or of all keys of its tenant."""

    name: str = Field(description="Name of the quota, as in errors with the code `quota_exceeded`.")
    limit: int | None = Field(
        description="Limit of the key or the tenant, or else of the service; null: no limit."
    )
    used: int = Field(
        description="Current use. Rates and concurrent requests are those of the API process that "
        "responds."
    )
    window_s: int | None = Field(
        description="Seconds after which the use no longer counts; null: it counts until it ends."
    )


class UsageReport(BaseModel):
    since: datetime | None = Field(description="Start of the period (inclusive).")
    until: datetime = Field(description="End of the period (exclusive).")
    jobs: list[JobsUsage] = Field(description="Usage by kind of job.")
    stored: StoredUsage = Field(description="Current storage.")
    quotas: list[QuotaUsageView] = Field(
        description="Current use of the quotas of the tenant and of the key."
    )


@router.get("/usage", response_model=UsageReport)
def read_usage(
    caller: ReadScope,
    since: Timestamp = None,
    until: Timestamp = None,
    by: Annotated[
        Grouping | None,
        Query(description="Divide by `day` (UTC) or by the `key` that created the jobs, too."),
    ] = None,
) -> UsageReport:
    """Return the usage of a period by kind of job, the current storage and the use of quotas.

    The period selects jobs by their creation. Without `since`, it has no start. Without `until`,
    it ends now.
    """
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            error = FieldError(
                f"/{name}",
                "timezone_missing",
                "Needs a time zone, for example 2030-01-01T00:00:00Z.",
            )
            raise ValidationFailed(f"`{name}` has no time zone.", field_errors=[error])
    until = until or datetime.now(UTC)
    with read() as session:
        jobs = usage.job_usage(session, caller.tenant_id, since=since, until=until, by=by)
        stored = usage.storage_usage(session, caller.tenant_id)
        used = quotas.usage_of(caller) + stored_quotas.usage_of(session, caller.tenant_id)
    return UsageReport(
        since=since,
        until=until,
        jobs=[JobsUsage.model_validate(row, from_attributes=True) for row in jobs],
        stored=StoredUsage.model_validate(stored, from_attributes=True),
        quotas=[QuotaUsageView.model_validate(each, from_attributes=True) for each in used],
    )
