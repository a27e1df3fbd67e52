"""Resource usage and storage totals per tenant."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from core.tables import Artifact, Checkpoint, Dataset, Job, JobKind, JobState, Model, Shard


@dataclass(frozen=True)
class JobUsage:
    """Totals of the jobs of one kind, over all attempts."""

    kind: JobKind
    jobs: int
    succeeded: int
    failed: int
    cpu_s: float
    wall_s: float
    items: int


@dataclass(frozen=True)
class StorageUsage:
    """Stored bytes."""

    datasets: int
    models: int
    artifacts: int


def job_usage(
    session: Session, tenant_id: str, *, since: datetime | None, until: datetime
) -> list[JobUsage]:
    """Return the totals by job kind of jobs created from `since` until before `until`."""
    selected = (Job.tenant_id == tenant_id) & (Job.created_at < until)
    if since is not None:
        selected &= Job.created_at >= since
    totals = select(
        Job.kind,
        func.count(),
        func.sum(case((Job.state == JobState.SUCCEEDED, 1), else_=0)),
        func.sum(case((Job.state == JobState.FAILED, 1), else_=0)),
        *(func.sum(Job.usage[name].as_float()) for name in ("cpu_s", "wall_s")),
    )
    generated = select(Job.kind, func.sum(Shard.items_done)).join(Shard, Shard.job_id == Job.id)
    items = {
        kind: int(n) for kind, n in session.execute(generated.where(selected).group_by(Job.kind))
    }
    rows = session.execute(totals.where(selected).group_by(Job.kind).order_by(Job.kind))
    return [
        JobUsage(
            kind=row[0],
            jobs=row[1],
            succeeded=row[2],
            failed=row[3],
            cpu_s=round(row[4] or 0.0, 2),
            wall_s=round(row[5] or 0.0, 2),
            items=items.get(row[0], 0),
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
