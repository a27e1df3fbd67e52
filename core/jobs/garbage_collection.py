"""Garbage collection of orphaned files of ended jobs.

A file is orphaned if its worker died before committing the row, or if the file could not be deleted
together with its row. Each job is checked once, `orphan_retention_seconds` after its end: by then
no row of the job can be added, and workers with a lost claim have stopped writing.
"""

from sqlalchemy import select, text, update

from core.database import clock, cutoff, read, write
from core.jobs.deletion import keys_of_jobs, keys_of_results
from core.jobs.state_machine import TERMINAL
from core.settings import get_settings
from core.storage import Storage, key_of
from core.tables import HAS_ORPHANS, Job

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
                orphans = stored - keys_of_jobs(session, [job_id])
                orphans -= keys_of_results(session, [job_id])
            storage.delete(orphans)
            removed += len(orphans)
    if due:
        with write() as session:
            checked = update(Job).where(Job.id.in_([job_id for _, job_id in due]))
            session.execute(checked.values(orphans_removed_at=clock()))
    return removed
