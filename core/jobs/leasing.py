"""What workers do with jobs: claim one, say that they live, save, and end it.

Every write after the claim is fenced: it names the token of its claim and needs a lease that still
runs, so that a worker that was given up, or stood still for longer than its lease, changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from core.database import clock
from core.errors import JobError
from core.ids import new_id
from core.jobs.events import NewEvent, record_events, record_state
from core.jobs.sweeper import requeue_lost
from core.settings import get_settings
from core.storage import StoredObject
from core.tables import Artifact, Checkpoint, Job, JobState, Json, Model


class LeaseLost(Exception):
    """The job belongs to somebody else now, or to nobody: stop at once and write nothing more."""


@dataclass(frozen=True)
class Claim:
    tenant_id: str
    job_id: str
    fencing_token: int
    owner: str


@dataclass(frozen=True)
class StopRequests:
    """What the heartbeat brings back."""

    cancel: bool
    pause: bool


@dataclass(frozen=True)
class Heartbeat:
    """What the heartbeat says: how far the work is, and what happened since the last one.

    `step_timeout_s` is how long the present step may take before it is taken to hang.
    """

    phase: str
    step: int = 0
    step_timeout_s: float = 1_800.0
    progress: Json = field(default_factory=dict)
    usage: Json = field(default_factory=dict)
    events: Sequence[NewEvent] = ()


def claim(session: Session, job_id: str, owner: str) -> tuple[Claim, Job] | None:
    """Take the job if nobody holds it; None when it is held, ended, or not due yet."""
    requeue_lost(session, job_id)  # an expired lease counts as a loss before it is taken over
    row = session.execute(
        update(Job)
        .where(
            Job.id == job_id,
            Job.state == JobState.QUEUED,
            ~Job.cancel_requested,
            Job.available_at <= clock(),
        )
        .values(
            state=JobState.RUNNING,
            attempt=Job.attempt + 1,
            fencing_token=Job.fencing_token + 1,
            owner=owner,
            lease_until=clock(get_settings().lease_seconds),
            heartbeat_at=clock(),
            started_at=clock(),
            step_deadline_at=clock(Heartbeat.step_timeout_s),
            phase="preparing",
            version=Job.version + 1,
        )
        .returning(Job.tenant_id, Job.fencing_token, Job.attempt)
    ).one_or_none()
    if row is None:
        return None
    taken = Claim(row.tenant_id, job_id, row.fencing_token, owner)
    job = session.get_one(Job, job_id)
    session.refresh(job)
    record_state(session, job, "running", attempt=row.attempt)
    return taken, job


def claim_next(session: Session, queues: Sequence[str], owner: str) -> tuple[Claim, Job] | None:
    """Take the first job that is due in any of the queues; None when there is none."""
    waiting = (Job.state == JobState.QUEUED) & (Job.available_at <= clock())
    orphaned = (Job.state == JobState.RUNNING) & (Job.lease_until < clock())
    due = (
        select(Job.id)
        .where(Job.queue.in_(queues), waiting | orphaned)
        .order_by(Job.priority_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)  # what somebody else is at is not worth waiting for
    )
    looked_at: list[str] = []
    while len(looked_at) < 10 and (job_id := session.scalar(due.where(Job.id.not_in(looked_at)))):
        if (taken := claim(session, job_id, owner)) is not None:
            return taken
        looked_at.append(job_id)
    return None


def heartbeat(session: Session, claim: Claim, beat: Heartbeat) -> StopRequests:
    """Renew the lease, store what happened, and learn what is asked. Raises LeaseLost."""
    changed: dict[str, Any] = {"phase": beat.phase, "step": beat.step}
    if beat.progress:
        changed["progress"] = beat.progress
    if beat.usage:
        changed["usage"] = beat.usage
    moved = (Job.step != beat.step) | (Job.phase != beat.phase)
    orders = fenced_update(
        session,
        claim,
        lease_until=clock(get_settings().lease_seconds),
        heartbeat_at=clock(),
        step_deadline_at=case((moved, clock(beat.step_timeout_s)), else_=Job.step_deadline_at),
        **changed,
    )
    record_events(session, claim.tenant_id, claim.job_id, beat.events)
    return orders


@dataclass(frozen=True)
class NewCheckpoint:
    """`files`: "state" to go on from, "model" to sample from; `manifest` describes the model."""

    step: int
    files: dict[str, StoredObject]
    manifest: Json = field(default_factory=dict)
    metrics: Json = field(default_factory=dict)
    score: float | None = None


def add_checkpoint(session: Session, claim: Claim, new: NewCheckpoint) -> Checkpoint:
    """Name a checkpoint whose files are stored. Losses before it no longer count."""
    fenced_update(session, claim, step=new.step, worker_losses=0)
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
    """Forget all but the newest, the best, and those that a model was made of; returns the keys of
    their files, to delete after the commit."""
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


def add_artifact(
    session: Session,
    claim: Claim,
    *,
    name: str,
    stored: StoredObject,
    media_type: str,
    step: int | None,
) -> None:
    """Name a file that the job made; a name given again means the newer file."""
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
    """End as succeeded, together with the model's row, if it made one: both or neither."""
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
    """Paused: nobody goes on with it until it is resumed. Asked to end since, it ends."""
    if fenced_update(session, claim).cancel:
        confirm_cancelled(session, claim)
        return
    _leave(session, claim, JobState.PAUSED, pause_requested=False)


def release(session: Session, claim: Claim) -> None:
    """Give the job back, to be gone on with by the next worker; this is no loss. What was asked of
    it since the last heartbeat is done here: nobody claims a job that is to end."""
    orders = fenced_update(session, claim)
    if orders.cancel or orders.pause:
        confirm_paused(session, claim)
        return
    again = {"notified_at": None, "queued_at": clock(), "available_at": clock()}
    _leave(session, claim, JobState.QUEUED, reason="drained", **again)


def release_as_lost(session: Session, claim: Claim) -> None:
    """Give the job up at once, as if the lease had run out: this counts as a loss."""
    fenced_update(session, claim, lease_until=clock(-1.0))
    requeue_lost(session, claim.job_id, reason="interrupted")


def _end(session: Session, claim: Claim, state: JobState, **values: Any) -> None:
    _leave(session, claim, state, finished_at=clock(), **values)


def _leave(
    session: Session, claim: Claim, state: JobState, *, reason: str | None = None, **values: Any
) -> None:
    fenced_update(
        session,
        claim,
        state=state,
        owner=None,
        lease_until=None,
        step_deadline_at=None,
        version=Job.version + 1,
        **values,
    )
    job = session.get_one(Job, claim.job_id, populate_existing=True)
    record_state(session, job, state.value, **({"reason": reason} if reason else {}))


def fenced_update(session: Session, claim: Claim, **values: Any) -> StopRequests:
    """Change the row if the claim still holds; returns what is asked of the job."""
    row = session.execute(
        update(Job)
        .where(
            Job.id == claim.job_id,
            Job.state == JobState.RUNNING,
            Job.fencing_token == claim.fencing_token,
            Job.lease_until >= clock(),
        )
        .values(**(values or {"heartbeat_at": clock()}))
        .returning(Job.cancel_requested, Job.pause_requested)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        raise LeaseLost(claim.job_id)
    return StopRequests(cancel=row.cancel_requested, pause=row.pause_requested)
