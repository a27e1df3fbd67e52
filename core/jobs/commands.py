"""Commands of clients: create, cancel, pause, resume and retry jobs."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import quotas, webhooks
from core.database import clock
from core.errors import NotFound
from core.ids import new_id
from core.jobs.devices import initial_kind, kept_kind
from core.jobs.events import record_state
from core.jobs.state_machine import TERMINAL, check_action, shown_state
from core.settings import get_settings
from core.tables import Checkpoint, Job, JobKind, JobState, Json

# Jobs are ordered by creation time, shifted by priority. A job that has waited long enough
# therefore goes first whatever its priority, and its row need not be updated while it waits.
PRIORITY_OFFSET_S = {"low": 3_600.0, "normal": 0.0, "high": -3_600.0}


@dataclass(frozen=True)
class NewJob:
    kind: JobKind
    name: str
    dataset_id: str | None
    request: Json
    resolved: Json
    queue: str = field(kw_only=True)
    model_id: str | None = None
    tags: Json = field(default_factory=dict)
    priority: str = "normal"
    device: str = "auto"
    traceparent: str | None = None
    retry_of: str | None = None
    key_id: str | None = None
    warnings: list[Json] = field(default_factory=list)
    automatic: bool = False
    reserved_bytes: int = 0  # of stored files, reserved until the job ends


def create(session: Session, tenant_id: str, new: NewJob) -> Job:
    """Add a queued job; after the commit, call `core.broker.publish` and `mark_notified`.

    Raises:
        QuotaExceeded: The tenant has too many jobs, or has computed or stored too much.
        LargerThanQuota: The tenant may never store as much.
        StorageFull: The disk has no room for its files.
        Unavailable: The queues are full.
    """
    quotas.check_new_job(session, tenant_id, new.reserved_bytes, automatic=new.automatic)
    job = Job(
        id=new_id("job"),
        tenant_id=tenant_id,
        kind=new.kind,
        queue=new.queue,
        name=new.name,
        dataset_id=new.dataset_id,
        model_id=new.model_id,
        request=new.request,
        resolved=new.resolved,
        warnings=new.warnings,
        tags=new.tags,
        priority=new.priority,
        priority_at=clock(PRIORITY_OFFSET_S[new.priority]),
        device=new.device,
        device_kind=initial_kind(new.device),
        traceparent=new.traceparent,
        retry_of=new.retry_of,
        key_id=new.key_id,
        automatic=new.automatic,
        reserved_bytes=new.reserved_bytes,
        max_worker_losses=get_settings().max_worker_losses,
    )
    session.add(job)
    session.flush()  # the database sets the times
    if "webhook" in new.request:
        webhooks.add_job_webhook(session, job)
    record_state(session, job, "queued")
    return job


def mark_notified(session: Session, job_ids: Sequence[str]) -> None:
    """Record that the notifications of these queued jobs were sent."""
    session.execute(
        update(Job)
        .where(Job.id.in_(job_ids), Job.state == JobState.QUEUED)
        .values(notified_at=clock())
    )


def cancel(session: Session, tenant_id: str, job_id: str) -> Job:
    """Cancel a job that is not running; flag a running one, whose worker sees it in a heartbeat."""
    job = _lock_for_action(session, tenant_id, job_id, "cancel")
    job.cancel_requested = True
    if job.state is not JobState.RUNNING:
        job.state = JobState.CANCELLED
        job.finished_at = clock()
    return _record_change(session, job)


def cancel_many(
    session: Session,
    tenant_id: str,
    *,
    kinds: Sequence[JobKind],
    states: Sequence[JobState],
    dataset_id: str | None = None,
    model_id: str | None = None,
    key_id: str | None = None,
    limit: int,
) -> list[str]:
    """Cancel up to `limit` jobs in these states, the oldest first; return their ids."""
    matches = select(Job.id).where(
        Job.tenant_id == tenant_id,
        Job.kind.in_(kinds),
        Job.state.in_(states),
        ~Job.cancel_requested,
    )
    filters = ((Job.dataset_id, dataset_id), (Job.model_id, model_id), (Job.key_id, key_id))
    for column, value in filters:
        if value is not None:
            matches = matches.where(column == value)
    job_ids = list(session.scalars(matches.order_by(Job.id).limit(limit).with_for_update()))
    for job_id in job_ids:
        cancel(session, tenant_id, job_id)
    return job_ids


def pause(session: Session, tenant_id: str, job_id: str) -> Job:
    """Pause a queued job; flag a running one, whose worker saves it and confirms the pause."""
    job = _lock_for_action(session, tenant_id, job_id, "pause")
    if job.state is JobState.RUNNING:
        job.pause_requested = True
    else:
        job.state = JobState.PAUSED
    return _record_change(session, job)


def resume(session: Session, tenant_id: str, job_id: str) -> Job:
    """Queue a paused job again; publish it after the commit."""
    job = _lock_for_action(session, tenant_id, job_id, "resume")
    job.state, job.notified_at = JobState.QUEUED, None
    job.queued_at = job.available_at = clock()
    job.device_kind = kept_kind()
    return _record_change(session, job)


def retry(session: Session, tenant_id: str, job_id: str, key_id: str | None = None) -> Job:
    """Create a copy of an ended job, which starts from the beginning; publish it after commit."""
    old = _lock_for_action(session, tenant_id, job_id, "retry")
    return create(
        session,
        tenant_id,
        NewJob(
            kind=old.kind,
            name=old.name,
            dataset_id=old.dataset_id,
            request=old.request,
            resolved=old.resolved,
            queue=old.queue,
            warnings=old.warnings,
            model_id=old.model_id,
            tags=old.tags,
            priority=old.priority,
            device=old.device,
            traceparent=old.traceparent,
            retry_of=old.id,
            key_id=key_id,
            reserved_bytes=old.reserved_bytes,
        ),
    )


def detach_dataset(session: Session, tenant_id: str, dataset_id: str) -> None:
    """Remove the reference to the dataset from ended jobs, so that it can be deleted."""
    session.execute(
        update(Job)
        .where(Job.tenant_id == tenant_id, Job.dataset_id == dataset_id, Job.state.in_(TERMINAL))
        .values(dataset_id=None)
    )


def delete_checkpoint(session: Session, job_id: str, step: int) -> list[str]:
    """Delete a checkpoint of an ended job; return the keys of its files to delete after commit."""
    rows = session.scalars(
        select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.step == step)
    ).all()
    for row in rows:
        session.delete(row)
    return [file["key"] for row in rows for file in row.files.values()]


def _lock_for_action(session: Session, tenant_id: str, job_id: str, action: str) -> Job:
    """Return the job, locked until the commit, if its state allows the action."""
    job = session.scalar(
        select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id).with_for_update()
    )
    if job is None:
        raise NotFound(f"Job {job_id} does not exist.")
    check_action(job, action)
    return job


def _record_change(session: Session, job: Job) -> Job:
    job.version += 1
    session.flush()
    session.refresh(job)
    record_state(session, job, shown_state(job))
    return job
