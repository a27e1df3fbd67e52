"""Deletion of ended jobs: one, or all that ended before a time."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

import job_kinds
from app.authentication import JobScope, check_scope
from app.fairness.route import FairRoute
from app.sampling.model_cache import get_model_cache
from core import audit, jobs
from core.database import write
from core.errors import FieldError, ValidationFailed
from core.storage import get_storage
from core.tables import JobKind, JobState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=FairRoute)

BATCH = 1_000


class DeletedJobs(BaseModel):
    deleted: int = Field(description=f"Number of deleted jobs, at most {BATCH}.")
    more: bool = Field(description="Whether there may be more: repeat the request.")


@router.delete("/{job_id}", status_code=204)
def delete_job(job_id: str, caller: JobScope) -> None:
    """Delete an ended job with its events, checkpoints and files.

    Models and datasets that it created remain, but a model's curves and further checkpoints are
    gone. The response is 409 if the job has not ended.
    """
    storage = get_storage()
    with write() as session:
        job = jobs.get(session, caller.tenant_id, job_id)
        check_scope(caller, job_kinds.KINDS[job.kind].scope)
        audit.record(session, caller, "job.delete", job_id)
        keys = jobs.delete(session, storage, [job.id])
    storage.delete(keys)
    get_model_cache().remove_deleted()  # its checkpoints


@router.delete("", response_model=DeletedJobs)
def delete_jobs(
    caller: JobScope,
    ended_before: Annotated[
        AwareDatetime, Query(description="Only jobs that ended before this time (RFC 3339).")
    ],
    kind: Annotated[JobKind, Query(description="Only jobs of this kind.")],
    state: Annotated[
        JobState | None,
        Query(description="Only jobs in this state, an end. Default: all that have ended."),
    ] = None,
) -> DeletedJobs:
    """Delete ended jobs of a kind, oldest first, each as `DELETE /v1/jobs/{id}` does."""
    check_scope(caller, job_kinds.KINDS[kind].scope)
    if state is not None and state not in jobs.TERMINAL:
        error = FieldError("/state", "not_allowed", "Must be a state in which a job has ended.")
        raise ValidationFailed(f"`state` {error.message}", field_errors=[error])
    storage = get_storage()
    with write() as session:
        job_ids = jobs.find_ended(
            session,
            ended_before=ended_before,
            limit=BATCH,
            tenant_id=caller.tenant_id,
            kind=kind,
            states=jobs.TERMINAL if state is None else [state],
        )
        for job_id in job_ids:
            audit.record(session, caller, "job.delete", job_id)
        keys = jobs.delete(session, storage, job_ids)
    storage.delete(keys)
    get_model_cache().remove_deleted()
    return DeletedJobs(deleted=len(job_ids), more=len(job_ids) == BATCH)
