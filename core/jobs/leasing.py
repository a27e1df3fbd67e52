"""Operations of workers: claim a job, report progress, save checkpoints and end the job.

Every operation after the claim requires its lease (see core.leases) and raises LeaseLost without
it. A lease ends when the job leaves the state `running`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from core import leases
from core.database import clock
from core.devices import DeviceKind
from core.errors import JobError
from core.ids import new_id
from core.jobs import fairness
from core.jobs.devices import kept_kind, may_run_on
from core.jobs.events import NewEvent, record_events, record_state
from core.jobs.losses import count_loss
from core.jobs.state_machine import IS_LIVE
from core.jobs.sweeper import backoff_s, requeue_lost
from core.settings import get_settings
from core.storage import StoredObject, key_of
from core.tables import Artifact, Checkpoint, Job, JobState, Json, Model

DEVICE_LOST = JobError(
    "device_lost",
    "GPUs failed several times while they ran the job, without a new checkpoint. Check the "
    "workers' logs before you retry the job.",
)


@dataclass(frozen=True)
class Claim:
    tenant_id: str
    job_id: str
    fencing_token: int
    owner: str

    def key_of(self, file: str) -> str:
        """Return the key of a file in the storage, which no other claim of the job writes."""
        return key_of(self.tenant_id, "jobs", self.job_id, str(self.fencing_token), file)


@dataclass(frozen=True)
class StopRequests:
    """Requests of clients to stop a job, returned by each heartbeat."""

    cancel: bool
    pause: bool


@dataclass(frozen=True)
class Heartbeat:
    """Progress report of a worker, with the events since the last one.

    `step_timeout_s` is the time after which the current step counts as stalled.
    """

    phase: str
    step: int = 0
    step_timeout_s: float = 1_800.0
    progress: Json = field(default_factory=dict)
    usage: Json = field(default_factory=dict)
    events: Sequence[NewEvent] = ()


def claim(
    session: Session, job_id: str, owner: str, kind: DeviceKind = DeviceKind.CPU
) -> tuple[Claim, Job] | None:
    """Claim the job for a worker with this kind of device.

    Returns None if the job is held, has ended, is not due yet or needs another kind.
    """
    requeue_lost(session, job_id)  # count an expired lease as a worker loss before taking it over
    job = leases.acquire(
        session,
        Job,
        Job.id == job_id,
        Job.state == JobState.QUEUED,
        ~Job.cancel_requested,
        Job.available_at <= clock(),
        may_run_on(kind),
        seconds=get_settings().lease_seconds,
        state=JobState.RUNNING,
        owner=owner,
        heartbeat_at=clock(),
        started_at=clock(),
        step_deadline_at=clock(Heartbeat.step_timeout_s),
        phase="preparing",
        device_kind=kind,
        version=Job.version + 1,
    )
    if job is None:
        return None
    record_state(session, job, "running", attempt=job.fencing_token, device=kind.value)
    return Claim(job.tenant_id, job.id, job.fencing_token, owner), job


def claim_next(
    session: Session, queues: Sequence[str], owner: str, kind: DeviceKind = DeviceKind.CPU
) -> tuple[Claim, Job] | None:
    """Claim the first due job of the next tenant for a worker with this kind of device.

    Returns None if no job in the queues is due.
    """
    queued = (Job.state == JobState.QUEUED) & (Job.available_at <= clock())
    expired = (Job.state == JobState.RUNNING) & leases.has_expired(Job)
    is_due = (
        IS_LIVE,
        Job.queue.in_(queues),
        may_run_on(kind) | expired,
        queued & fairness.may_start() | expired,
    )
    due = (
        select(Job.id)
        .where(*is_due)
        .order_by(Job.priority_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)  # another worker is claiming a locked job
    )
    tried: list[str] = []
    for tenant_id in fairness.tenants_in_turn(session, is_due):
        of_tenant = due.where(Job.tenant_id == tenant_id)
        while len(tried) < 10 and (job_id := session.scalar(of_tenant.where(Job.id.not_in(tried)))):
            if (claimed := claim(session, job_id, owner, kind)) is not None:
                fairness.record_turn(session, tenant_id)
                return claimed
            tried.append(job_id)
    return None


def heartbeat(session: Session, claim: Claim, beat: Heartbeat) -> StopRequests:
    """Renew the lease, store progress and events, and return stop requests."""
    changes: dict[str, Any] = {"phase": beat.phase, "step": beat.step}
    if beat.progress:
        changes["progress"] = beat.progress
    if beat.usage:
        changes["usage"] = beat.usage
    has_advanced = (Job.step != beat.step) | (Job.phase != beat.phase)
    job = leases.renew(
        session,
        Job,
        claim.fencing_token,
        Job.id == claim.job_id,
        seconds=get_settings().lease_seconds,
        heartbeat_at=clock(),
        step_deadline_at=case(
            (has_advanced, clock(beat.step_timeout_s)), else_=Job.step_deadline_at
        ),
        **changes,
    )
    record_events(session, claim.tenant_id, claim.job_id, beat.events)
    return StopRequests(cancel=job.cancel_requested, pause=job.pause_requested)


def add_warning(session: Session, claim: Claim, warning: Json) -> None:
    """Add a warning to those of the job's plan, unless an earlier attempt has added it."""
    job = fenced_update(session, claim)
    if warning not in job.warnings:
        job.warnings = [*job.warnings, warning]


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint to add.

    `files["state"]` resumes the training; `files["model"]` holds the weights for sampling, which
    `manifest` describes.
    """

    step: int
    files: dict[str, StoredObject]
    manifest: Json = field(default_factory=dict)
    metrics: Json = field(default_factory=dict)
    score: float | None = None


def add_checkpoint(session: Session, claim: Claim, new: NewCheckpoint) -> Checkpoint:
    """Add the row of a checkpoint whose files are stored, and reset the counts of losses.

    Returns the existing row if this claim has added this step already.
    """
    fenced_update(session, claim, step=new.step, worker_losses=0, device_losses=0)
    existing = session.scalar(
        select(Checkpoint).where(
            Checkpoint.job_id == claim.job_id,
            Checkpoint.fencing_token == claim.fencing_token,
            Checkpoint.step == new.step,
        )
    )
    if existing is not None:
        return existing
    checkpoint = Checkpoint(
        id=new_id("ckpt"),
        tenant_id=claim.tenant_id,
        job_id=claim.job_id,
        fencing_token=claim.fencing_token,
        step=new.step,
        files={name: stored.to_dict() for name, stored in new.files.items()},
        metrics=new.metrics,
        manifest=new.manifest,
        score=new.score,
    )
    session.add(checkpoint)
    event = NewEvent("checkpoint", {"step": new.step}, new.step)
    record_events(session, claim.tenant_id, claim.job_id, [event])
    return checkpoint


def drop_checkpoints(session: Session, claim: Claim, *, keep_last: int) -> list[str]:
    """Delete all checkpoints but the newest `keep_last`, the best, and those that are models.

    Returns the keys of their files, to delete after the commit.
    """
    fenced_update(session, claim)
    query = select(Checkpoint).where(Checkpoint.job_id == claim.job_id)
    rows = list(
        session.scalars(query.order_by(Checkpoint.step.desc(), Checkpoint.fencing_token.desc()))
    )
    promoted = set(session.scalars(select(Model.step).where(Model.job_id == claim.job_id)))
    best = max((row.score for row in rows if row.score is not None), default=None)
    dropped = [
        row
        for row in rows[keep_last:]
        if row.step not in promoted and (best is None or row.score != best)
    ]
    for row in dropped:
        session.delete(row)
    return [file["key"] for row in dropped for file in row.files.values()]


def drop_states(session: Session, claim: Claim, *, model_step: int) -> None:
    """Drop the training states of the job, which it does not need once it has succeeded.

    Those of models stay, because `init_from` reads them. The files become orphans, which
    `remove_orphans` deletes.
    """
    fenced_update(session, claim)
    models = set(session.scalars(select(Model.step).where(Model.job_id == claim.job_id)))
    for row in session.scalars(select(Checkpoint).where(Checkpoint.job_id == claim.job_id)):
        if row.step not in models | {model_step}:
            row.files = {"model": row.files["model"]}


def add_artifact(
    session: Session,
    claim: Claim,
    *,
    name: str,
    stored: StoredObject,
    media_type: str = "application/json",
    step: int | None = None,
) -> None:
    """Add an artifact whose file is stored, or replace the artifact with the same name.

    A file of a training `step` is a preview.
    """
    fenced_update(session, claim)
    existing = session.scalar(
        select(Artifact).where(Artifact.job_id == claim.job_id, Artifact.name == name)
    )
    artifact = existing or Artifact(
        id=new_id("art"), tenant_id=claim.tenant_id, job_id=claim.job_id, name=name
    )
    artifact.step, artifact.media_type = step, media_type
    artifact.key, artifact.bytes, artifact.sha256 = stored.key, stored.bytes, stored.sha256
    session.add(artifact)
    if step is not None:
        record_events(
            session, claim.tenant_id, claim.job_id, [NewEvent("preview", {"name": name}, step)]
        )


def finish(session: Session, claim: Claim, *, result: Json, model: Model | None = None) -> None:
    """End the job as succeeded and add its model, if any, in the same transaction."""
    if model is not None:
        session.add(model)
        session.flush()
        result = {**result, "model": model.id, "model_version": f"{model.name}:{model.version}"}
    _end(session, claim, JobState.SUCCEEDED, result=result)


def fail(session: Session, claim: Claim, error: JobError) -> None:
    _end(session, claim, JobState.FAILED, error=error.to_problem())


def confirm_cancelled(session: Session, claim: Claim) -> None:
    _end(session, claim, JobState.CANCELLED)


def confirm_paused(session: Session, claim: Claim) -> None:
    """Set the job to paused, or to cancelled if a client has requested that in the meantime."""
    if fenced_update(session, claim).cancel_requested:
        confirm_cancelled(session, claim)
        return
    _leave(session, claim, JobState.PAUSED, pause_requested=False)


def release(session: Session, claim: Claim) -> None:
    """Return the job to the queue for another worker, without counting a worker loss.

    Pending stop requests are carried out instead, because no worker claims a cancelled job.
    """
    _requeue(session, claim, reason="drained")


def release_from_lost_device(session: Session, claim: Claim) -> None:
    """Return the job to the queue because the worker's GPU failed.

    This is not a worker loss: its count and limit are separate, so that neither a broken GPU fails
    many jobs, nor a job that breaks each GPU returns for ever.
    """
    job = fenced_update(session, claim)
    count_loss(session, "device_lost")
    losses = job.device_losses + 1
    if losses >= get_settings().max_device_losses and not job.cancel_requested:
        _end(session, claim, JobState.FAILED, error=DEVICE_LOST.to_problem(), device_losses=losses)
        return
    _requeue(session, claim, reason="device_lost", delay_s=backoff_s(losses), device_losses=losses)


def _requeue(
    session: Session, claim: Claim, *, reason: str, delay_s: float = 0.0, **values: Any
) -> None:
    job = fenced_update(session, claim)
    if job.cancel_requested or job.pause_requested:
        confirm_paused(session, claim)
        return
    values |= {"notified_at": None, "queued_at": clock(), "available_at": clock(delay_s)}
    _leave(session, claim, JobState.QUEUED, reason=reason, device_kind=kept_kind(), **values)


def release_as_lost(session: Session, claim: Claim) -> None:
    """Return the job to the queue as if the lease had expired; this counts as a worker loss."""
    fenced_update(session, claim, lease_until=clock(-1.0))
    requeue_lost(session, claim.job_id, reason="interrupted")


def _end(session: Session, claim: Claim, state: JobState, **values: Any) -> None:
    _leave(session, claim, state, finished_at=clock(), **values)


def _leave(
    session: Session, claim: Claim, state: JobState, *, reason: str | None = None, **values: Any
) -> None:
    job = leases.release(
        session,
        Job,
        claim.fencing_token,
        Job.id == claim.job_id,
        state=state,
        owner=None,
        step_deadline_at=None,
        version=Job.version + 1,
        **values,
    )
    record_state(session, job, state.value, **({"reason": reason} if reason else {}))


def fenced_update(session: Session, claim: Claim, **values: Any) -> Job:
    """Set `values`, if any, and return the job with its stop requests. Raises LeaseLost."""
    return leases.fenced_update(session, Job, claim.fencing_token, Job.id == claim.job_id, **values)
