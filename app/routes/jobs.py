"""`/v1/jobs`: work that takes longer than a request."""

import asyncio
import secrets
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from app import planning
from app.authentication import Caller, JobScope, ReadScope, check_scope
from app.idempotency import IdempotencyKeyHeader, SaveResponse, created_response, run_idempotently
from app.job_notifier import get_job_notifier
from app.request_body import StrictJsonRoute
from app.schemas.augmentation import AugmentationPlan, AugmentationRequest
from app.schemas.jobs import (
    EvaluationPlan,
    EvaluationRequest,
    GenerationPlan,
    GenerationRequest,
    JobShownState,
    JobView,
    TrainingPlan,
    TrainingRequest,
)
from app.schemas.pagination import After, Limit, Page, build_page, check_cursor, page_size
from core import evaluation, jobs, model_registry, webhooks
from core.database import read, write
from core.datasets import repository as datasets
from core.errors import Conflict
from core.jobs import NewJob
from core.settings import get_settings
from core.storage import get_storage
from core.tables import Job, JobKind

SCOPES = {
    JobKind.TRAINING: "train",
    JobKind.GENERATION: "sample",
    JobKind.EVALUATION: "train",
    JobKind.AUGMENTATION: "train",
}
JobRequest = TrainingRequest | GenerationRequest | EvaluationRequest | AugmentationRequest
JobPlan = TrainingPlan | GenerationPlan | EvaluationPlan | AugmentationPlan

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictJsonRoute)


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    responses={200: {"model": JobPlan}},
)
def create_job(
    request: Annotated[JobRequest, Body(discriminator="kind")],
    caller: JobScope,
    idempotency_key: IdempotencyKeyHeader = None,
    traceparent: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Accept a job: 202, and it will end, finished or failed with a reason.

    `training` learns from a dataset; `generation` draws any number of items from a model, by label
    as `/v1/models/{ref}/samples` does, into files that several workers share (`artifacts`);
    `evaluation` measures a model's samples against real items that its training has not seen
    (`/v1/models/{ref}/report`); `augmentation` makes a larger dataset out of one, with each item's
    recipe (`/v1/datasets/{id}/provenance`), and can measure what that is worth to a classifier.

    With `validate_only` nothing starts: 200, with the resolved configuration, an estimate and
    warnings.
    """
    check_scope(caller, SCOPES[JobKind(request.kind)])
    if request.webhook is not None:
        webhooks.check_url(request.webhook.url, pointer="/webhook")
    seed = secrets.randbits(31) if request.seed is None else request.seed
    planned = _planned(caller, request, seed)
    if isinstance(planned, JobPlan):
        return JSONResponse(planned.model_dump(mode="json"))

    def create(remember: SaveResponse) -> Response:
        with write() as session:
            if planned.dataset_id is not None:  # it may have been deleted since
                datasets.get_ready(session, caller.tenant_id, planned.dataset_id)
            if planned.model_id is not None:
                model_registry.get(session, caller.tenant_id, planned.model_id)
            new = replace(planned, traceparent=traceparent)
            job = jobs.create(session, caller.tenant_id, new)
            view = _queued_view(session, job)
            remember(session, 202, view)
        return _accepted(job, view)

    return run_idempotently(caller, idempotency_key, ["POST /v1/jobs", request], create)


def _planned(caller: Caller, wanted: JobRequest, seed: int) -> JobPlan | NewJob:
    """The job, or, with `validate_only`, what is answered instead."""
    about: dict[str, Any] = {"tags": wanted.tags, "priority": wanted.priority}
    request = wanted.model_dump(mode="json", exclude_unset=True)
    if isinstance(wanted, GenerationRequest):
        return _planned_generation(caller, wanted, seed, {**about, "request": request})
    if isinstance(wanted, EvaluationRequest):
        return _planned_evaluation(caller, wanted, seed, {**about, "request": request})
    if isinstance(wanted, AugmentationRequest):
        return _planned_augmentation(caller, wanted, seed, {**about, "request": request})
    with read() as session:
        dataset = datasets.get_ready(session, caller.tenant_id, wanted.dataset)
        plan = planning.plan(session, dataset, wanted, seed)
    if wanted.validate_only:
        return plan
    return NewJob(
        JobKind.TRAINING,
        wanted.name or model_registry.sanitize_name(dataset.name),
        dataset.id,
        request,
        plan.resolved,
        **about,
    )


def _planned_generation(
    caller: Caller, wanted: GenerationRequest, seed: int, about: dict[str, Any]
) -> GenerationPlan | NewJob:
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, wanted.model)
        evaluation.require_quality_gate(
            session, model, ignore_quality_gate=wanted.ignore_quality_gate
        )
    from app.planning import generation  # numpy, torch: they may still be loading

    spec = generation.plan(model, wanted, seed)
    resolved = spec.model_dump(mode="json")
    chosen = wanted.conditions is not None or wanted.min_label_confidence is not None
    if chosen or wanted.validate_only:
        from app.sampling import dry_run

        dry_run.validate_request(model, wanted, seed)
        if wanted.validate_only:
            estimate = dry_run.estimate(model, wanted, spec, seed)
            return GenerationPlan(
                resolved=resolved, estimate=estimate, warnings=_no_room(estimate.bytes)
            )
    return NewJob(
        JobKind.GENERATION,
        model.name,
        None,
        resolved=resolved,
        model_id=model.id,
        **about,
    )


def _planned_evaluation(
    caller: Caller, wanted: EvaluationRequest, seed: int, about: dict[str, Any]
) -> EvaluationPlan | NewJob:
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, wanted.model)
        if model.dataset_id is None:
            raise Conflict(
                f"the dataset of {model.name}:{model.version} is not here to measure with",
                code="no_dataset",
            )
        dataset = datasets.get_ready(session, caller.tenant_id, model.dataset_id)
    samples = None if wanted.samples == "auto" else wanted.samples
    spec = evaluation.build_spec(model, dataset, seed, samples)
    if wanted.validate_only:
        return EvaluationPlan(resolved=spec.model_dump(mode="json"), warnings=[])
    return replace(evaluation.new_job(model, spec), **about)


def _planned_augmentation(
    caller: Caller, wanted: AugmentationRequest, seed: int, about: dict[str, Any]
) -> AugmentationPlan | NewJob:
    from app.planning import augmentation  # numpy, pyarrow: they may still be loading

    with read() as session:
        plan = augmentation.plan(session, caller.tenant_id, wanted, seed)
    if wanted.validate_only:
        return plan
    spec = augmentation.to_spec(plan)
    return NewJob(
        JobKind.AUGMENTATION,
        spec.name,
        spec.dataset,
        resolved=spec.model_dump(mode="json"),
        model_id=spec.model,
        **about,
    )


def _no_room(needed: int) -> list[str]:
    free = get_storage().free_bytes()
    if free is None or needed + get_settings().min_free_disk_bytes <= free:
        return []
    return [f"insufficient_storage: about {needed} bytes will be stored, and {free} are free"]


def _accepted(job: Job, view: JobView) -> Response:
    """The job is acknowledged by its row; nobody waits for the broker. The hint goes out after the
    answer, and what is lost with this process is found by the workers themselves."""
    answer = created_response(202, view)
    answer.background = BackgroundTask(get_job_notifier().notify, job)
    return answer


def _check_scope(session: Session, caller: Caller, job_id: str) -> None:
    check_scope(caller, SCOPES[jobs.get(session, caller.tenant_id, job_id).kind])


def _queued_view(session: Session, job: Job) -> JobView:
    return JobView.of(job, jobs.queue_position(session, job))


@router.get("", response_model=Page[JobView])
def list_jobs(
    caller: ReadScope,
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
    return build_page(rows, limit, JobView.of)


def _view(tenant_id: str, job_id: str) -> tuple[JobView, int]:
    with read() as session:
        job = jobs.get(session, tenant_id, job_id)
        return JobView.of(job, jobs.queue_position(session, job)), job.version


@router.get("/{job_id}", response_model=JobView)
async def read_job(
    job_id: str,
    caller: ReadScope,
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
def cancel_job(job_id: str, caller: JobScope) -> JobView:
    """End a job: at once while it waits; after its present step while it runs. The last checkpoint
    is kept. 409 for a job that has ended."""
    with write() as session:
        _check_scope(session, caller, job_id)
        return JobView.of(jobs.cancel(session, caller.tenant_id, job_id))


@router.post("/{job_id}/pause", response_model=JobView)
def pause_job(job_id: str, caller: JobScope) -> JobView:
    """Set a job aside: at once while it waits; saved first, after its present step, while it runs.
    It keeps its place in what it has learned, and waits until `resume`."""
    with write() as session:
        _check_scope(session, caller, job_id)
        return JobView.of(jobs.pause(session, caller.tenant_id, job_id))


@router.post("/{job_id}/resume", response_model=JobView)
def resume_job(job_id: str, caller: JobScope, background: BackgroundTasks) -> JobView:
    """Put a paused job back into the queue; it goes on from its last checkpoint."""
    with write() as session:
        _check_scope(session, caller, job_id)
        job = jobs.resume(session, caller.tenant_id, job_id)
        view = _queued_view(session, job)
    background.add_task(get_job_notifier().notify, job)
    return view


@router.post("/{job_id}/retry", status_code=202, response_model=JobView)
def retry_job(
    job_id: str, caller: JobScope, idempotency_key: IdempotencyKeyHeader = None
) -> Response:
    """A new job like one that has ended, from the beginning, with `retry_of`."""

    def create(remember: SaveResponse) -> Response:
        with write() as session:
            _check_scope(session, caller, job_id)
            job = jobs.retry(session, caller.tenant_id, job_id)
            view = _queued_view(session, job)
            remember(session, 202, view)
        return _accepted(job, view)

    return run_idempotently(caller, idempotency_key, [f"POST /v1/jobs/{job_id}/retry"], create)
