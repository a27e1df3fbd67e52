"""`/v1/jobs`: training, generation, evaluation and augmentation jobs."""

import asyncio
import secrets
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, BackgroundTasks, Body, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.orm import Session

import job_kinds
from app import shutdown
from app.authentication import (
    Caller,
    JobScope,
    ReadOrSampleScope,
    check_scope,
    check_still_valid,
)
from app.fairness.route import FairRoute, route_threads
from app.idempotent_requests import (
    IdempotencyKeyHeader,
    SaveResponse,
    run_idempotently,
)
from app.job_access import get_job, own_key
from app.job_notifier import Notifier
from app.schemas.events import JobShownState
from app.schemas.jobs import CancelledJobs, JobsToCancel, JobView
from app.schemas.pagination import CountedPage, list_parameters
from app.sse import StreamQuota
from core import audit, jobs, model_registry, tracing, webhooks
from core.database import read, write
from core.datasets import repository as datasets
from core.jobs import NewJob
from core.listing import PageRequest
from core.tables import JobKind, JobState, Model
from job_kinds.base import SampleStream
from modalities.sampling import SamplingPlan

if TYPE_CHECKING:
    JobRequest = job_kinds.JobRequest
    JobPlan = BaseModel
else:
    JobRequest = reduce(or_, (kind.request for kind in job_kinds.KINDS.values()))
    JobPlan = reduce(or_, (kind.plan_view for kind in job_kinds.KINDS.values()))

