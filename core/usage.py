"""Resource usage and storage totals per tenant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, String, case, cast, func, null, select, type_coerce
from sqlalchemy.orm import Session

from core.tables import Artifact, Checkpoint, Dataset, Job, JobKind, JobState, Model, Shard

Grouping = Literal["day", "key"]


@dataclass(frozen=True)
class JobUsage:
    """Totals of the jobs of one kind, over all attempts; also of one day or key, if asked for."""

    kind: JobKind
    day: str | None
    key: str | None
    jobs: int
    succeeded: int
    failed: int
    cpu_s: float
    wall_s: float
    gpu_s: float
    items: int


@dataclass(frozen=True)
class StorageUsage:
    """Stored bytes."""

    datasets: int
    models: int
    artifacts: int


def job_usage(
    session: Session,
    tenant_id: str,
    *,
    since: datetime | None,
    until: datetime,
    by: Grouping | None = None,
) -> list[JobUsage]:
    """Return the totals by job kind of jobs created from `since` until before `until`.

    With `by`, also divide them by day (UTC) or by the key that created the jobs.
    """
    day: ColumnElement[Any] = (
        func.substr(cast(Job.created_at, String), 1, 10) if by == "day" else null()
    )
    key: ColumnElement[Any] = type_coerce(Job.key_id, String) if by == "key" else null()
    groups: list[ColumnElement[Any]] = [] if by is None else [day if by == "day" else key]
    selected = (Job.tenant_id == tenant_id) & (Job.created_at < until)
    if since is not None:
        selected &= Job.created_at >= since
    totals = select(
        Job.kind,
        day,
        key,
        func.count(),
        func.sum(case((Job.state == JobState.SUCCEEDED, 1), else_=0)),
        func.sum(case((Job.state == JobState.FAILED, 1), else_=0)),
        *(func.sum(Job.usage[name].as_float()) for name in ("cpu_s", "wall_s", "gpu_s")),
    )
    generated = select(Job.kind, day, key, func.sum(Shard.items_done))
    generated = generated.join(Shard, Shard.job_id == Job.id).where(selected)
    items = {
        tuple(group): int(n) for *group, n in session.execute(generated.group_by(Job.kind, *groups))
    }
    rows = session.execute(
        totals.where(selected).group_by(Job.kind, *groups).order_by(*groups, Job.kind)
    )
    return [
        JobUsage(
            kind=row[0],
            day=row[1],
            key=row[2],
            jobs=row[3],
            succeeded=row[4],
            failed=row[5],
            cpu_s=round(row[6] or 0.0, 2),
            wall_s=round(row[7] or 0.0, 2),
            gpu_s=round(row[8] or 0.0, 2),
            items=items.get(tuple(row[:3]), 0),
        )
        for row in rows
    ]


def storage_usage(session: Session, tenant_id: str) -> StorageUsage:
    """Return the tenant's stored bytes.

    Checkpoints count as artifacts, except files that are the weights of a model.
    """
    rows = session.scalars(select(Dataset).where(Dataset.tenant_id == tenant_id))
    datasets = sum(row.stored_bytes for row in rows)
    weights = list(session.scalars(select(Model.weights).where(Model.tenant_id == tenant_id)))
    weight_keys = {file["key"] for file in weights}
    files = session.scalars(select(Checkpoint.files).where(Checkpoint.tenant_id == tenant_id))
    checkpoints = sum(
        file["bytes"] for row in files for file in row.values() if file["key"] not in weight_keys
    )
    artifacts = select(func.sum(Artifact.bytes)).where(Artifact.tenant_id == tenant_id)
    return StorageUsage(
        datasets=datasets,
        models=sum(file["bytes"] for file in weights),
        artifacts=int(session.scalar(artifacts) or 0) + checkpoints,
    )
