"""Files that nobody names: stored under a claim that died before their row was written, or dropped
by a row whose file could not be deleted then.

Looked for once, some time after a job has ended: nothing can be named in it any more, and whoever
still writes under a lost claim has long been left.
"""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.database import clock, read, write
from core.jobs.state_machine import TERMINAL
from core.settings import get_settings
from core.storage import Storage, key_of
from core.tables import Artifact, Checkpoint, Dataset, Job, Model

BATCH = 50


def remove_orphans(storage: Storage) -> int:
    """Of some jobs that ended long enough ago; how many files were removed."""
    ended = select(Job.tenant_id, Job.id).where(
        Job.state.in_(TERMINAL),
        Job.orphans_removed_at.is_(None),
        Job.finished_at < clock(-get_settings().orphan_retention_seconds),
    )
    with read() as session:
        due = session.execute(ended.order_by(Job.id).limit(BATCH)).all()
    removed = 0
    for tenant_id, job_id in due:
        stored = set(storage.keys(key_of(tenant_id, "jobs", job_id)))
        if stored:
            with read() as session:
                orphans = stored - _named(session, job_id)
            storage.delete(orphans)
            removed += len(orphans)
    if due:
        with write() as session:
            swept = update(Job).where(Job.id.in_([job_id for _, job_id in due]))
            session.execute(swept.values(orphans_removed_at=clock()))
    return removed


def _named(session: Session, job_id: str) -> set[str]:
    files = session.scalars(select(Checkpoint.files).where(Checkpoint.job_id == job_id))
    named = {file["key"] for row in files for file in row.values()}
    named |= set(session.scalars(select(Artifact.key).where(Artifact.job_id == job_id)))
    weights = session.scalars(select(Model.weights).where(Model.job_id == job_id))
    named |= {file["key"] for file in weights}
    result = session.get_one(Job, job_id).result or {}
    made = session.get(Dataset, result["dataset"]) if "dataset" in result else None
    return named | {file["key"] for file in (made.objects.values() if made else ())}
