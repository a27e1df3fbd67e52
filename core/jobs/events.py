"""What happened in a job, in order: stored with the change that it tells of, paged by id."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core import webhooks
from core.tables import Event, Job, Json


@dataclass(frozen=True)
class NewEvent:
    """`type` is one of state, metrics, log, checkpoint, preview, shard, warning."""

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
    """Every change of a job's state comes through here, after the row itself was changed: an event,
    and a message for each webhook that waits for it."""
    event = NewEvent("state", {"state": state, **data}, level=level)
    record_events(session, job.tenant_id, job.id, [event])
    webhooks.enqueue(session, job, f"job.{state}")


def metrics(
    session: Session, tenant_id: str, job_id: str, *, points: int
) -> dict[str, list[tuple[int, float]]]:
    """Each metric's values by step, thinned to at most `points`, the last one always kept.

    A step that was trained again after a loss counts with its last value.
    """
    query = select(Event.step, Event.data).where(
        Event.tenant_id == tenant_id, Event.job_id == job_id, Event.type == "metrics"
    )
    series: dict[str, dict[int, float]] = {}
    for step, data in session.execute(query.order_by(Event.id)):
        for name, value in data.items():
            series.setdefault(name, {})[step or 0] = value
    return {name: _thinned(sorted(line.items()), points) for name, line in series.items()}


def _thinned(line: list[tuple[int, float]], points: int) -> list[tuple[int, float]]:
    if len(line) <= points:
        return line
    stride = (len(line) - 1) / (points - 1)
    return [line[round(i * stride)] for i in range(points)]


def latest_event_ids(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    """The id of the newest event of each job; within a job, ids grow in the order of commits."""
    newest = func.max(Event.id).label("newest")
    query = select(Event.job_id, newest).where(Event.job_id.in_(job_ids))
    return {row.job_id: row.newest for row in session.execute(query.group_by(Event.job_id))}


LOG_EVENT_TYPES = ("log", "state", "checkpoint", "warning")


def log_of(session: Session, tenant_id: str, job_id: str, *, lines: int) -> list[Event]:
    """The last entries of a job's log, oldest first."""
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
    """Events with an id above `after`, oldest first."""
    query = select(Event).where(
        Event.tenant_id == tenant_id, Event.job_id == job_id, Event.id > after
    )
    if type is not None:
        query = query.where(Event.type == type)
    return list(session.scalars(query.order_by(Event.id).limit(limit)))
