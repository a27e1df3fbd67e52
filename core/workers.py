"""Registry of workers: one row for each running worker, renewed by heartbeats."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.database import clock
from core.devices import CPU_DEVICE, DeviceKind, DeviceReport
from core.tables import Worker

ACTIVE_WINDOW_S = 60.0


def heartbeat(
    session: Session,
    worker_id: str,
    *,
    queues: Sequence[str],
    host: str,
    gflops: float | None = None,
    device: DeviceReport = CPU_DEVICE,
    **machine: str | int,
) -> None:
    """Create or renew the worker's row, and delete rows that were not renewed for 10 minutes.

    `gflops` is None until the worker has measured it. `machine` has `version`, `cpus` and
    `memory_bytes`.
    """
    values = {"queues": list(queues), "host": host, "gflops": gflops, "device": asdict(device)}
    values |= machine
    renewed = update(Worker).where(Worker.id == worker_id).values(seen_at=clock(), **values)
    if session.execute(renewed.returning(Worker.id)).one_or_none() is None:
        session.add(Worker(id=worker_id, **values))
    session.execute(delete(Worker).where(Worker.seen_at < clock(-10 * ACTIVE_WINDOW_S)))


def deregister(session: Session, worker_id: str) -> None:
    session.execute(delete(Worker).where(Worker.id == worker_id))


def active(session: Session) -> list[Worker]:
    """Return the workers with a heartbeat within ACTIVE_WINDOW_S."""
    query = select(Worker).where(Worker.seen_at >= clock(-ACTIVE_WINDOW_S))
    return list(session.scalars(query.order_by(Worker.id)))


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
