"""Queries of jobs, their checkpoints and their artifacts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import ColumnElement, Select, bindparam, case, func, select
from sqlalchemy.orm import Session

from core import workers
from core.database import UtcDateTime, clock
from core.devices import DeviceKind
from core.errors import NotFound
from core.jobs import fairness
from core.jobs.devices import may_run_on
from core.jobs.state_machine import IS_LIVE, TERMINAL
from core.listing import ListedPage, PageRequest, list_page
from core.tables import Artifact, Checkpoint, Job, JobKind, JobState, Model


def get(session: Session, tenant_id: str, job_id: str) -> Job:
    job = session.get(Job, job_id)
    if job is None or job.tenant_id != tenant_id:
        raise NotFound(f"Job {job_id} does not exist.")
    return job


def page(
    session: Session,
    tenant_id: str,
    request: PageRequest,
    *,
    state: str | None = None,
    kind: str | None = None,
    dataset_id: str | None = None,
    model_id: str | None = None,
    key_id: str | None = None,
) -> ListedPage[Job]:
    """Return a page of jobs that pass all filters."""
    filters = []
    if state is not None:
        filters.append(_has_shown_state(state))
    if kind is not None:
        filters.append(Job.kind == JobKind(kind))
    if dataset_id is not None:
        filters.append(Job.dataset_id == dataset_id)
    if model_id is not None:
        filters.append(Job.model_id == model_id)
    if key_id is not None:
        filters.append(Job.key_id == key_id)
    return list_page(session, Job, tenant_id, request, filters)


def _has_shown_state(state: str) -> ColumnElement[bool]:
    """Return the SQL form of `state_machine.shown_state(job) == state`."""
    running = Job.state == JobState.RUNNING
    shown = {
        "cancelling": running & Job.cancel_requested,
        "pausing": running & Job.pause_requested & ~Job.cancel_requested,
        "running": running & ~Job.pause_requested & ~Job.cancel_requested,
    }
    return shown[state] if state in shown else Job.state == JobState(state)


@dataclass(frozen=True)
class QueuePosition:
    """Position of a queued job: the number of jobs ahead, and whether any worker can run it."""

    ahead: int
    has_worker: bool


def queue_position(session: Session, job: Job) -> QueuePosition | None:
    """Return the position of the job in its queue; None unless it is queued."""
    return queue_positions(session, [job]).get(job.id)


def queue_positions(session: Session, jobs: Sequence[Job]) -> dict[str, QueuePosition]:
    """Return the positions of the jobs that are queued, by id. All are of one tenant.

    Tenants take turns (core.jobs.fairness): before the tenant's k-th job, each other tenant has
    about as many turns. Positions change if jobs end, or are added, in another order.
    """
    queued_jobs = {job.id: job for job in jobs if job.state is JobState.QUEUED}
    if not queued_jobs:
        return {}
    tenant_id = next(iter(queued_jobs.values())).tenant_id
    before = _places(session, tenant_id, queued_jobs)
    turns = fairness.Turns(session, tenant_id)
    served = {
        (queue, kind): bool(workers.serving(session, queue, kind))
        for queue, kind in {(job.queue, job.device_kind) for job in queued_jobs.values()}
    }
    return {
        job.id: QueuePosition(
            turns.jobs_ahead(before[job.id], job.queue, job.device_kind),
            served[job.queue, job.device_kind],
        )
        for job in queued_jobs.values()
        if job.id in before
    }


def _places(session: Session, tenant_id: str, jobs: Mapping[str, Job]) -> dict[str, int]:
    """Return how many of the tenant's jobs go before each of `jobs`, by id.

    Jobs of other queues, or that need another kind of device, do not count.
    """
    if len(jobs) == 1:
        (job,) = jobs.values()
        of_job = {
            "tenant_id": tenant_id,
            "queue": job.queue,
            "priority_at": job.priority_at,
            "id": job.id,
        }
        return {job.id: session.scalar(_count_ahead(job.device_kind), of_job) or 0}
    # A job without a kind is behind all jobs, another one only behind those that its workers run.
    kinds = list({job.device_kind for job in jobs.values()})
    places = [
        func.sum(1 if kind is None else case((may_run_on(kind), 1), else_=0))
        .over(partition_by=Job.queue, order_by=(Job.priority_at, Job.id))
        .label(f"place_{kind}")
        for kind in kinds
    ]
    queued = (Job.tenant_id == tenant_id, Job.state == JobState.QUEUED)
    numbered = select(Job.id, *places).where(IS_LIVE, *queued).subquery()
    rows = session.execute(select(numbered).where(numbered.c.id.in_(jobs)))
    return {job_id: numbers[kinds.index(jobs[job_id].device_kind)] - 1 for job_id, *numbers in rows}


@cache
def _count_ahead(kind: DeviceKind | None) -> Select[int]:
    """Return the statement for one job, which takes longer to build than to execute."""
    priority_at = bindparam("priority_at", type_=UtcDateTime())
    is_tied = (Job.priority_at == priority_at) & (Job.id < bindparam("id"))
    count = select(func.count()).where(
        IS_LIVE,
        Job.tenant_id == bindparam("tenant_id"),
        Job.state == JobState.QUEUED,
        Job.queue == bindparam("queue"),
        (Job.priority_at < priority_at) | is_tied,
    )
    return count if kind is None else count.where(may_run_on(kind))


@dataclass(frozen=True)
class QueueDepth:
    """Numbers of queued and running jobs of one queue; `oldest_s` is the longest waiting time."""

    queued: int
    running: int
    oldest_s: float | None


def queue_depths(session: Session, tenant_id: str) -> dict[str, QueueDepth]:
    """Return the depth of each of the tenant's queues; empty queues are left out."""
    live = select(
        Job.queue,
        func.sum(case((Job.state == JobState.QUEUED, 1), else_=0)),
        func.sum(case((Job.state == JobState.RUNNING, 1), else_=0)),
        func.min(case((Job.state == JobState.QUEUED, Job.queued_at))),
        clock(),
    ).where(IS_LIVE, Job.tenant_id == tenant_id)
    return {
        queue: QueueDepth(queued, running, (now - oldest).total_seconds() if oldest else None)
        for queue, queued, running, oldest, now in session.execute(live.group_by(Job.queue))
    }


