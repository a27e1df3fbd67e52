"""Deletion of ended jobs with everything that only they need: rows, files, webhooks."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select, update
from sqlalchemy import delete as delete_rows
from sqlalchemy.orm import Session

from core import webhooks
from core.errors import ResourceInUse
from core.idempotency import forget_responses
from core.jobs.state_machine import TERMINAL
from core.listing import forget_tags
from core.storage import Storage, key_of
from core.tables import (
    Artifact,
    Checkpoint,
    Dataset,
    Event,
    Job,
    JobKind,
    JobState,
    Model,
    Shard,
)


def delete(session: Session, storage: Storage, job_ids: Sequence[str]) -> list[str]:
    """Delete the jobs and return the keys of the objects to delete after the commit.

    These include orphaned files, which nobody would find without the job.

    Models and datasets that they created remain, with their files. Such a model no longer refers to
    its job, and is like an imported one. Raises ResourceInUse if a job has not ended.
    """
    live = session.scalars(
        select(Job.id).where(Job.id.in_(job_ids), Job.state.not_in(TERMINAL))
    ).all()
    if live:
        raise ResourceInUse(
            f"These jobs are active: {', '.join(live[:5])}. Cancel them or wait until they end.",
            jobs=list(live[:20]),
        )
    keys = keys_of_jobs(session, job_ids) | _orphans_of(session, storage, job_ids)
    keys -= keys_of_results(session, job_ids)
    session.execute(update(Model).where(Model.job_id.in_(job_ids)).values(job_id=None))
    for table in (Event, Shard, Artifact, Checkpoint):
        session.execute(delete_rows(table).where(table.job_id.in_(job_ids)))
    webhooks.delete_of_jobs(session, job_ids)
    session.execute(update(Job).where(Job.retry_of.in_(job_ids)).values(retry_of=None))
    session.execute(delete_rows(Job).where(Job.id.in_(job_ids)))
    forget_tags(session, job_ids)
    forget_responses(session, job_ids)
    return sorted(keys)


def find_ended(
    session: Session,
    *,
    ended_before: datetime,
    limit: int,
    tenant_id: str | None = None,
    states: Iterable[JobState] = TERMINAL,
    kind: JobKind | None = None,
    needed_by_models: bool = True,
) -> Sequence[str]:
    """Return the ids of jobs that ended before a time, oldest first.

    Without `needed_by_models`, jobs that trained or evaluated an existing model are left out: its
    report and its curves come from them.
    """
    query = select(Job.id).where(
        Job.state.in_([state for state in states if state in TERMINAL]),
        Job.finished_at < ended_before,
    )
    if tenant_id is not None:
        query = query.where(Job.tenant_id == tenant_id)
    if kind is not None:
        query = query.where(Job.kind == kind)
    if not needed_by_models:
        trained = select(Model.id).where(Model.job_id == Job.id)
        query = query.where(~(trained.exists() | _has_report()))
    return session.scalars(query.order_by(Job.id).limit(limit)).all()


def delete_artifacts(
    session: Session, *, kind: JobKind, ended_before: datetime, limit: int
) -> list[str]:
    """Delete up to `limit` artifacts of jobs that ended before a time; the jobs remain.

    Returns the keys of the objects to delete after the commit. Reports of existing models and files
    of datasets are kept.
    """
    expired = (
        select(Artifact)
        .join(Job, Job.id == Artifact.job_id)
        .where(
            Job.kind == kind,
            Job.state.in_(TERMINAL),
            Job.finished_at < ended_before,
            ~_has_report(),
        )
    )
    artifacts = session.scalars(expired.order_by(Artifact.id).limit(limit)).all()
    for artifact in artifacts:
        session.delete(artifact)
    keys = {artifact.key for artifact in artifacts}
    return sorted(keys - keys_of_results(session, [artifact.job_id for artifact in artifacts]))


def _has_report() -> ColumnElement[bool]:
    """Select evaluation jobs whose model exists: its report is an artifact of such a job."""
    evaluated = select(Model.id).where(Model.id == Job.model_id)
    return (Job.kind == JobKind.EVALUATION) & evaluated.exists()


def keys_of_jobs(session: Session, job_ids: Sequence[str]) -> set[str]:
    """Return the keys of the checkpoints and artifacts of the jobs."""
    files = session.scalars(select(Checkpoint.files).where(Checkpoint.job_id.in_(job_ids)))
    keys = {file["key"] for row in files for file in row.values()}
    return keys | set(session.scalars(select(Artifact.key).where(Artifact.job_id.in_(job_ids))))


def _orphans_of(session: Session, storage: Storage, job_ids: Sequence[str]) -> set[str]:
    """Return the keys of all files of the jobs that garbage collection has not handled yet."""
    unchecked = select(Job.tenant_id, Job.id).where(
        Job.id.in_(job_ids), Job.orphans_removed_at.is_(None)
    )
    return {
        key
        for tenant_id, job_id in session.execute(unchecked)
        for key in storage.keys(key_of(tenant_id, "jobs", job_id))
    }


def keys_of_results(session: Session, job_ids: Sequence[str]) -> set[str]:
    """Return the keys of the models and datasets that the jobs created."""
    weights = session.scalars(select(Model.weights).where(Model.job_id.in_(job_ids)))
    keys = {file["key"] for file in weights}
    results = session.scalars(select(Job.result).where(Job.id.in_(job_ids)))
    dataset_ids = [result["dataset"] for result in results if result and "dataset" in result]
    for dataset in session.scalars(select(Dataset).where(Dataset.id.in_(dataset_ids))):
        keys |= set(dataset.object_keys)
    return keys
