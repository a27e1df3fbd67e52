"""Quotas of tenants that the database counts: jobs, uploads, stored bytes and computing time.

Space is reserved before it is used: the declared size of an upload until it is a dataset, and the
expected size of a generation job until it ends. What is not used is free again then.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core import usage
from core.database import cutoff
from core.errors import QuotaExceeded, StorageFull
from core.jobs.state_machine import IS_LIVE
from core.settings import get_settings
from core.storage import get_storage
from core.tables import Artifact, Job, JobState, Upload, UploadPart

DAY_S = 86_400


def check_new_job(session: Session, tenant_id: str, reserved_bytes: int = 0) -> None:
    """Check that the tenant may add a job that stores about `reserved_bytes`.

    Raises:
        QuotaExceeded: The tenant may not add it now.
        StorageFull: The disk has no room for it.
    """
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
    check_storage(session, tenant_id, reserved_bytes)
    _check_disk(session, reserved_bytes)


def check_new_upload(session: Session, tenant_id: str, size: int | None) -> None:
    """Check that the tenant may begin an upload; `size` is what it declares.

    Raises:
        QuotaExceeded: The tenant may not begin it now.
        StorageFull: The disk has no room for it.
    """
    limit = get_settings().quotas.uploads
    count = select(func.count()).where(Upload.tenant_id == tenant_id)
    if (session.scalar(count) or 0) >= limit:
        raise QuotaExceeded("uploads", limit, "uploads that are not datasets yet")
    _check_upload_bytes(session, tenant_id, size or 0)


def check_part(session: Session, upload: Upload, size: int) -> None:
    """Check that a part of this size may be stored. Raises QuotaExceeded or StorageFull."""
    parts = select(func.sum(UploadPart.bytes)).where(UploadPart.upload_id == upload.id)
    received = int(session.scalar(parts) or 0)
    reserved = max(upload.bytes or 0, received)
    if received + size > reserved:
        _check_upload_bytes(session, upload.tenant_id, received + size - reserved)


def _check_upload_bytes(session: Session, tenant_id: str, size: int) -> None:
    limit = get_settings().quotas.upload_bytes
    if size and uploaded_bytes(session, tenant_id) + size > limit:
        raise QuotaExceeded("upload_bytes", limit, "bytes in uploads that are not datasets yet")
    check_storage(session, tenant_id, size)
    _check_disk(session, size)


def check_storage(session: Session, tenant_id: str, size: int = 0) -> None:
    """Raise QuotaExceeded if the tenant may not store `size` more bytes."""
    limit = get_settings().quotas.stored_bytes
    if limit is None:
        return
    stored = usage.storage_usage(session, tenant_id)
    total = stored.datasets + stored.models + stored.artifacts + uploaded_bytes(session, tenant_id)
    total += _reserved_by_jobs(session, Job.tenant_id == tenant_id)
    if total + size > limit or total >= limit:
        raise QuotaExceeded("stored_bytes", limit, "stored bytes")


def uploaded_bytes(session: Session, tenant_id: str) -> int:
    """Return the bytes of uploads that are not datasets yet: declared, or received if more."""
    return sum(max(sizes) for sizes in _upload_sizes(session, Upload.tenant_id == tenant_id))


def _check_disk(session: Session, size: int) -> None:
    """Raise StorageFull unless the disk has room for `size` bytes next to all reservations."""
    free = get_storage().free_bytes() if size else None
    if free is None:
        return
    sizes = _upload_sizes(session, Upload.bytes.is_not(None))
    free -= sum(max(0, declared - received) for declared, received in sizes)
    free -= _reserved_by_jobs(session)
    if free - size < get_settings().min_free_disk_bytes:
        raise StorageFull("The server's disk has no room for this. Retry later, or with less.")


def _upload_sizes(session: Session, *filters: ColumnElement[bool]) -> Sequence[tuple[int, int]]:
    """Return the declared and the received bytes of each upload."""
    received = func.coalesce(func.sum(UploadPart.bytes), 0)
    query = select(func.coalesce(Upload.bytes, 0), received).outerjoin(
        UploadPart, UploadPart.upload_id == Upload.id
    )
    rows = session.execute(query.where(*filters).group_by(Upload.id))
    return [(int(declared), int(total)) for declared, total in rows]


def _reserved_by_jobs(session: Session, *filters: ColumnElement[bool]) -> int:
    """Return the bytes that jobs have reserved and not stored yet."""
    stored = func.coalesce(func.sum(Artifact.bytes), 0)
    query = select(Job.reserved_bytes, stored).outerjoin(Artifact, Artifact.job_id == Job.id)
    query = query.where(IS_LIVE, Job.reserved_bytes > 0, *filters).group_by(Job.id)
    return sum(max(0, reserved - int(bytes_)) for reserved, bytes_ in session.execute(query))
