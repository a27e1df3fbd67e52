"""Recovery of abandoned work: expired leases, stalled steps and unsent notifications.

Any number of sweepers may run at the same time, in any process.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from core import leases, workers
from core.database import clock
from core.devices import DeviceKind
from core.errors import JobError
from core.jobs.devices import kept_kind
from core.jobs.events import record_state
from core.jobs.losses import count_loss
from core.jobs.state_machine import IS_LIVE
from core.tables import Job, JobState

BATCH = 100
BACKOFF_S = 10.0

WORKER_LOST = JobError(
    "worker_lost",
    "The job's worker disappeared or stalled several times without a new checkpoint. Check the "
    "worker's log before you retry the job.",
)


@dataclass(frozen=True)
class Notification:
    """A queued job whose notification is still to be sent."""

    queue: str
    job_id: str
    kind: DeviceKind | None


def sweep(session: Session) -> list[Notification]:
    """Requeue lost jobs; return the notifications to publish after the commit."""
    lost = select(Job.id).where(IS_LIVE, _is_lost())
    for job_id in session.scalars(lost.limit(BATCH)).all():
        requeue_lost(session, job_id)
    unpublished = select(Job.queue, Job.id, Job.device_kind).where(
        IS_LIVE,
        Job.state == JobState.QUEUED,
        Job.notified_at.is_(None),
        Job.available_at <= clock(),
    )
    return [
        Notification(*row)
        for row in session.execute(unpublished.order_by(Job.priority_at, Job.id).limit(BATCH))
    ]


def find_lost_notifications(session: Session, age_s: float) -> list[Notification]:
    """Return due jobs that no worker has taken `age_s` after the last notification, if any.

    Only jobs for which no worker lives are returned: workers poll, so they need no notification.
    """
    waiting = select(Job.queue, Job.id, Job.device_kind).where(
        IS_LIVE,
        Job.state == JobState.QUEUED,
        Job.available_at <= clock(-age_s),
        Job.notified_at.is_(None) | (Job.notified_at <= clock(-age_s)),
    )
    found = session.execute(waiting.order_by(Job.priority_at, Job.id).limit(BATCH)).all()
    served: dict[tuple[str, DeviceKind | None], bool] = {}
    for queue, _, kind in found:
        if (queue, kind) not in served:
            served[queue, kind] = bool(workers.serving(session, queue, kind))
    return [Notification(*row) for row in found if not served[row.queue, row.device_kind]]


def backoff_s(losses: int) -> float:
    """Return the delay before the next attempt: 0, 30, 150 s and so on."""
    return BACKOFF_S * (4.0 ** (losses - 1) - 1)


def _is_lost() -> ColumnElement[bool]:
    """Select running jobs whose lease has expired or whose current step has stalled."""
    has_stalled = Job.step_deadline_at < clock()
    return (Job.state == JobState.RUNNING) & (leases.has_expired(Job) | has_stalled)


def requeue_lost(session: Session, job_id: str, *, reason: str = "worker_lost") -> None:
    """Take the job from its worker if the worker is lost: the job is requeued, paused or ended."""
    # If the row is locked, another process is handling the job. Waiting for the lock while holding
    # locks of other jobs could deadlock two sweepers.
    lost = select(Job).where(Job.id == job_id, _is_lost())
    job = session.scalar(lost.with_for_update(skip_locked=True))
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
            "available_at": clock(backoff_s(losses)),
            "device_kind": kept_kind(),
            "notified_at": None,
            "queued_at": clock(),
        }
    changed = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.fencing_token == job.fencing_token, _is_lost())
        .values(state=state, worker_losses=losses, version=Job.version + 1, **values)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    session.expire(job)
    if changed is not None:
        count_loss(session, reason)
        record_state(session, job, state.value, level="warning", reason=reason)
