"""Gauges for operators, over all tenants: jobs, shards, workers, datasets and deliveries."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from core import workers
from core.database import clock
from core.tables import Dataset, Delivery, Job, JobState, Shard, ShardState


@dataclass(frozen=True)
class Gauge:
    name: str
    description: str
    values: list[tuple[dict[str, str], float]]  # (labels, value)


def gauges(session: Session) -> Iterator[Gauge]:
    states = session.execute(
        select(Job.queue, Job.state, func.count()).group_by(Job.queue, Job.state)
    )
    yield Gauge(
        "semblance_jobs",
        "Jobs in the table, by queue and state.",
        [({"queue": queue, "state": state.value}, n) for queue, state, n in states],
    )
    waiting = select(Job.queue, func.min(Job.queued_at), clock()).where(
        Job.state == JobState.QUEUED
    )
    yield Gauge(
        "semblance_queue_oldest_seconds",
        "Waiting time of the oldest queued job of a queue, in seconds.",
        [
            ({"queue": queue}, (now - oldest).total_seconds())
            for queue, oldest, now in session.execute(waiting.group_by(Job.queue))
        ],
    )
    live = select(
        func.sum(case((Shard.state == ShardState.QUEUED, 1), else_=0)),
        func.sum(case((Shard.state == ShardState.RUNNING, 1), else_=0)),
    ).join(Job, Job.id == Shard.job_id)
    queued, running = session.execute(
        live.where(Job.state.in_([JobState.QUEUED, JobState.RUNNING, JobState.PAUSED]))
    ).one()
    yield Gauge(
        "semblance_shards",
        "Queued and running shards of generation jobs that have not ended.",
        [({"state": "queued"}, queued or 0), ({"state": "running"}, running or 0)],
    )
    active = workers.active(session)
    names = sorted({queue for worker in active for queue in worker.queues})
    yield Gauge(
        "semblance_workers",
        "Workers with a heartbeat within the last minute, by queue.",
        [({"queue": name}, sum(name in worker.queues for worker in active)) for name in names],
    )
    datasets = session.execute(select(Dataset.state, func.count()).group_by(Dataset.state))
    yield Gauge(
        "semblance_datasets",
        "Datasets by state.",
        [({"state": state.value}, n) for state, n in datasets],
    )
    pending = select(func.count()).where(Delivery.next_at.is_not(None))
    yield Gauge(
        "semblance_webhook_deliveries_pending",
        "Webhook deliveries that are still to be sent.",
        [({}, session.scalar(pending) or 0)],
    )
