"""Garbage collection of orphaned files of ended jobs.

A file is orphaned if its worker died before committing the row, or if the file could not be deleted
together with its row. Each job is checked once, `orphan_retention_seconds` after its end: by then
no row of the job can be added, and workers with a lost claim have stopped writing.
"""

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from core.database import clock, cutoff, read, write
from core.jobs.state_machine import TERMINAL
from core.settings import get_settings
from core.storage import Storage, key_of
from core.tables import HAS_ORPHANS, Artifact, Checkpoint, Dataset, Job, Model

BATCH = 50


def remove_orphans(storage: Storage) -> int:
    """Delete the orphaned files of up to BATCH ended jobs; return the number of deleted files."""
    with read() as session:
        ended = select(Job.tenant_id, Job.id).where(
            Job.state.in_(TERMINAL),
            text(HAS_ORPHANS),
            Job.finished_at < cutoff(session, get_settings().orphan_retention_seconds),
        )
        due = session.execute(ended.order_by(Job.finished_at).limit(BATCH)).all()
    removed = 0
    for tenant_id, job_id in due:
        stored = set(storage.keys(key_of(tenant_id, "jobs", job_id)))
        if stored:
            with read() as session:
                orphans = stored - _referenced_keys(session, job_id)
            storage.delete(orphans)
            removed += len(orphans)
    if due:
        with write() as session:
            checked = update(Job).where(Job.id.in_([job_id for _, job_id in due]))
            session.execute(checked.values(orphans_removed_at=clock()))
    return removed


def _referenced_keys(session: Session, job_id: str) -> set[str]:
    """Return the keys that rows refer to: checkpoints, artifacts, models and a created dataset."""
    files = session.scalars(select(Checkpoint.files).where(Checkpoint.job_id == job_id))
    keys = {file["key"] for row in files for file in row.values()}
    keys |= set(session.scalars(select(Artifact.key).where(Artifact.job_id == job_id)))
    weights = session.scalars(select(Model.weights).where(Model.job_id == job_id))
    keys |= {file["key"] for file in weights}
    result = session.get_one(Job, job_id).result or {}
    dataset = session.get(Dataset, result["dataset"]) if "dataset" in result else None
    return keys | set(dataset.object_keys if dataset else ())
