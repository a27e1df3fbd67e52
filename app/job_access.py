"""Which jobs a key may see, and which of their files."""

from sqlalchemy.orm import Session

from app.authentication import Caller, check_scope
from core import jobs
from core.errors import NotFound
from core.tables import Job, JobKind

PREVIEWS = "previews/"  # of training jobs; they show samples


def own_key(caller: Caller) -> str | None:
    """Return the key whose jobs the caller may see; None if it may see all of the tenant.

    A key that may only sample sees the jobs that it created.
    """
    return None if caller.scopes & {"read", "admin"} else caller.key_id


def get_job(session: Session, caller: Caller, job_id: str) -> Job:
    """Return a job that the caller may see.

    Raises:
        NotFound: There is no such job, or another key has created it.
    """
    job = jobs.get(session, caller.tenant_id, job_id)
    if own_key(caller) not in {None, job.key_id}:
        raise NotFound(f"Job {job_id} does not exist.")
    return job


def check_artifact(caller: Caller, job: Job, name: str) -> None:
    """Raise Forbidden if the file may show training data, and the key may not read that.

    Files of generation jobs and previews of trainings show samples only. Those of evaluations have
    real items next to samples.
    """
    if job.kind is not JobKind.GENERATION and not name.startswith(PREVIEWS):
        check_scope(caller, "data:read")
