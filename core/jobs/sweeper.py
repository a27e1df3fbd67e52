"""Finds what nobody looks after: expired leases, steps that hang, hints that were never sent.

Any number of sweepers may run, in any process, as often as they like.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from core.database import clock
from core.errors import JobError
from core.jobs.events import record_state
from core.tables import Job, JobState

BATCH = 100
BACKOFF_S = 10.0

WORKER_LOST = JobError(
    "worker_lost",
    "the job's worker disappeared or stood still several times without saving anything new; "
    "look at the worker's log before trying again",
)


@dataclass(frozen=True)
class Notification:
    """A queued job whose wake-up message is still to be sent."""

    queue: str
    job_id: str


def sweep(session: Session) -> list[Notification]:
    """Take jobs away from silent workers; return the hints that should be sent after the commit."""
    silent = select(Job.id).where(_given_up())
    for job_id in session.scalars(silent.limit(BATCH)).all():
        requeue_lost(session, job_id)
    unpublished = select(Job.queue, Job.id).where(
        Job.state == JobState.QUEUED, Job.notified_at.is_(None), Job.available_at <= clock()
    )
    return [
        Notification(*row) for row in session.execute(unpublished.order_by(Job.id).limit(BATCH))
    ]


def _given_up() -> ColumnElement[bool]:
    """No heartbeat for a lease, or heartbeats for too long over one and the same step."""
    silent = (Job.lease_until < clock()) | (Job.step_deadline_at < clock())
    return (Job.state == JobState.RUNNING) & silent


def requeue_lost(session: Session, job_id: str, *, reason: str = "worker_lost") -> None:
    """Take the job from a worker that is gone, if it is: back into the queue, aside, or ended."""
    # Locked by another: it is being looked after. Waiting, with other jobs' locks held, may be for
    # ever: two sweepers would wait for each other.
    silent = select(Job).where(Job.id == job_id, _given_up())
    job = session.scalar(silent.with_for_update(skip_locked=True))
    if job is None:
        return
    session.refresh(job)
    losses = job.worker_losses + 1
    values: dict[str, object] = {"owner": None, "lease_until": None, "step_deadline_at": None}
    if job.cancel_requested:
        state = JobState.CANCELLED
        values["finished_at"] = clock()
    elif losses >= job.max_worker_losses:
        state = JobState.FAILED
        values |= {"finished_at": clock(), "error": WORKER_LOST.to_problem()}
    elif job.pause_requested:
        state = JobState.PAUSED
        values["pause_requested"] = False
    else:
        state = JobState.QUEUED
        values |= {
            "available_at": clock(BACKOFF_S * (4 ** (losses - 1) - 1)),  # 0, 30, 150 s …
            "notified_at": None,
            "queued_at": clock(),
        }
    changed = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.fencing_token == job.fencing_token, _given_up())
        .values(state=state, worker_losses=losses, version=Job.version + 1, **values)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    session.expire(job)
    if changed is not None:
        record_state(session, job, state.value, level="warning", reason=reason)
