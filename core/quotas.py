"""Quotas of tenants that the database counts: jobs, uploads, stored bytes and computing time.

Space is reserved before it is used: the declared size of an upload until it is a dataset, and the
expected size of a generation job until it ends. What is not used is free again then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, TextClause, bindparam, func, select
from sqlalchemy.orm import Session

from core import own_quotas, usage
from core.database import cutoff
from core.errors import LargerThanQuota, QuotaExceeded, StorageFull, Unavailable
from core.jobs.state_machine import IS_LIVE
from core.settings import Quotas, get_settings
from core.storage import get_storage
from core.tables import Artifact, Job, JobKind, JobState, Upload, UploadPart

DAY_S = 86_400
_WAITING = (JobState.QUEUED, JobState.PAUSED)


@dataclass(frozen=True)
class QuotaUsage:
    """Current use of a tenant's quota."""

    name: str
    limit: int | None  # None: no limit
    used: int
    window_s: int | None = None  # None: the use does not end with time


def _count_chosen(*filters: ColumnElement[bool] | TextClause) -> ColumnElement[int]:
    """Count jobs that clients have queued, without the evaluations that follow trainings.

    Two counts from indexes are faster than one that reads all rows.
    """
    automatic = (Job.kind == JobKind.EVALUATION, Job.automatic)
    counts = (select(func.count()).where(*filters, *each) for each in ((), automatic))
    every, automatic_ones = (count.scalar_subquery() for count in counts)
    return every - automatic_ones


# The jobs that wait of one tenant, the queued ones of all tenants, and quotas of the one tenant.
_JOB_COUNTS = select(
    _count_chosen(Job.tenant_id == bindparam("tenant_id"), Job.state.in_(_WAITING)),
    _count_chosen(IS_LIVE, Job.state == JobState.QUEUED),
    own_quotas.OF_TENANT.scalar_subquery(),
)


def check_new_job(
    session: Session, tenant_id: str, reserved_bytes: int = 0, *, automatic: bool = False
) -> None:
    """Check that the tenant may add a job that stores about `reserved_bytes`.

    An automatic job is not limited by the number of those that wait.

    Raises:
        QuotaExceeded: The tenant may not add it now.
        LargerThanQuota: The tenant may never store as much.
        StorageFull: The disk has no room for it.
        Unavailable: The queues are full.
    """
    waiting, queued, own = session.execute(_JOB_COUNTS, {"tenant_id": tenant_id}).one()
    quotas, max_queued = own_quotas.effective(own), get_settings().limits.queued_jobs
    if waiting >= quotas.waiting_jobs and not automatic:
        raise QuotaExceeded("waiting_jobs", quotas.waiting_jobs, "queued and paused jobs")
    if queued >= max_queued and not automatic:
        raise Unavailable(
            f"{queued} jobs are queued, which is the limit. Retry later.",
            code="queue_full",
            headers={"Retry-After": "60"},
        )
    limit = quotas.compute_seconds_per_day
    if limit is not None and _compute_seconds(session, tenant_id) >= limit:
        raise QuotaExceeded(
            "compute_seconds_per_day", limit, "seconds of computing in 24 hours", retry_s=3_600
        )
    _check_storage(session, tenant_id, quotas, reserved_bytes)
    if reserved_bytes:
        _check_disk(session, reserved_bytes)


def check_new_upload(session: Session, tenant_id: str, size: int | None) -> None:
    """Check that the tenant may begin an upload; `size` is what it declares.

    Raises:
        QuotaExceeded: The tenant may not begin it now.
        LargerThanQuota: The tenant may never store as much.
        StorageFull: The disk has no room for it.
    """
    limit = own_quotas.of_tenant(session, tenant_id).uploads
    if _count_uploads(session, tenant_id) >= limit:
        raise QuotaExceeded(
            "uploads",
            limit,
            "uploads that are not datasets yet",
            remedy="Create datasets from them, or delete some.",
        )
    _check_upload_bytes(session, tenant_id, size or 0, size or 0)


def check_part(session: Session, upload: Upload, size: int) -> None:
    """Check that a part of this size may be stored.

    Raises:
        QuotaExceeded: The tenant may not store it now.
        LargerThanQuota: The tenant may never store as much as the parts of this upload.
        StorageFull: The disk has no room for it.
    """
    parts = select(func.sum(UploadPart.bytes)).where(UploadPart.upload_id == upload.id)
    received = int(session.scalar(parts) or 0)
    reserved = max(upload.bytes or 0, received)
    if received + size > reserved:
        more = received + size - reserved
        _check_upload_bytes(session, upload.tenant_id, more, received + size)


