"""Events of a job, stored in the transaction of the change that they report, and paged by id."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, insert, select, text
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
    event = {
        "tenant_id": job.tenant_id,
        "job_id": job.id,
        "type": "state",
        "level": level,
        "data": {"state": state, **data},
    }
    session.execute(insert(Event), event)
    webhooks.enqueue(session, job, f"job.{state}")


Curves = dict[str, list[tuple[int, float]]]  # (step, value) pairs by the name of the metric


def metrics(session: Session, tenant_id: str, job_id: str, *, points: int) -> Curves:
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


def latest_metrics(session: Session, job_id: str) -> dict[str, float]:
    """Return the metrics that the job reported last, by name."""
    reported = select(Event.data).where(Event.job_id == job_id, Event.type == "metrics")
    return dict(session.scalar(reported.order_by(Event.id.desc()).limit(1)) or {})


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


def latest_event_id_of_tenant(session: Session, tenant_id: str, until: int | None = None) -> int:
    """Return the id of the newest event of any of the tenant's jobs, 0 if there is none."""
    newest = select(func.max(Event.id)).where(Event.tenant_id == tenant_id)
    if until is not None:
        newest = newest.where(Event.id <= until)
    return session.scalar(newest) or 0


_SNAPSHOT = """
SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint),
       CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint),
       (SELECT coalesce(max(id), 0) FROM events)"""


class EventWatermark:
    """The largest event id below which no transaction can add an event any more.

    On PostgreSQL, transactions commit in another order than that of their events' ids. A reader of
    all jobs that remembers only the last id would miss an event with a smaller id that is committed
    later. Every id that exists at one poll is settled once all transactions that ran then have
    ended. SQLite has one writer, so all ids are settled at once.
    """

    def __init__(self) -> None:
        self.settled_id: int | None = None
        self._candidate: tuple[int, int] | None = None  # an event id, and the next transaction
        self._lock = threading.Lock()

    def advance(self, session: Session) -> None:
        if session.get_bind().dialect.name != "postgresql":
            self.settled_id = session.scalar(select(func.max(Event.id))) or 0
            return
        # One statement, so that the id and the transactions are those of one moment.
        oldest, following, newest = session.execute(text(_SNAPSHOT)).one()
        with self._lock:
            for candidate in (self._candidate, (newest, following)):
                if candidate is not None and oldest >= candidate[1]:
                    self.settled_id = max(self.settled_id or 0, candidate[0])
                    self._candidate = None
            if self._candidate is None and newest > (self.settled_id or 0):
                self._candidate = newest, following


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


def page_of_tenant_events(
    session: Session,
    tenant_id: str,
    *,
    after: int,
    limit: int,
    until: int | None = None,
    type: str | None = None,
) -> list[Event]:
    """Return events of all jobs with ids above `after` and up to `until`, oldest first."""
    query = select(Event).where(Event.tenant_id == tenant_id, Event.id > after)
    if until is not None:
        query = query.where(Event.id <= until)
    if type is not None:
        query = query.where(Event.type == type)
    return list(session.scalars(query.order_by(Event.id).limit(limit)))