def running_jobs(
    session: Session, job_ids: Sequence[str], tenant_ids: Sequence[str]
) -> Sequence[Job]:
    """Return the running jobs among `job_ids`, and all those of the tenants."""
    selected = Job.id.in_(job_ids) | Job.tenant_id.in_(tenant_ids)
    return session.scalars(
        select(Job).where(IS_LIVE, Job.state == JobState.RUNNING, selected)
    ).all()


def all_running_jobs(session: Session, limit: int) -> Sequence[Job]:
    """Return up to `limit` running jobs of all tenants, the oldest first."""
    running = select(Job).where(IS_LIVE, Job.state == JobState.RUNNING)
    return session.scalars(running.order_by(Job.priority_at, Job.id).limit(limit)).all()


def running_by_owner(session: Session, tenant_id: str) -> dict[str, str]:
    """Return the id of the running job by the id of its worker."""
    query = select(Job.owner, Job.id).where(
        IS_LIVE,
        Job.tenant_id == tenant_id,
        Job.state == JobState.RUNNING,
        Job.owner.is_not(None),
    )
    return {str(owner).split("/")[0]: job_id for owner, job_id in session.execute(query)}


def has_due_jobs(
    session: Session,
    queues: Sequence[str],
    grace_s: float,
    kind: DeviceKind = DeviceKind.CPU,
) -> bool:
    """Return True if a queued job has been due for a worker of this kind for more than `grace_s`.

    `grace_s` is the time that a notification may take.
    """
    is_due = (Job.state == JobState.QUEUED) & (Job.available_at <= clock(-grace_s))
    due_job = select(Job.id).where(
        IS_LIVE, Job.queue.in_(queues), may_run_on(kind), is_due, fairness.may_start()
    )
    return session.scalar(due_job.limit(1)) is not None


def live_jobs_of_dataset(session: Session, tenant_id: str, dataset_id: str) -> Sequence[str]:
    """Return the ids of the dataset's jobs that have not ended."""
    return session.scalars(
        select(Job.id).where(
            Job.tenant_id == tenant_id, Job.dataset_id == dataset_id, Job.state.not_in(TERMINAL)
        )
    ).all()


def live_jobs_of_model(session: Session, model: Model) -> Sequence[str]:
    """Return the ids of jobs that have not ended and use or create the model."""
    needs = (Job.model_id == model.id) | (Job.id == model.job_id)
    return session.scalars(
        select(Job.id).where(Job.tenant_id == model.tenant_id, needs, Job.state.not_in(TERMINAL))
    ).all()


def checkpoints_of(session: Session, tenant_id: str, job_id: str) -> list[Checkpoint]:
    """Return the job's checkpoints, newest first."""
    return list(
        session.scalars(
            select(Checkpoint)
            .where(Checkpoint.tenant_id == tenant_id, Checkpoint.job_id == job_id)
            .order_by(Checkpoint.step.desc(), Checkpoint.fencing_token.desc())
        )
    )


def artifacts_of(
    session: Session, tenant_id: str, job_id: str, *, prefix: str = ""
) -> list[Artifact]:
    query = select(Artifact).where(
        Artifact.tenant_id == tenant_id,
        Artifact.job_id == job_id,
        Artifact.name.startswith(prefix, autoescape=True),
    )
    return list(session.scalars(query.order_by(Artifact.step, Artifact.name)))


def get_artifact(session: Session, tenant_id: str, job_id: str, name: str) -> Artifact | None:
    return session.scalar(
        select(Artifact).where(
            Artifact.tenant_id == tenant_id, Artifact.job_id == job_id, Artifact.name == name
        )
    )
