"""Events of a job, stored in the transaction of the change that they report, and paged by id."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import webhooks
from core.tables import Event, Job, Json


@dataclass(frozen=True)
class NewEvent:
    """An event; `type` is state, phase, metrics, log, checkpoint, preview or shard."""

    type: str
    data: Json = field(default_factory=dict)
    step: int | None = None
    level: str = "info"


def record_events(
    session: Session, tenant_id: str, job_id: str, events: Iterable[NewEvent]
) -> None:
    session.add_all(
        Event(
            tenant_id=tenant_id,
            job_id=job_id,
            type=event.type,
            level=event.level,
            step=event.step,
            data=event.data,
        )
        for event in events
    )


def record_state(
    session: Session, job: Job, state: str, *, level: str = "info", **data: object
) -> None:
    """Record a state change: one event, and one message for each webhook subscribed to it.

    Every change of a job's state must call this, after it has changed the row.
    """
    session.add(
        Event(
            tenant_id=job.tenant_id,
            job_id=job.id,
            type="state",
            level=level,
            data={"state": state, **data},
        )
    )
    webhooks.enqueue(session, job, f"job.{state}")


def metrics(
    session: Session, tenant_id: str, job_id: str, *, points: int
) -> dict[str, list[tuple[int, float]]]:
    """Return the (step, value) pairs of each metric, at most `points` of them, with the last one.

    If a step was trained again after a worker was lost, its last value counts.
    """
    query = select(Event.step, Event.data).where(
        Event.tenant_id == tenant_id, Event.job_id == job_id, Event.type == "metrics"
    )
    series: dict[str, dict[int, float]] = {}
    for step, data in session.execute(query.order_by(Event.id)):
        for name, value in data.items():
            series.setdefault(name, {})[step or 0] = value
    return {name: _downsample(sorted(values.items()), points) for name, values in series.items()}


def _downsample(values: list[tuple[int, float]], points: int) -> list[tuple[int, float]]:
    if len(values) <= points:
        return values
    stride = (len(values) - 1) / (points - 1)
    return [values[round(i * stride)] for i in range(points)]


def latest_event_ids(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    """Return the id of each job's newest event. Within a job, ids grow in the order of commits."""
    newest = func.max(Event.id).label("newest")
    query = select(Event.job_id, newest).where(Event.job_id.in_(job_ids))
    return {row.job_id: row.newest for row in session.execute(query.group_by(Event.job_id))}


LOG_EVENT_TYPES = ("log", "state", "checkpoint", "warning")


def log_of(session: Session, tenant_id: str, job_id: str, *, lines: int) -> list[Event]:
    """Return the last `lines` entries of a job's log, oldest first."""
    query = select(Event).where(
        Event.tenant_id == tenant_id, Event.job_id == job_id, Event.type.in_(LOG_EVENT_TYPES)
    )
    return list(session.scalars(query.order_by(Event.id.desc()).limit(lines)))[::-1]


def page_of_events(
    session: Session,
    tenant_id: str,
    job_id: str,
    *,
    after: int,
    limit: int,
    type: str | None = None,
) -> list[Event]:
    """Return events with an id above `after`, oldest first."""
    query = select(Event).where(
        Event.tenant_id == tenant_id, Event.job_id == job_id, Event.id > after
    )
    if type is not None:
        query = query.where(Event.type == type)
    return list(session.scalars(query.order_by(Event.id).limit(limit)))
