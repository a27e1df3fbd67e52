"""Quotas of tenants that the database counts: jobs, uploads, stored bytes and computing time."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import usage
from core.database import cutoff
from core.errors import QuotaExceeded
from core.settings import get_settings
from core.tables import Job, JobState, Upload, UploadPart

DAY_S = 86_400


def check_new_job(session: Session, tenant_id: str) -> None:
    """Raise QuotaExceeded if the tenant may not add a job to the queues now."""
    quotas = get_settings().quotas
    waiting = select(func.count()).where(
        Job.tenant_id == tenant_id, Job.state.in_((JobState.QUEUED, JobState.PAUSED))
    )
    if (session.scalar(waiting) or 0) >= quotas.waiting_jobs:
        raise QuotaExceeded("waiting_jobs", quotas.waiting_jobs, "queued and paused jobs")
    if quotas.compute_seconds_per_day is not None:
        seconds = [
            func.coalesce(func.sum(Job.usage[name].as_float()), 0.0) for name in ("cpu_s", "gpu_s")
        ]
        spent = select(seconds[0] + seconds[1]).where(
            Job.tenant_id == tenant_id, Job.created_at > cutoff(session, DAY_S)
        )
        if (session.scalar(spent) or 0.0) >= quotas.compute_seconds_per_day:
            limit = quotas.compute_seconds_per_day
            raise QuotaExceeded(
                "compute_seconds_per_day", limit, "seconds of computing in 24 hours", retry_s=3_600
            )
    check_storage(session, tenant_id)


def check_new_upload(session: Session, tenant_id: str) -> None:
    """Raise QuotaExceeded if the tenant may not begin an upload now."""
    limit = get_settings().quotas.uploads
    count = select(func.count()).where(Upload.tenant_id == tenant_id)
    if (session.scalar(count) or 0) >= limit:
        raise QuotaExceeded("uploads", limit, "uploads that are not datasets yet")
    check_storage(session, tenant_id)


def check_part(session: Session, tenant_id: str, size: int) -> None:
    """Raise QuotaExceeded if the tenant may not store a part of this size."""
    limit = get_settings().quotas.upload_bytes
    if uploaded_bytes(session, tenant_id) + size > limit:
        raise QuotaExceeded("upload_bytes", limit, "bytes in uploads that are not datasets yet")
    check_storage(session, tenant_id, size)


def check_storage(session: Session, tenant_id: str, size: int = 0) -> None:
    """Raise QuotaExceeded if the tenant may not store `size` more bytes."""
    limit = get_settings().quotas.stored_bytes
    if limit is None:
        return
    stored = usage.storage_usage(session, tenant_id)
    total = stored.datasets + stored.models + stored.artifacts + uploaded_bytes(session, tenant_id)
    if total + size > limit or total >= limit:
        raise QuotaExceeded("stored_bytes", limit, "stored bytes")


def uploaded_bytes(session: Session, tenant_id: str) -> int:
    """Return the size of the parts of uploads that are not datasets yet."""
    total = select(func.sum(UploadPart.bytes)).where(UploadPart.tenant_id == tenant_id)
    return int(session.scalar(total) or 0)
