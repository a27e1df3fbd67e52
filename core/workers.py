"""Registry of workers: one row for each running worker, renewed by heartbeats."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.database import clock
from core.devices import CPU_DEVICE, DeviceKind, DeviceReport
from core.tables import Json, Worker

ACTIVE_WINDOW_S = 60.0


def describe(
    *,
    queues: Sequence[str],
    host: str,
    gflops: float | None = None,
    device: DeviceReport = CPU_DEVICE,
    version: str = "",
    cpus: int = 0,
    memory_bytes: int = 0,
) -> Json:
    """Return the columns of a worker; `gflops` is None until the worker has measured it."""
    return {
        "queues": list(queues),
        "host": host,
        "gflops": gflops,
        "device": asdict(device),
        "version": version,
        "cpus": cpus,
        "memory_bytes": memory_bytes,
    }


def heartbeats(session: Session, descriptions: Mapping[str, Json]) -> None:
    """Create or renew the rows of workers, by id, in one statement.

    Rows that were not renewed for 10 minutes are deleted.
    """
    now = session.scalars(select(clock())).one()
    on_postgresql = session.get_bind().dialect.name == "postgresql"
    insert = postgresql.insert if on_postgresql else sqlite.insert
    rows = [{"id": key, "seen_at": now} | row for key, row in sorted(descriptions.items())]
    statement = insert(Worker).values(rows)
    changed = {name: statement.excluded[name] for name in rows[0] if name != "id"}
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))
    session.execute(delete(Worker).where(Worker.seen_at < clock(-10 * ACTIVE_WINDOW_S)))


def deregister(session: Session, worker_id: str) -> None:
    session.execute(delete(Worker).where(Worker.id == worker_id))


_ACTIVE = select(Worker).where(Worker.seen_at >= clock(-ACTIVE_WINDOW_S)).order_by(Worker.id)


def active(session: Session) -> list[Worker]:
    """Return the workers with a heartbeat within ACTIVE_WINDOW_S."""
    return list(session.scalars(_ACTIVE))


def device_of(worker: Worker) -> DeviceReport:
    fields = worker.device
    return DeviceReport(**fields | {"kind": DeviceKind(fields["kind"])})


def serving(session: Session, queue: str, kind: DeviceKind | None) -> list[Worker]:
    """Return the active workers that can claim jobs of the queue that need a device of this kind.

    With None, workers of all kinds are returned.
    """
    return [
        worker
        for worker in active(session)
        if queue in worker.queues
        and (device := device_of(worker)).error is None
        and kind in (None, device.kind)
    ]
