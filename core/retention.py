"""Deletion of what is older than its retention. Workers apply it once an hour.

No job and no event is deleted without a setting. Unused uploads and orphaned files are deleted more
often, by the garbage collection.
"""

import logging

from sqlalchemy import delete, select, text

from core import idempotency, jobs, webhooks
from core.database import cutoff, write
from core.settings import Settings
from core.storage import Storage
from core.tables import Event, JobKind

BATCH = 100  # jobs or files in one transaction
EVENT_BATCH = 5_000

log = logging.getLogger(__name__)


def apply(storage: Storage, settings: Settings) -> None:
    """Delete everything whose retention has ended, in short transactions."""
    with write() as session:
        webhooks.purge(session, settings.webhook_retention_seconds)
    with write() as session:
        idempotency.purge(session)
    _update_statistics()
    deleted = {
        "events": _delete_events(settings.event_retention_seconds),
    }
    for kind, seconds in settings.job_retention_seconds.items():
        deleted[f"{kind} jobs"] = _delete_jobs(storage, JobKind(kind), seconds)
    for kind, seconds in settings.artifact_retention_seconds.items():
        deleted[f"files of {kind} jobs"] = _delete_artifacts(storage, JobKind(kind), seconds)
    if any(deleted.values()):
        log.info("retention applied", extra={"deleted": deleted})


def _update_statistics() -> None:
    """Let SQLite sample its indexes, as PostgreSQL does unasked, so that it chooses good ones."""
    with write() as session:
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text("PRAGMA analysis_limit = 400"))
            session.execute(text("ANALYZE"))


def _delete_jobs(storage: Storage, kind: JobKind, retention_s: float) -> int:
    total = 0
    while True:
        with write() as session:
            job_ids = jobs.find_ended(
                session,
                ended_before=cutoff(session, retention_s),
                limit=BATCH,
                kind=kind,
                needed_by_models=False,
            )
            keys = jobs.delete(session, storage, job_ids) if job_ids else []
        storage.delete(keys)
        total += len(job_ids)
        if len(job_ids) < BATCH:
            return total


def _delete_artifacts(storage: Storage, kind: JobKind, retention_s: float) -> int:
    total = 0
    while True:
        with write() as session:
            end = cutoff(session, retention_s)
            keys = jobs.delete_artifacts(session, kind=kind, ended_before=end, limit=BATCH)
        storage.delete(keys)
        total += len(keys)
        if len(keys) < BATCH:
            return total


def _delete_events(retention_s: float | None) -> int:
    """Delete old events: states, phases, metrics and log entries, also of jobs that remain."""
    total = 0
    while retention_s is not None:
        with write() as session:
            # Ids grow with time, so the oldest events are the first: no other row is read.
            oldest = select(Event.id, Event.created_at).order_by(Event.id).limit(EVENT_BATCH)
            end = cutoff(session, retention_s)
            ids = [row.id for row in session.execute(oldest) if row.created_at < end]
            if ids:
                session.execute(delete(Event).where(Event.id >= ids[0], Event.id <= ids[-1]))
        total += len(ids)
        if len(ids) < EVENT_BATCH:
            break
    return total
