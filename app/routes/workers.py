"""`/v1/workers` and `/v1/queues`: state of the workers and the queues."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.authentication import ReadScope
from app.fairness.route import FairRoute
from core import jobs, workers
from core.database import read
from core.devices import DeviceKind
from core.settings import get_settings

router = APIRouter(prefix="/v1", tags=["operations"], route_class=FairRoute)


class DeviceView(BaseModel):
    """Device that a worker computes on."""

    id: str = Field(description="`cpu`, or `cuda:N` for a GPU.")
    kind: DeviceKind = Field(description="Kind of device, which jobs are bound to.")
    name: str | None = Field(description="Name of the processor; null if it is unknown.")
    memory_bytes: int | None = Field(description="Total memory in bytes; null if it is unknown.")
    driver: str | None = Field(
        description="Newest version of CUDA that the driver supports; null for a CPU."
    )
    error: str | None = Field(
        description="Why the worker cannot use its device and runs no jobs; null if it can."
    )


class WorkerView(BaseModel):
    id: str = Field(description="Worker id.")
    queues: list[str] = Field(description="Queues that the worker takes jobs from.")
    host: str = Field(description="Name of the machine.")
    version: str = Field(description="Version of the worker's software.")
    cpus: int = Field(description="Number of processor cores of the machine.")
    memory_bytes: int = Field(description="Memory of the machine in bytes.")
    gflops: float | None = Field(
        description="Measured speed of a matrix product on one thread or GPU; null until then."
    )
    device: DeviceView = Field(description="Device that the worker computes on.")
    started_at: datetime = Field(description="Start of the worker.")
    seen_at: datetime = Field(description="Time of the last heartbeat.")
    job: str | None = Field(
        description="Id of the job that the worker runs; null if it is another tenant's."
    )


class QueueView(BaseModel):
    name: str = Field(description="Name of the queue.")
    queued: int = Field(description="Number of your queued jobs.")
    running: int = Field(description="Number of your running jobs.")
    oldest_s: float | None = Field(
        description="Waiting time in seconds of the job that was queued first; null if none is."
    )
    workers: int = Field(description="Number of active workers that take jobs from this queue.")


@router.get("/workers", response_model=list[WorkerView])
def list_workers(caller: ReadScope) -> list[WorkerView]:
    """List the workers whose last heartbeat is at most one minute old."""
    with read() as session:
        active = workers.active(session)
        job_ids = jobs.running_by_owner(session, caller.tenant_id)
    return [
        WorkerView(
            id=worker.id,
            queues=worker.queues,
            host=worker.host,
            version=worker.version,
            cpus=worker.cpus,
            memory_bytes=worker.memory_bytes,
            gflops=worker.gflops,
            device=DeviceView.model_validate(worker.device),
            started_at=worker.started_at,
            seen_at=worker.seen_at,
            job=job_ids.get(worker.id),
        )
        for worker in active
    ]


@router.get("/queues", response_model=list[QueueView])
def list_queues(caller: ReadScope) -> list[QueueView]:
    """List the queues, with the number of the caller's queued and running jobs."""
    with read() as session:
        working = [
            worker for worker in workers.active(session) if workers.device_of(worker).error is None
        ]
        depths = jobs.queue_depths(session, caller.tenant_id)
    names = sorted({*get_settings().worker_queues, *depths})
    return [
        QueueView(
            name=name,
            queued=depths[name].queued if name in depths else 0,
            running=depths[name].running if name in depths else 0,
            oldest_s=depths[name].oldest_s if name in depths else None,
            workers=sum(name in worker.queues for worker in working),
        )
        for name in names
    ]
