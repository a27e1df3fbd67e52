"""The parts of a generation job, each made by whichever worker takes it.

The worker that holds the job lays them out and ends the job; it and any others make them. A shard
is held as a job is: by a lease that its holder renews and by a token that grows with every claim.
What a holder writes later than its lease, or for a job that has ended meanwhile, changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.orm import Session

from core.database import clock
from core.errors import JobError
from core.ids import new_id
from core.jobs.events import NewEvent, record_events
from core.jobs.leasing import Claim, Heartbeat, LeaseLost, StopRequests, fenced_update
from core.jobs.sweeper import WORKER_LOST
from core.settings import get_settings
from core.storage import StoredObject
from core.tables import Artifact, Job, JobState, Json, Shard, ShardState

SHARD_TIMEOUT_S = (
    Heartbeat.step_timeout_s
)  # a shard that has not grown for this long is taken to hang


@dataclass(frozen=True)
class ShardClaim:
    """`cpu_s` and `wall_s` were used for it before, by others."""

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
    """What the shards of a job come to so far."""

    shards: int
    done: int
    available: int  # that nobody makes
    items: int
    cpu_s: float
    wall_s: float
    error: Json | None  # of a shard that cannot be made


def create_shards(session: Session, claim: Claim, *, count: int, size: int) -> None:
    """The shards of the job, unless they were laid out before. Raises LeaseLost."""
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


def claim_shard(session: Session, job_id: str, owner: str) -> ShardClaim | None:
    """Take a shard of a running job that nobody holds; None when there is none, now, or when the
    job is asked to stop."""
    if session.scalar(select(Job.id).where(Job.id == job_id, _goes_on())) is None:
        return None
    free = (
        select(Shard)
        .where(Shard.job_id == job_id, _is_free())
        .order_by(Shard.number)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while (shard := session.scalar(free)) is not None:
        taken = _taken(session, shard, owner)
        if taken is not None:
            return taken
    return None


def claim_any_shard(
    session: Session, queues: Sequence[str], owner: str, job_id: str | None = None
) -> ShardClaim | None:
    """Help with a running job of these queues: the given one if it needs help, else the first."""
    if job_id is not None and (taken := claim_shard(session, job_id, owner)) is not None:
        return taken
    first = session.scalar(_needing_help(queues).order_by(Job.priority_at, Job.id).limit(1))
    return None if first is None else claim_shard(session, first, owner)


def has_idle_shards(session: Session, queues: Sequence[str], grace_s: float) -> bool:
    """Whether a job of these queues has run for so long and has shards that nobody makes."""
    waiting = _needing_help(queues).where(Job.started_at <= clock(-grace_s))
    return session.scalar(waiting.limit(1)) is not None


def renew_shard(
    session: Session, claim: ShardClaim, *, items_done: int, cpu_s: float, wall_s: float
) -> StopRequests | None:
    """Say that the shard's holder lives; None when it is not his any more. Returns what is asked of
    the job."""
    held = _held(
        session,
        claim,
        lease_until=clock(get_settings().lease_seconds),
        step_deadline_at=case(
            (Shard.items_done != items_done, clock(SHARD_TIMEOUT_S)), else_=Shard.step_deadline_at
        ),
        items_done=items_done,
        cpu_s=claim.cpu_s + cpu_s,
        wall_s=claim.wall_s + wall_s,
    )
    if not held:
        return None
    asked = select(Job.cancel_requested, Job.pause_requested).where(Job.id == claim.job_id)
    return StopRequests(*session.execute(asked).one())


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
    """Name the shard's file: it is made. Losses of the job before it no longer count. Raises
    LeaseLost."""
    held = _held(
        session,
        claim,
        state=ShardState.DONE,
        items_done=claim.stop - claim.start,
        labels=dict(labels),
        cpu_s=claim.cpu_s + cpu_s,
        wall_s=claim.wall_s + wall_s,
        **NO_OWNER,
    )
    if not held:
        raise LeaseLost(claim.job_id)
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
    session.execute(update(Job).where(Job.id == claim.job_id).values(worker_losses=0))
    event = NewEvent("shard", {"name": name, "items": claim.stop - claim.start})
    record_events(session, claim.tenant_id, claim.job_id, [event])


def release_shard(session: Session, claim: ShardClaim) -> None:
    """For the next worker; no loss. Nothing if it is not the claim's any more."""
    _held(session, claim, state=ShardState.QUEUED, items_done=0, **NO_OWNER)