MAX_CANCELLED = 500  # in one request

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=FairRoute)


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    responses={200: {"model": JobPlan}},
)
def create_job(
    request: Annotated[JobRequest, Body(discriminator="kind")],
    caller: JobScope,
    background: BackgroundTasks,
    notifier: Notifier,
    idempotency_key: IdempotencyKeyHeader = None,
    traceparent: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Create a job.

    The response is 202. The job always ends as `succeeded`, as `failed` with a reason, or as
    `cancelled`.

    `training` trains a model on a dataset. `generation` generates any number of samples of a model,
    selected as in `/v1/models/{ref}/samples`, into files (`artifacts`) that workers write in
    parallel. `evaluation` compares samples of a model with real items that training did not use
    (`/v1/models/{ref}/report`). `augmentation` creates a larger dataset from an existing one, with
    a provenance record for each item (`/v1/datasets/{id}/provenance`), and can measure the benefit
    for a classifier.

    With `validate_only`, no job is created: the response is 200, with the resolved configuration,
    an estimate and warnings.
    """
    kind = job_kinds.KINDS[request.kind]
    check_scope(caller, kind.scope)
    if request.webhook is not None:
        check_scope(caller, "webhooks")
        webhooks.check_url(request.webhook.url, pointer="/webhook", tenant_id=caller.tenant_id)
    seed = secrets.randbits(31) if request.seed is None else request.seed
    plan = kind.plan(caller.tenant_id, request, seed, _open_stream)
    if not isinstance(plan, NewJob):
        return JSONResponse(plan.model_dump(mode="json"))

    def create(save: SaveResponse) -> tuple[int, JobView]:
        with write() as session:
            # The dataset or the model may have been deleted after planning.
            if plan.dataset_id is not None:
                datasets.check_ready(session, caller.tenant_id, plan.dataset_id)
            if plan.model_id is not None:
                model_registry.get(session, caller.tenant_id, plan.model_id)
            new = replace(
                plan,
                traceparent=tracing.current_traceparent() or traceparent,
                key_id=caller.key_id,
            )
            job = jobs.create(session, caller.tenant_id, new)
            audit.record(session, caller, "job.create", job.id)
            view = JobView.of(job, jobs.queue_position(session, job))
            save(session, 202, view)
        # The committed row acknowledges the job, so the response does not wait for the broker. If
        # this process ends before it notifies, the workers' poll still picks up the job.
        background.add_task(notifier.notify, job)
        return 202, view

    return run_idempotently(caller, idempotency_key, ["POST /v1/jobs", request], create)


def _open_stream(model: Model, plan: SamplingPlan) -> SampleStream:
    from app.sampling import service  # torch is slow to load

    return service.SampleStream(service.get_sampling_service(), model, plan)


def _check_scope(session: Session, caller: Caller, job_id: str) -> None:
    check_scope(caller, job_kinds.KINDS[get_job(session, caller, job_id).kind].scope)


@router.get("", response_model=CountedPage[JobView])
def list_jobs(
    caller: ReadOrSampleScope,
    page: Annotated[PageRequest, list_parameters("job")],
    state: Annotated[
        JobShownState | None, Query(description="Only jobs in this state. Default: all.")
    ] = None,
    kind: Annotated[
        JobKind | None, Query(description="Only jobs of this kind. Default: all.")
    ] = None,
    dataset: Annotated[
        str | None, Query(description="Only jobs that read this dataset (id). Default: all.")
    ] = None,
    model: Annotated[
        str | None,
        Query(description="Only jobs that sample or evaluate this model (id). Default: all."),
    ] = None,
) -> CountedPage[JobView]:
    """List the jobs, newest first unless `sort` says otherwise.

    A key with the scope `sample` but not `read` sees only the jobs that it created.
    """
    with read() as session:
        listed = jobs.page(
            session,
            caller.tenant_id,
            page,
            state=state,
            kind=kind,
            dataset_id=dataset,
            model_id=model,
            key_id=own_key(caller),
        )
        positions = jobs.queue_positions(session, listed.rows)
    return CountedPage.of(listed, [JobView.of(row, positions.get(row.id)) for row in listed.rows])


def _view(caller: Caller, job_id: str) -> tuple[JobView, int]:
    with read() as session:
        check_still_valid(session, caller)
        job = get_job(session, caller, job_id)
        return JobView.of(job, jobs.queue_position(session, job)), job.version


@router.get("/{job_id}", response_model=JobView)
async def read_job(
    job_id: str,
    caller: ReadOrSampleScope,
    _quota: StreamQuota,
    wait: Annotated[
        float,
        Query(ge=0, le=60, description="Seconds to wait for a change of the state. Default: 0."),
    ] = 0,
) -> JobView:
    """Return a job. With `wait`, respond when its state changes or the time is over."""
    view, version = await route_threads.run(caller.tenant_id, _view, caller, job_id)
    deadline = asyncio.get_running_loop().time() + wait
    while not view.terminal and asyncio.get_running_loop().time() < deadline:
        if shutdown.is_stopping():
            break
        await asyncio.sleep(0.25)
        newer, newer_version = await route_threads.run(caller.tenant_id, _view, caller, job_id)
        if newer_version != version:
            return newer
        view = newer
    return view


@router.post("/cancel", response_model=CancelledJobs)
def cancel_jobs(request: JobsToCancel, caller: JobScope) -> CancelledJobs:
    """Cancel up to 500 jobs at once: queued and paused ones, unless the request says otherwise."""
    kinds = [
        JobKind(name)
        for name in request.kinds
        if caller.scopes & {job_kinds.KINDS[name].scope, "admin"}
    ]
    with write() as session:
        job_ids = jobs.cancel_many(
            session,
            caller.tenant_id,
            kinds=kinds,
            states=[JobState(state) for state in request.states],
            dataset_id=request.dataset,
            model_id=request.model,
            key_id=own_key(caller),
            limit=MAX_CANCELLED,
        )
        for job_id in job_ids:
            audit.record(session, caller, "job.cancel", job_id)
    return CancelledJobs(jobs=job_ids, has_more=len(job_ids) == MAX_CANCELLED)


@router.post("/{job_id}/cancel", response_model=JobView)
def cancel_job(job_id: str, caller: JobScope) -> JobView:
    """Cancel a job.

    A queued job ends at once, a running one after its current step. The last checkpoint is kept.
    The response is 409 if the job has ended.
    """
    with write() as session:
        _check_scope(session, caller, job_id)
        audit.record(session, caller, "job.cancel", job_id)
        return JobView.of(jobs.cancel(session, caller.tenant_id, job_id))


@router.post("/{job_id}/pause", response_model=JobView)
def pause_job(job_id: str, caller: JobScope) -> JobView:
    """Pause a job until `resume`.

    A queued job is paused at once. A running one first finishes its current step and saves a
    checkpoint, so that no progress is lost.
    """
    with write() as session:
        _check_scope(session, caller, job_id)
        audit.record(session, caller, "job.pause", job_id)
        return JobView.of(jobs.pause(session, caller.tenant_id, job_id))


@router.post("/{job_id}/resume", response_model=JobView)
def resume_job(
    job_id: str, caller: JobScope, background: BackgroundTasks, notifier: Notifier
) -> JobView:
    """Queue a paused job again. It resumes from its last checkpoint."""
    with write() as session:
        _check_scope(session, caller, job_id)
        audit.record(session, caller, "job.resume", job_id)
        job = jobs.resume(session, caller.tenant_id, job_id)
        view = JobView.of(job, jobs.queue_position(session, job))
    background.add_task(notifier.notify, job)
    return view


@router.post("/{job_id}/retry", status_code=202, response_model=JobView)
def retry_job(
    job_id: str,
    caller: JobScope,
    background: BackgroundTasks,
    notifier: Notifier,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Create a new job with the request of an ended one; `retry_of` refers to the latter.

    The new job starts from the beginning.
    """

    def create(save: SaveResponse) -> tuple[int, JobView]:
        with write() as session:
            _check_scope(session, caller, job_id)
            if "webhook" in get_job(session, caller, job_id).request:
                check_scope(caller, "webhooks")
            job = jobs.retry(session, caller.tenant_id, job_id, caller.key_id)
            audit.record(session, caller, "job.retry", job_id)
            view = JobView.of(job, jobs.queue_position(session, job))
            save(session, 202, view)
        background.add_task(notifier.notify, job)
        return 202, view

    return run_idempotently(caller, idempotency_key, [f"POST /v1/jobs/{job_id}/retry"], create)
