"""Which workers are there: a row for each, renewed while it lives."""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.database import clock
from core.tables import Worker

ACTIVE_WINDOW_S = 60.0


def heartbeat(
    session: Session,
    worker_id: str,
    *,
    queues: Sequence[str],
    host: str,
    gflops: float | None = None,
) -> None:
    """Renew the worker's row; rows that were silent for long go. `gflops`: once it is measured."""
    values = {"queues": list(queues), "host": host, "gflops": gflops, "seen_at": clock()}
    known = session.execute(
        update(Worker).where(Worker.id == worker_id).values(**values).returning(Worker.id)
    ).one_or_none()
    if known is None:
        session.add(Worker(id=worker_id, queues=list(queues), host=host, gflops=gflops))
    session.execute(delete(Worker).where(Worker.seen_at < clock(-10 * ACTIVE_WINDOW_S)))


def deregister(session: Session, worker_id: str) -> None:
    session.execute(delete(Worker).where(Worker.id == worker_id))


def active(session: Session) -> list[Worker]:
    query = select(Worker).where(Worker.seen_at >= clock(-ACTIVE_WINDOW_S))
    return list(session.scalars(query.order_by(Worker.id)))
