"""What an operator looks at: workers and queues."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.authentication import ReadScope
from core import jobs, workers
from core.database import read
from core.settings import get_settings

router = APIRouter(prefix="/v1", tags=["operations"])


class WorkerView(BaseModel):
    id: str
    queues: list[str]
    device: str
    started_at: datetime
    seen_at: datetime
    job: str | None = Field(description="the job that it runs, if it is the caller's")


class QueueView(BaseModel):
    name: str
    queued: int
    running: int
    oldest_s: float | None = Field(description="how long the first job has waited")
    workers: int = Field(description="that take jobs of this queue")


@router.get("/workers", response_model=list[WorkerView])
def list_workers(caller: ReadScope) -> list[WorkerView]:
    """The workers that were seen within the last minute."""
    with read() as session:
        alive = workers.active(session)
        held = jobs.running_by_owner(session, caller.tenant_id)
    return [
        WorkerView(
            id=worker.id,
            queues=worker.queues,
            device=worker.device,
            started_at=worker.started_at,
            seen_at=worker.seen_at,
            job=held.get(worker.id),
        )
        for worker in alive
    ]


@router.get("/queues", response_model=list[QueueView])
def list_queues(caller: ReadScope) -> list[QueueView]:
    """How much waits and runs in each queue, of the caller's jobs."""
    with read() as session:
        alive = workers.active(session)
        depths = jobs.queue_depths(session, caller.tenant_id)
    names = sorted({*get_settings().worker_queues, *depths})
    return [
        QueueView(
            name=name,
            queued=depths[name].queued if name in depths else 0,
            running=depths[name].running if name in depths else 0,
            oldest_s=depths[name].oldest_s if name in depths else None,
            workers=sum(name in worker.queues for worker in alive),
        )
        for name in names
    ]
