"""Shards of a generation job, which any number of workers generate.

The worker that holds the job creates the shards and ends the job; it and other workers generate
them. Like a job, a shard is held by a lease (see core.leases), which is also lost if the job ends
or is paused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.orm import Session

from core import leases
from core.database import clock
from core.devices import DeviceKind
from core.errors import JobError
from core.ids import new_id
from core.jobs.devices import may_run_on
from core.jobs.events import NewEvent, record_events
from core.jobs.leasing import DEVICE_LOST, Claim, Heartbeat, StopRequests, fenced_update
from core.jobs.state_machine import IS_LIVE
from core.jobs.sweeper import WORKER_LOST
from core.settings import get_settings
from core.storage import StoredObject
from core.tables import Artifact, Job, JobState, Json, Shard, ShardState

SHARD_TIMEOUT_S = Heartbeat.step_timeout_s  # without new items for this long, a shard is stalled


@dataclass(frozen=True)
class ShardClaim:
    """The right to generate a shard. `cpu_s` and `wall_s` were used by earlier claims."""

    tenant_id: str
    job_id: str
    shard_id: str
    number: int
    start: int
    stop: int
    fencing_token: int
    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class ShardProgress:
    """Totals over the shards of a job."""

    shards: int
    done: int
    available: int  # shards that a worker can claim
    items: int
    cpu_s: float
    wall_s: float
    error: Json | None  # error of a failed shard


def create_shards(session: Session, claim: Claim, *, count: int, size: int) -> None:
    """Create the job's shards, unless an earlier attempt has created them. Raises LeaseLost."""
    fenced_update(session, claim)
    if session.scalar(select(Shard.id).where(Shard.job_id == claim.job_id).limit(1)):
        return
    session.add_all(
        Shard(
            id=new_id("shard"),
            tenant_id=claim.tenant_id,
            job_id=claim.job_id,
            number=number,
            start=start,
            stop=min(count, start + size),
        )
        for number, start in enumerate(range(0, count, size))
    )
    session.flush()


