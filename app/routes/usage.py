"""`/v1/usage`: what a tenant's jobs have used, and what is stored for it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.authentication import ReadScope
from core import usage
from core.database import read
from core.errors import FieldError, ValidationFailed

router = APIRouter(prefix="/v1", tags=["operations"])

Timestamp = Annotated[datetime | None, Query(description="RFC 3339, with a zone")]


class JobsUsage(BaseModel):
    """Of one kind, over all attempts."""

    kind: str
    jobs: int
    succeeded: int
    failed: int
    cpu_s: float
    wall_s: float
    items: int = Field(description="that generation jobs have made")


class StoredUsage(BaseModel):
    """In bytes, now."""

    datasets: int
    models: int
    artifacts: int


class UsageReport(BaseModel):
    since: datetime | None
    until: datetime
    jobs: list[JobsUsage]
    stored: StoredUsage


@router.get("/usage", response_model=UsageReport)
def read_usage(caller: ReadScope, since: Timestamp = None, until: Timestamp = None) -> UsageReport:
    """By kind of job, of those that were made from `since` until before `until`; and what is
    stored."""
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and moment.tzinfo is None:
            fault = FieldError(
                f"/{name}", "timezone_missing", "say of which zone: 2030-01-01T00:00:00Z"
            )
            raise ValidationFailed(f"`{name}` has no zone", field_errors=[fault])
    until = until or datetime.now(UTC)
    with read() as session:
        jobs = usage.job_usage(session, caller.tenant_id, since=since, until=until)
        stored = usage.storage_usage(session, caller.tenant_id)
    return UsageReport(
        since=since,
        until=until,
        jobs=[JobsUsage.model_validate(row, from_attributes=True) for row in jobs],
        stored=StoredUsage.model_validate(stored, from_attributes=True),
    )
