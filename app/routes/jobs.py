"""`/v1/jobs`: work that takes longer than a request."""

import asyncio
import secrets
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from app import planning
from app.authentication import Reader, Trainer
from app.once import Key, Remember, created, once
from app.schemas.jobs import JobShownState, JobView, Plan, TrainingRequest
from app.schemas.pages import After, Limit, Page, check_cursor, page_of, page_size
from app.strict import StrictRoute
from core import jobs, queue, registry, webhooks
from core.database import read, write
from core.datasets import life as datasets
from core.jobs import NewJob
from core.tables import Job, JobKind

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


@router.post("", status_code=202, response_model=JobView, responses={200: {"model": Plan}})
def create_job(
    wanted: TrainingRequest,
    caller: Trainer,
    idempotency_key: Key = None,
    traceparent: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Accept a training job: 202, and it will end, finished or failed with a reason.

    With `validate_only` nothing starts: 200, with the resolved configuration, an estimate of steps,
    minutes and memory, and warnings.
    """
    if wanted.webhook is not None:
        webhooks.check_url(wanted.webhook.url, pointer="/webhook")
    with read() as session:
        dataset = datasets.get_ready(session, caller.tenant_id, wanted.dataset)
        seed = secrets.randbits(31) if wanted.seed is None else wanted.seed
        plan = planning.plan(session, dataset, wanted, seed)
    if wanted.validate_only:
        return JSONResponse(plan.model_dump(mode="json"))

    def create(remember: Remember) -> Response:
        with write() as session:
            dataset = datasets.get_ready(session, caller.tenant_id, wanted.dataset)
            new = NewJob(
                kind=JobKind.TRAINING,
                name=wanted.name or registry.name_from(dataset.name),
                dataset_id=dataset.id,
                request=wanted.model_dump(mode="json", exclude_unset=True),
                resolved_config=plan.resolved_config,
                tags=wanted.tags,
                priority=wanted.priority,
                trace=traceparent,
            )
            job = jobs.create(session, caller.tenant_id, new)
            view = _queued_view(session, job)
            remember(session, 202, view)
        return _accepted(job, view)

    return once(caller, idempotency_key, ["POST /v1/jobs", wanted], create)


def _accepted(job: Job, view: JobView) -> Response:
    """The job is acknowledged by its row; nobody waits for the broker. The hint goes out after the
    answer, and what is lost with this process is found by the workers themselves."""
    answer = created(202, view)
    answer.background = BackgroundTask(_publish, job)
    return answer


def _queued_view(session: Session, job: Job) -> JobView:
    return JobView.of(job, jobs.queue_position(session, job))


def _publish(job: Job) -> None:
    if queue.publish(job.queue, job.id):
        with write() as session:
            jobs.mark_published(session, job.id)


@router.get("", response_model=Page[JobView])
def list_jobs(
    caller: Reader,
    limit: Limit = 50,
    after: After = None,
    state: Annotated[JobShownState | None, Query()] = None,
    kind: Annotated[JobKind | None, Query()] = None,
) -> Page[JobView]:
    """Newest first."""
    limit = page_size(limit)
    with read() as session:
        rows = jobs.page(
            session,
            caller.tenant_id,
            limit=limit + 1,
            after=check_cursor(after, "job"),
            state=state,
            kind=kind,
        )
    return page_of(rows, limit, JobView.of)


def _view(tenant_id: str, job_id: str) -> tuple[JobView, int]:
    with read() as session:
        job = jobs.get(session, tenant_id, job_id)
        return JobView.of(job, jobs.queue_position(session, job)), job.version


@router.get("/{job_id}", response_model=JobView)
async def read_job(
    job_id: str,
    caller: Reader,
    wait: Annotated[float, Query(ge=0, le=60, description="seconds to wait for a change")] = 0,
) -> JobView:
    """How far a job is; with `wait`, answered when its state changes or the time is over."""
    view, version = await run_in_threadpool(_view, caller.tenant_id, job_id)
    deadline = asyncio.get_running_loop().time() + wait
    while not view.terminal and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.25)
        newer, newer_version = await run_in_threadpool(_view, caller.tenant_id, job_id)
        if newer_version != version:
            return newer
        view = newer
    return view


@router.post("/{job_id}/cancel", response_model=JobView)
def cancel_job(job_id: str, caller: Trainer) -> JobView:
    """End a job: at once while it waits; after its present step while it runs. The last checkpoint
    is kept. 409 for a job that has ended."""
    with write() as session:
        return JobView.of(jobs.cancel(session, caller.tenant_id, job_id))


@router.post("/{job_id}/pause", response_model=JobView)
def pause_job(job_id: str, caller: Trainer) -> JobView:
    """Set a job aside: at once while it waits; saved first, after its present step, while it runs.
    It keeps its place in what it has learned, and waits until `resume`."""
    with write() as session:
        return JobView.of(jobs.pause(session, caller.tenant_id, job_id))


@router.post("/{job_id}/resume", response_model=JobView)
def resume_job(job_id: str, caller: Trainer, background: BackgroundTasks) -> JobView:
    """Put a paused job back into the queue; it goes on from its last checkpoint."""
    with write() as session:
        job = jobs.resume(session, caller.tenant_id, job_id)
        view = _queued_view(session, job)
    background.add_task(_publish, job)
    return view


@router.post("/{job_id}/retry", status_code=202, response_model=JobView)
def retry_job(job_id: str, caller: Trainer, idempotency_key: Key = None) -> Response:
    """A new job like one that has ended, from the beginning, with `retry_of`."""

    def create(remember: Remember) -> Response:
        with write() as session:
            job = jobs.retry(session, caller.tenant_id, job_id)
            view = _queued_view(session, job)
            remember(session, 202, view)
        return _accepted(job, view)

    return once(caller, idempotency_key, [f"POST /v1/jobs/{job_id}/retry"], create)