def _check_upload_bytes(session: Session, tenant_id: str, size: int, total: int) -> None:
    """Check that an upload, which then has `total` bytes, may have `size` more."""
    quotas = own_quotas.of_tenant(session, tenant_id)
    limit = quotas.upload_bytes
    if total > limit:
        raise LargerThanQuota("upload_bytes", limit, total)
    if size and uploaded_bytes(session, tenant_id) + size > limit:
        raise QuotaExceeded("upload_bytes", limit, "bytes in uploads that are not datasets yet")
    _check_storage(session, tenant_id, quotas, size, total)
    if size:
        _check_disk(session, size)


def check_storage(session: Session, tenant_id: str, size: int = 0) -> None:
    """Raise QuotaExceeded or LargerThanQuota if the tenant may not store `size` more bytes."""
    _check_storage(session, tenant_id, own_quotas.of_tenant(session, tenant_id), size)


def _check_storage(
    session: Session, tenant_id: str, quotas: Quotas, size: int, total: int | None = None
) -> None:
    """Check that `size` more bytes may be stored, of something that then has `total`."""
    limit = quotas.stored_bytes
    if limit is None:
        return
    total = size if total is None else total
    if total > limit:
        raise LargerThanQuota("stored_bytes", limit, total)
    stored = _stored_bytes(session, tenant_id)
    if stored + size > limit or stored >= limit:
        raise QuotaExceeded(
            "stored_bytes",
            limit,
            f"stored bytes, of which {stored} are used",
            remedy="Delete datasets, models or results of jobs.",
        )


def usage_of(session: Session, tenant_id: str) -> list[QuotaUsage]:
    """Return what the tenant uses of these quotas."""
    quotas = own_quotas.of_tenant(session, tenant_id)
    spent = round(_compute_seconds(session, tenant_id))
    of_tenant = Job.tenant_id == tenant_id
    waiting, running = session.execute(
        select(
            _count_chosen(of_tenant, Job.state.in_(_WAITING)),
            select(func.count()).where(of_tenant, Job.state == JobState.RUNNING).scalar_subquery(),
        )
    ).one()
    return [
        QuotaUsage("uploads", quotas.uploads, _count_uploads(session, tenant_id)),
        QuotaUsage("upload_bytes", quotas.upload_bytes, uploaded_bytes(session, tenant_id)),
        QuotaUsage("waiting_jobs", quotas.waiting_jobs, waiting),
        QuotaUsage("running_jobs", quotas.running_jobs, running),
        QuotaUsage("stored_bytes", quotas.stored_bytes, _stored_bytes(session, tenant_id)),
        QuotaUsage("compute_seconds_per_day", quotas.compute_seconds_per_day, spent, DAY_S),
    ]


def _compute_seconds(session: Session, tenant_id: str) -> float:
    """Return the CPU and GPU seconds of the jobs that were created in the last 24 hours."""
    cpu_s, gpu_s = (
        func.coalesce(func.sum(Job.usage[name].as_float()), 0.0) for name in ("cpu_s", "gpu_s")
    )
    spent = select(cpu_s + gpu_s).where(
        Job.tenant_id == tenant_id, Job.created_at > cutoff(session, DAY_S)
    )
    return session.scalar(spent) or 0.0


def _count_uploads(session: Session, tenant_id: str) -> int:
    return session.scalar(select(func.count()).where(Upload.tenant_id == tenant_id)) or 0


def _stored_bytes(session: Session, tenant_id: str) -> int:
    """Return the stored bytes, with uploads and with what is reserved."""
    stored = usage.storage_usage(session, tenant_id)
    total = stored.datasets + stored.models + stored.artifacts + uploaded_bytes(session, tenant_id)
    return total + _reserved_by_jobs(session, Job.tenant_id == tenant_id)


def uploaded_bytes(session: Session, tenant_id: str) -> int:
    """Return the bytes of uploads that are not datasets yet: declared, or received if more."""
    return sum(max(sizes) for sizes in _upload_sizes(session, Upload.tenant_id == tenant_id))


def _check_disk(session: Session, size: int) -> None:
    """Raise StorageFull unless the disk has room for `size` bytes next to all reservations."""
    free = get_storage().free_bytes()
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
