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
from app.authentication import Caller, Reader, Starter, require
from app.hints import get_hints
from app.once import Key, Remember, created, once
from app.schemas.augmentation import AugmentationPlan, AugmentationRequest
from app.schemas.jobs import (
    EvaluationPlan,
    EvaluationRequest,
    GenerationPlan,
    GenerationRequest,
    JobShownState,
    JobView,
    Plan,
    TrainingRequest,
)
from app.schemas.pages import After, Limit, Page, check_cursor, page_of, page_size
from app.strict import StrictRoute
from core import evaluation, jobs, registry, webhooks
from core.database import read, write
from core.datasets import life as datasets
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
Wanted = TrainingRequest | GenerationRequest | EvaluationRequest | AugmentationRequest
Plans = Plan | GenerationPlan | EvaluationPlan | AugmentationPlan

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictRoute)


@router.post(
    "",
    status_code=202,
    response_model=JobView,
    responses={200: {"model": Plans}},
)
def create_job(
    wanted: Annotated[Wanted, Body(discriminator="kind")],
    caller: Starter,
    idempotency_key: Key = None,
    traceparent: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Accept a job: 202, and it will end, finished or failed with a reason.

    `training` learns from a dataset; `generation` draws any number of items from a model, by label
    as `/v1/models/{ref}/samples` does, into files that several workers share (`artifacts`);
    `evaluation` measures a model's samples against real items that its training has not seen
    (`/v1/models/{ref}/report`); `augmentation` makes a larger dataset out of one, with each item's
    recipe (`/v1/datasets/{id}/recipes`), and can measure what that is worth to a classifier.

    With `validate_only` nothing starts: 200, with the resolved configuration, an estimate and
    warnings.
    """
    require(caller, SCOPES[JobKind(wanted.kind)])
    if wanted.webhook is not None:
        webhooks.check_url(wanted.webhook.url, pointer="/webhook")
    seed = secrets.randbits(31) if wanted.seed is None else wanted.seed
    planned = _planned(caller, wanted, seed)
    if isinstance(planned, Plans):
        return JSONResponse(planned.model_dump(mode="json"))

    def create(remember: Remember) -> Response:
        with write() as session:
            if planned.dataset_id is not None:  # it may have been deleted since
                datasets.get_ready(session, caller.tenant_id, planned.dataset_id)
            if planned.model_id is not None:
                registry.get(session, caller.tenant_id, planned.model_id)
            new = replace(planned, trace=traceparent)
            job = jobs.create(session, caller.tenant_id, new)
            view = _queued_view(session, job)
            remember(session, 202, view)
        return _accepted(job, view)

    return once(caller, idempotency_key, ["POST /v1/jobs", wanted], create)


def _planned(caller: Caller, wanted: Wanted, seed: int) -> Plans | NewJob:
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
        wanted.name or registry.name_from(dataset.name),
        dataset.id,
        request,
        plan.resolved_config,
        **about,
    )


def _planned_generation(
    caller: Caller, wanted: GenerationRequest, seed: int, about: dict[str, Any]
) -> GenerationPlan | NewJob:
    with read() as session:
        model = registry.get(session, caller.tenant_id, wanted.model)
        evaluation.check_accepted(session, model, allowed=wanted.allow_unaccepted)
    from app.planning import generation  # numpy, torch: they may still be loading

    spec = generation.plan(model, wanted, seed)
    resolved = spec.model_dump(mode="json")
    chosen = wanted.conditions is not None or wanted.min_label_score is not None
    if chosen or wanted.validate_only:
        from app.sampling import trial

        trial.check(model, wanted, seed)
        if wanted.validate_only:
            estimate = trial.estimate(model, wanted, spec, seed)
            return GenerationPlan(
                resolved_config=resolved, estimate=estimate, warnings=_no_room(estimate.bytes)
            )
    return NewJob(
        JobKind.GENERATION,
        model.name,
        None,
        resolved_config=resolved,
        model_id=model.id,
        **about,
    )


def _planned_evaluation(
    caller: Caller, wanted: EvaluationRequest, seed: int, about: dict[str, Any]
) -> EvaluationPlan | NewJob:
    with read() as session:
        model = registry.get(session, caller.tenant_id, wanted.model)
        if model.dataset_id is None:
            raise Conflict(
                f"the dataset of {model.name}:{model.version} is not here to measure with",
                code="no_dataset",
            )
        dataset = datasets.get_ready(session, caller.tenant_id, model.dataset_id)
    samples = None if wanted.samples == "auto" else wanted.samples
    spec = evaluation.spec_of(model, dataset, seed, samples)
    if wanted.validate_only:
        return EvaluationPlan(resolved_config=spec.model_dump(mode="json"), warnings=[])
    return replace(evaluation.job_of(model, spec), **about)


def _planned_augmentation(
    caller: Caller, wanted: AugmentationRequest, seed: int, about: dict[str, Any]
) -> AugmentationPlan | NewJob:
    from app.planning import augmentation  # numpy, pyarrow: they may still be loading

    with read() as session:
        plan = augmentation.plan(session, caller.tenant_id, wanted, seed)
    if wanted.validate_only:
        return plan
    spec = augmentation.spec_of(plan)
    return NewJob(
        JobKind.AUGMENTATION,
        spec.name,
        spec.dataset,
        resolved_config=spec.model_dump(mode="json"),
        model_id=spec.model,
        **about,
    )


def _no_room(needed: int) -> list[str]:
    free = get_storage().free_bytes()
    if free is None or needed + get_settings().free_disk_bytes <= free:
        return []
    return [f"no_room: about {needed} bytes will be stored, and {free} are free"]


def _accepted(job: Job, view: JobView) -> Response:
    """The job is acknowledged by its row; nobody waits for the broker. The hint goes out after the
    answer, and what is lost with this process is found by the workers themselves."""
    answer = created(202, view)
    answer.background = BackgroundTask(get_hints().send, job)
    return answer


def _check_scope(session: Session, caller: Caller, job_id: str) -> None:
    require(caller, SCOPES[jobs.get(session, caller.tenant_id, job_id).kind])


def _queued_view(session: Session, job: Job) -> JobView:
    return JobView.of(job, jobs.queue_position(session, job))


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
def cancel_job(job_id: str, caller: Starter) -> JobView:
    """End a job: at once while it waits; after its present step while it runs. The last checkpoint
    is kept. 409 for a job that has ended."""
    with write() as session:
        _check_scope(session, caller, job_id)
        return JobView.of(jobs.cancel(session, caller.tenant_id, job_id))


@router.post("/{job_id}/pause", response_model=JobView)
def pause_job(job_id: str, caller: Starter) -> JobView:
    """Set a job aside: at once while it waits; saved first, after its present step, while it runs.
    It keeps its place in what it has learned, and waits until `resume`."""
    with write() as session:
        _check_scope(session, caller, job_id)
        return JobView.of(jobs.pause(session, caller.tenant_id, job_id))


@router.post("/{job_id}/resume", response_model=JobView)
def resume_job(job_id: str, caller: Starter, background: BackgroundTasks) -> JobView:
    """Put a paused job back into the queue; it goes on from its last checkpoint."""
    with write() as session:
        _check_scope(session, caller, job_id)
        job = jobs.resume(session, caller.tenant_id, job_id)
        view = _queued_view(session, job)
    background.add_task(get_hints().send, job)
    return view


@router.post("/{job_id}/retry", status_code=202, response_model=JobView)
def retry_job(job_id: str, caller: Starter, idempotency_key: Key = None) -> Response:
    """A new job like one that has ended, from the beginning, with `retry_of`."""

    def create(remember: Remember) -> Response:
        with write() as session:
            _check_scope(session, caller, job_id)
            job = jobs.retry(session, caller.tenant_id, job_id)
            view = _queued_view(session, job)
            remember(session, 202, view)
        return _accepted(job, view)

    return once(caller, idempotency_key, [f"POST /v1/jobs/{job_id}/retry"], create)