def claim_shard(
    session: Session, job_id: str, owner: str, kind: DeviceKind = DeviceKind.CPU
) -> ShardClaim | None:
    """Claim an available shard of a job that runs on this kind of device.

    Returns None if there is none now, or if a client has requested that the job stops.
    """
    if session.scalar(select(Job.id).where(Job.id == job_id, _is_active(kind))) is None:
        return None
    available = (
        select(Shard)
        .where(Shard.job_id == job_id, _is_available())
        .order_by(Shard.number)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while (shard := session.scalar(available)) is not None:
        claimed = _try_claim(session, shard, owner)
        if claimed is not None:
            return claimed
    return None


def claim_any_shard(
    session: Session,
    queues: Sequence[str],
    owner: str,
    kind: DeviceKind = DeviceKind.CPU,
) -> ShardClaim | None:
    """Claim a shard of the first running job in these queues that has available ones."""
    jobs = _jobs_with_available_shards(queues, kind).order_by(Job.priority_at, Job.id)
    first = session.scalar(jobs.limit(1))
    return None if first is None else claim_shard(session, first, owner, kind)


def has_idle_shards(
    session: Session,
    queues: Sequence[str],
    grace_s: float,
    kind: DeviceKind = DeviceKind.CPU,
) -> bool:
    """Return True if a job that started more than `grace_s` ago has shards for this kind."""
    jobs = _jobs_with_available_shards(queues, kind).where(Job.started_at <= clock(-grace_s))
    return session.scalar(jobs.limit(1)) is not None


def renew_shard(
    session: Session, claim: ShardClaim, *, items_done: int, cpu_s: float, wall_s: float
) -> StopRequests:
    """Renew the shard's lease and store its progress.

    Returns pending stop requests of the job. Raises LeaseLost.
    """
    leases.renew(
        session,
        Shard,
        claim.fencing_token,
        *_conditions(claim),
        seconds=get_settings().lease_seconds,
        step_deadline_at=case(
            (Shard.items_done != items_done, clock(SHARD_TIMEOUT_S)), else_=Shard.step_deadline_at
        ),
        items_done=items_done,
        cpu_s=claim.cpu_s + cpu_s,
        wall_s=claim.wall_s + wall_s,
    )
    requests = select(Job.cancel_requested, Job.pause_requested).where(Job.id == claim.job_id)
    return StopRequests(*session.execute(requests).one())


def complete_shard(
    session: Session,
    claim: ShardClaim,
    *,
    name: str,
    stored: StoredObject,
    media_type: str,
    labels: Mapping[str, int],
    cpu_s: float,
    wall_s: float,
) -> None:
    """Mark the shard as done and add its stored file as an artifact.

    Resets the job's counts of lost workers and devices. Does nothing if this claim has completed
    the shard already. Raises LeaseLost.
    """
    is_done = (Shard.state == ShardState.DONE) & (Shard.fencing_token == claim.fencing_token)
    if session.scalar(select(Shard.id).where(Shard.id == claim.shard_id, is_done)) is not None:
        return
    _release(
        session,
        claim,
        state=ShardState.DONE,
        items_done=claim.stop - claim.start,
        labels=dict(labels),
        cpu_s=claim.cpu_s + cpu_s,
        wall_s=claim.wall_s + wall_s,
    )
    session.add(
        Artifact(
            id=new_id("art"),
            tenant_id=claim.tenant_id,
            job_id=claim.job_id,
            name=name,
            media_type=media_type,
            **stored.to_dict(),
        )
    )
    no_losses = {"worker_losses": 0, "device_losses": 0}
    session.execute(update(Job).where(Job.id == claim.job_id).values(**no_losses))
    event = NewEvent("shard", {"name": name, "items": claim.stop - claim.start})
    record_events(session, claim.tenant_id, claim.job_id, [event])


def release_shard(session: Session, claim: ShardClaim) -> None:
    """Return the shard to the queue, without counting a loss. Raises LeaseLost."""
    _release(session, claim, state=ShardState.QUEUED, items_done=0)


def release_shard_from_lost_device(session: Session, claim: ShardClaim) -> None:
    """Return a helper's shard to the queue because its GPU failed. Raises LeaseLost.

    The loss counts for the job. At the limit, the shard fails, and with it the job.
    """
    counted = update(Job).where(Job.id == claim.job_id).values(device_losses=Job.device_losses + 1)
    losses = session.scalar(counted.returning(Job.device_losses)) or 0
    if losses >= get_settings().max_device_losses:
        fail_shard(session, claim, DEVICE_LOST)
    else:
        release_shard(session, claim)


def fail_shard(session: Session, claim: ShardClaim, error: JobError) -> None:
    """Mark the shard as failed; the worker that holds the job then ends it. Raises LeaseLost."""
    _release(session, claim, state=ShardState.FAILED, error=error.to_problem())


def shard_progress(session: Session, job_id: str) -> ShardProgress:
    is_done, has_failed = Shard.state == ShardState.DONE, Shard.state == ShardState.FAILED
    totals = select(
        func.count(),
        func.sum(case((is_done, 1), else_=0)),
        func.sum(case((_is_available(), 1), else_=0)),
        func.sum(Shard.items_done),
        func.sum(Shard.cpu_s),
        func.sum(Shard.wall_s),
    ).where(Shard.job_id == job_id)
    shards, done, available, items, cpu_s, wall_s = session.execute(totals).one()
    error = session.scalar(select(Shard.error).where(Shard.job_id == job_id, has_failed).limit(1))
    return ShardProgress(
        shards, done or 0, available or 0, int(items or 0), cpu_s or 0.0, wall_s or 0.0, error
    )


def shards_of(session: Session, job_id: str) -> list[Shard]:
    return list(session.scalars(select(Shard).where(Shard.job_id == job_id).order_by(Shard.number)))


def _is_available() -> ColumnElement[bool]:
    """Select shards that are queued, or whose lease or step deadline has expired."""
    is_lost = leases.has_expired(Shard) | (Shard.step_deadline_at < clock())
    return (Shard.state == ShardState.QUEUED) | (Shard.state == ShardState.RUNNING) & is_lost


def _jobs_with_available_shards(queues: Sequence[str], kind: DeviceKind) -> Any:
    jobs = select(Job.id).join(Shard, Shard.job_id == Job.id)
    return jobs.where(_is_active(kind), Job.queue.in_(queues), _is_available())


def _is_active(kind: DeviceKind) -> ColumnElement[bool]:
    """Select jobs without stop requests that run on this kind of device."""
    is_running = (Job.state == JobState.RUNNING) & ~Job.cancel_requested & ~Job.pause_requested
    return and_(IS_LIVE, is_running, may_run_on(kind), Job.device_kind == kind)


def _try_claim(session: Session, shard: Shard, owner: str) -> ShardClaim | None:
    """Claim the shard with a new fencing token.

    Returns None if another worker was faster. Also returns None, and marks the shard as failed, if
    it has already lost too many workers.
    """
    session.refresh(shard)
    losses = shard.worker_losses + (shard.state is ShardState.RUNNING)
    is_unchanged = (Shard.fencing_token == shard.fencing_token) & _is_available()
    if losses >= get_settings().max_worker_losses:
        session.execute(
            update(Shard)
            .where(Shard.id == shard.id, is_unchanged)
            .values(
                state=ShardState.FAILED,
                error=WORKER_LOST.to_problem(),
                worker_losses=losses,
                items_done=0,
                owner=None,
                lease_until=None,
                step_deadline_at=None,
            )
            .execution_options(synchronize_session=False)
        )
        return None
    claimed = leases.acquire(
        session,
        Shard,
        Shard.id == shard.id,
        is_unchanged,
        seconds=get_settings().lease_seconds,
        state=ShardState.RUNNING,
        owner=owner,
        step_deadline_at=clock(SHARD_TIMEOUT_S),
        worker_losses=losses,
        items_done=0,
    )
    if claimed is None:
        return None
    return ShardClaim(
        claimed.tenant_id,
        claimed.job_id,
        claimed.id,
        claimed.number,
        claimed.start,
        claimed.stop,
        claimed.fencing_token,
        claimed.cpu_s,
        claimed.wall_s,
    )


def _release(session: Session, claim: ShardClaim, **values: Any) -> None:
    values |= {"owner": None, "step_deadline_at": None}
    leases.release(session, Shard, claim.fencing_token, *_conditions(claim), **values)


def _conditions(claim: ShardClaim) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a write: the shard exists, and its job has not ended or paused."""
    job = select(Job.id).where(
        Job.id == claim.job_id, Job.state.in_([JobState.RUNNING, JobState.QUEUED])
    )
    return Shard.id == claim.shard_id, job.exists()
