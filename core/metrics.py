"""Prometheus gauges over all tenants: jobs, shards, workers, datasets, deliveries and storage."""

import time
from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import ColumnElement, Engine, TextClause, case, func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from core import workers
from core.database import clock, get_engine, read
from core.jobs.state_machine import IS_LIVE
from core.settings import QUEUES
from core.storage import get_storage
from core.tables import (
    Dataset,
    DatasetState,
    Delivery,
    Job,
    JobState,
    Shard,
    ShardState,
    UploadPart,
)

ENDED_COUNTS_S = 60.0  # they sum up the history, so they are not read at every scrape


class DatabaseCollector(Collector):
    """Gauges that each scrape reads from the database.

    Counts of jobs that are neither queued nor running are up to ENDED_COUNTS_S old.
    """

    def __init__(self) -> None:
        self._other_counts: dict[tuple[str, JobState], int] = {}
        self._counted: tuple[Engine, float] | None = None  # database, and time of the counts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with read() as session:
            yield _jobs(_count_jobs(session, IS_LIVE) | self._count_other_jobs(session))
            yield _tenant_jobs(session)
            yield _tenant_uploads(session)
            yield _oldest_queued_jobs(session)
            yield _shards(session)
            yield _workers(session)
            yield _datasets(session)
            yield _pending_deliveries(session)

    def _count_other_jobs(self, session: Session) -> dict[tuple[str, JobState], int]:
        engine, now = get_engine(), time.monotonic()
        is_fresh = self._counted is not None and self._counted[0] is engine
        if self._counted is None or not is_fresh or now - self._counted[1] > ENDED_COUNTS_S:
            live = (JobState.QUEUED, JobState.RUNNING)
            self._other_counts = _count_jobs(session, Job.state.not_in(live))
            self._counted = engine, now
        return self._other_counts


class PoolCollector(Collector):
    """Connections of this process to the database."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        pool = get_engine().pool
        if isinstance(pool, QueuePool):
            yield _gauge(
                "semblance_database_connections",
                "Connections of this process to the database, by state.",
                "state",
                {"used": pool.checkedout(), "idle": pool.checkedin()},
            )


class StorageCollector(Collector):
    """Free space of the object storage, if it is a folder."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if (free := get_storage().free_bytes()) is not None:
            name = "semblance_storage_free_bytes"
            yield GaugeMetricFamily(name, "Free space of the object storage in bytes.", free)


def _count_jobs(
    session: Session, condition: ColumnElement[bool] | TextClause
) -> dict[tuple[str, JobState], int]:
    counts = select(Job.queue, Job.state, func.count()).where(condition)
    rows = session.execute(counts.group_by(Job.queue, Job.state))
    return {(queue, state): count for queue, state, count in rows}


def _jobs(counts: dict[tuple[str, JobState], int]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
        "semblance_jobs", "Jobs in the table, by queue and state.", labels=("queue", "state")
    )
    # Series that are zero exist, so that queries and alerts need not care for absent ones.
    values = {(queue, state): 0 for queue in QUEUES for state in JobState} | counts
    for (queue, state), count in values.items():
        gauge.add_metric((queue, state.value), count)
    return gauge


def _tenant_jobs(session: Session) -> GaugeMetricFamily:
    """Count the jobs that have not ended, which an index holds: the table has all others, too."""
    counts = session.execute(
        select(Job.tenant_id, Job.state, func.count())
        .where(IS_LIVE)
        .group_by(Job.tenant_id, Job.state)
    )
    gauge = GaugeMetricFamily(
        "semblance_tenant_jobs",
        "Jobs of a tenant that have not ended, by state.",
        labels=("tenant", "state"),
    )
    for tenant_id, state, count in counts:
        gauge.add_metric((tenant_id, state.value), count)
    return gauge


def _tenant_uploads(session: Session) -> GaugeMetricFamily:
    sizes = session.execute(
        select(UploadPart.tenant_id, func.sum(UploadPart.bytes)).group_by(UploadPart.tenant_id)
    )
    return _gauge(
        "semblance_tenant_upload_bytes",
        "Bytes of a tenant's uploads that are not datasets yet.",
        "tenant",
        {tenant_id: float(size) for tenant_id, size in sizes},
    )


def _oldest_queued_jobs(session: Session) -> GaugeMetricFamily:
    waiting = select(Job.queue, func.min(Job.queued_at), clock()).where(
        IS_LIVE, Job.state == JobState.QUEUED
    )
    return _gauge(
        "semblance_queue_oldest_seconds",
        "Waiting time of the oldest queued job of a queue, in seconds; 0 without one.",
        "queue",
        dict.fromkeys(QUEUES, 0.0)
        | {
            queue: (now - oldest).total_seconds()
            for queue, oldest, now in session.execute(waiting.group_by(Job.queue))
        },
    )


def _shards(session: Session) -> GaugeMetricFamily:
    live = select(
        func.sum(case((Shard.state == ShardState.QUEUED, 1), else_=0)),
        func.sum(case((Shard.state == ShardState.RUNNING, 1), else_=0)),
    ).join(Job, Job.id == Shard.job_id)
    queued, running = session.execute(
        live.where(Job.state.in_([JobState.QUEUED, JobState.RUNNING, JobState.PAUSED]))
    ).one()
    return _gauge(
        "semblance_shards",
        "Queued and running shards of generation jobs that have not ended.",
        "state",
        {"queued": queued or 0, "running": running or 0},
    )


def _workers(session: Session) -> GaugeMetricFamily:
    active = workers.active(session)
    return _gauge(
        "semblance_workers",
        "Workers with a heartbeat within the last minute, by queue.",
        "queue",
        {queue: sum(queue in worker.queues for worker in active) for queue in QUEUES},
    )


def _datasets(session: Session) -> GaugeMetricFamily:
    counts = session.execute(select(Dataset.state, func.count()).group_by(Dataset.state))
    return _gauge(
        "semblance_datasets",
        "Datasets by state.",
        "state",
        {state.value: 0 for state in DatasetState}
        | {state.value: count for state, count in counts},
    )


def _pending_deliveries(session: Session) -> GaugeMetricFamily:
    pending = select(func.count()).where(Delivery.next_at.is_not(None))
    return GaugeMetricFamily(
        "semblance_webhook_deliveries_pending",
        "Webhook deliveries that are still to be sent.",
        session.scalar(pending) or 0,
    )


def _gauge(
    name: str, description: str, label: str, values: Mapping[str, float]
) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, description, labels=(label,))
    for label_value, value in values.items():
        gauge.add_metric((label_value,), value)
    return gauge