def fail_shard(session: Session, claim: ShardClaim, error: JobError) -> None:
    """The shard cannot be made: whoever holds the job ends it. Raises LeaseLost."""
    if not _held(session, claim, state=ShardState.FAILED, error=error.to_problem(), **NO_OWNER):
        raise LeaseLost(claim.job_id)


def shard_progress(session: Session, job_id: str) -> ShardProgress:
    done, failed = Shard.state == ShardState.DONE, Shard.state == ShardState.FAILED
    sums = select(
        func.count(),
        func.sum(case((done, 1), else_=0)),
        func.sum(case((_is_free(), 1), else_=0)),
        func.sum(Shard.items_done),
        func.sum(Shard.cpu_s),
        func.sum(Shard.wall_s),
    ).where(Shard.job_id == job_id)
    shards, finished, free, items, cpu_s, wall_s = session.execute(sums).one()
    error = session.scalar(select(Shard.error).where(Shard.job_id == job_id, failed).limit(1))
    return ShardProgress(
        shards, finished or 0, free or 0, int(items or 0), cpu_s or 0.0, wall_s or 0.0, error
    )


def shards_of(session: Session, job_id: str) -> list[Shard]:
    return list(session.scalars(select(Shard).where(Shard.job_id == job_id).order_by(Shard.number)))


NO_OWNER: dict[str, Any] = {"owner": None, "lease_until": None, "step_deadline_at": None}


def _is_free() -> ColumnElement[bool]:
    """Not begun, or held by a worker that is silent or does not get on."""
    silent = (Shard.lease_until < clock()) | (Shard.step_deadline_at < clock())
    return (Shard.state == ShardState.QUEUED) | (Shard.state == ShardState.RUNNING) & silent


def _needing_help(queues: Sequence[str]) -> Any:
    mine = select(Job.id).join(Shard, Shard.job_id == Job.id)
    return mine.where(_goes_on(), Job.queue.in_(queues), _is_free())


def _goes_on() -> ColumnElement[bool]:
    return (Job.state == JobState.RUNNING) & ~Job.cancel_requested & ~Job.pause_requested


def _taken(session: Session, shard: Shard, owner: str) -> ShardClaim | None:
    """The shard under a new token; None if it has cost too many workers, which spoils it."""
    session.refresh(shard)
    losses = shard.worker_losses + (shard.state is ShardState.RUNNING)
    poison = losses >= get_settings().max_worker_losses
    values: dict[str, Any] = {
        "worker_losses": losses,
        "fencing_token": shard.fencing_token + 1,
        "items_done": 0,
    }
    if poison:
        values |= {"state": ShardState.FAILED, "error": WORKER_LOST.to_problem(), **NO_OWNER}
    else:
        values |= {
            "state": ShardState.RUNNING,
            "owner": owner,
            "lease_until": clock(get_settings().lease_seconds),
            "step_deadline_at": clock(SHARD_TIMEOUT_S),
        }
    changed = session.execute(
        update(Shard)
        .where(Shard.id == shard.id, Shard.fencing_token == shard.fencing_token, _is_free())
        .values(**values)
        .returning(Shard.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if changed is None or poison:
        return None
    return ShardClaim(
        shard.tenant_id,
        shard.job_id,
        shard.id,
        shard.number,
        shard.start,
        shard.stop,
        shard.fencing_token + 1,
        shard.cpu_s,
        shard.wall_s,
    )


def _held(session: Session, claim: ShardClaim, **values: Any) -> bool:
    """Change the row if the claim still holds, and its job has not ended or been set aside."""
    live = select(Job.id).where(
        Job.id == claim.job_id, Job.state.in_([JobState.RUNNING, JobState.QUEUED])
    )
    changed = session.execute(
        update(Shard)
        .where(
            Shard.id == claim.shard_id,
            Shard.state == ShardState.RUNNING,
            Shard.fencing_token == claim.fencing_token,
            Shard.lease_until >= clock(),
            live.exists(),
        )
        .values(**values)
        .returning(Shard.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    return changed is not None
