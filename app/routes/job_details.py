"""`/v1/jobs/{job_id}/…`: events, log, metrics, checkpoints, previews and artifacts of a job."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse
from sqlalchemy.orm import Session

from app import content_negotiation, sse
from app.authentication import ReadOrSampleScope, ReadScope, TrainScope
from app.byte_range import RANGE_HEADERS, IfRangeHeader, RangeHeader, ranged_response
from app.content_negotiation import AcceptHeader
from app.fairness.route import FairRoute
from app.http_methods import etag_of
from app.idempotent_requests import (
    IdempotencyKeyHeader,
    SaveResponse,
    run_idempotently,
)
from app.job_access import check_artifact, get_job
from app.openapi_responses import responses
from app.routes.events import EVENT_TYPES, MAX_EVENT_ID, parse_last_event_id
from app.schemas.events import EventPage, EventType
from app.schemas.jobs import (
    ArtifactView,
    CheckpointView,
    JobsMetrics,
    JsonFile,
    PreviewView,
    Series,
)
from app.schemas.models import ModelView
from app.schemas.pagination import Limit, page_size
from core import audit, jobs, model_registry
from core.database import read, write
from core.errors import FieldError, NotFound, ValidationFailed
from core.storage import StoredObject, get_storage
from core.tables import Event
from modalities import registry

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=FairRoute)

MAX_JOBS = 20  # in one chart
# In addition to JSON; files of generation jobs have the formats of samples.
ARTIFACT_TYPES = {
    "application/octet-stream": None,
    "image/png": None,
    **{
        media: None
        for modality in registry.installed().values()
        for media in modality.sample_formats.values()
        if media != "application/json"
    },
}
MetricNames = Annotated[
    str | None, Query(description="Names of metrics, separated by commas. Default: all.")
]
MetricPoints = Annotated[
    int, Query(ge=2, le=5_000, description="Maximum number of points of each metric.")
]


@router.get(
    "/{job_id}/events",
    response_model=EventPage,
    responses=responses("text/event-stream"),
)
def read_events(
    job_id: str,
    caller: ReadOrSampleScope,
    _quota: sse.StreamQuota,
    after: Annotated[
        int,
        Query(
            ge=0,
            le=MAX_EVENT_ID,
            description="Id of the last event that was received. Default: 0 (none).",
        ),
    ] = 0,
    limit: Limit = 50,
    type: Annotated[
        EventType | None, Query(description="Only events of this type, in a page. Default: all.")
    ] = None,
    accept: AcceptHeader = None,
    last_event_id: Annotated[
        str | None, Header(description="Id of the event after which a stream resumes.")
    ] = None,
) -> Response:
    """Return the events of a job, oldest first, as a page or as a stream.

    With `Accept: text/event-stream`, the stream stays open until the job ends; its last event is
    `end`. `Last-Event-ID` resumes a stream. While the job runs, the stream also has messages of
    the type `progress`, which are not stored and have no id.
    """
    output_format = content_negotiation.negotiate(
        EVENT_TYPES, format=None, accept=accept, default="json"
    )
    limit = page_size(limit)
    with read() as session:
        get_job(session, caller, job_id)
        if output_format == "stream":
            start = parse_last_event_id(last_event_id, after)
            feed = sse.FeedKey(caller.tenant_id, job_id)
            stream = sse.stream_events(feed, start, caller.key_id)
            headers = {"X-Accel-Buffering": "no"}  # proxies must not buffer the events
            return EventSourceResponse(stream, headers=headers)
        rows = jobs.page_of_events(
            session, caller.tenant_id, job_id, after=after, limit=limit + 1, type=type
        )
    return Response(EventPage.of(rows, limit).model_dump_json(), media_type="application/json")


@router.get("/{job_id}/logs", response_class=PlainTextResponse, responses=responses("text/plain"))
def read_log(
    job_id: str,
    caller: ReadOrSampleScope,
    tail: Annotated[
        int, Query(ge=1, le=10_000, description="Number of lines, from the end. Default: 1000.")
    ] = 1_000,
) -> str:
    """Return the log of a job, one line for each entry: time, level, text."""
    with read() as session:
        get_job(session, caller, job_id)
        rows = jobs.log_of(session, caller.tenant_id, job_id, lines=tail)
    return "".join(
        f"{row.created_at.isoformat(timespec='milliseconds')} {row.level} {_log_text(row)}\n"
        for row in rows
    )


def _log_text(event: Event) -> str:
    if event.type == "log":
        return str(event.data["message"])
    fields = ", ".join(f"{name} {value}" for name, value in event.data.items())
    return f"{event.type}: {fields}"


@router.get("/metrics", response_model=JobsMetrics)
def compare_metrics(
    caller: ReadScope,
    job_ids: Annotated[
        str,
        Query(
            alias="jobs", max_length=1_000, description=f"Ids of 1 to {MAX_JOBS} jobs, with commas."
        ),
    ],
    names: MetricNames = None,
    points: MetricPoints = 500,
) -> JobsMetrics:
    """Return metrics of several jobs, to draw their curves in one chart."""
    ids = list(dict.fromkeys(name.strip() for name in job_ids.split(",") if name.strip()))
    if not 1 <= len(ids) <= MAX_JOBS:
        error = FieldError("/jobs", "count", f"Must have 1 to {MAX_JOBS} ids.")
        raise ValidationFailed(f"`jobs` {error.message}", field_errors=[error])
    with read() as session:
        curves = {job_id: _curves(session, caller.tenant_id, job_id, points) for job_id in ids}
    return JobsMetrics(jobs={job_id: _select(each, names) for job_id, each in curves.items()})


@router.get("/{job_id}/metrics", response_model=dict[str, Series])
def read_metrics(
    job_id: str, caller: ReadScope, names: MetricNames = None, points: MetricPoints = 500
) -> dict[str, Series]:
    """Return losses, critic (discriminator) accuracies and other metrics, by training step."""
    with read() as session:
        curves = _curves(session, caller.tenant_id, job_id, points)
    if names is not None and curves:
        unknown = [name for name in _split(names) if name not in curves]
        if unknown:
            raise ValidationFailed(f"The job has no metric {unknown[0]!r}.", allowed=sorted(curves))
    return _select(curves, names)


def _curves(session: Session, tenant_id: str, job_id: str, points: int) -> jobs.Curves:
    jobs.get(session, tenant_id, job_id)
    return jobs.metrics(session, tenant_id, job_id, points=points)


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


def _select(curves: jobs.Curves, names: str | None) -> dict[str, Series]:
    selected = list(curves) if names is None else [n for n in _split(names) if n in curves]
    return {
        name: Series(
            steps=[step for step, _ in curves[name]], values=[value for _, value in curves[name]]
        )
        for name in selected
    }


@router.get("/{job_id}/checkpoints", response_model=list[CheckpointView])
def list_checkpoints(job_id: str, caller: ReadScope) -> list[CheckpointView]:
    """List the stored checkpoints, newest first."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.checkpoints_of(session, caller.tenant_id, job_id)
        models = model_registry.models_of_job(session, caller.tenant_id, job_id)
    best = max((row.score for row in rows if row.score is not None), default=None)
    return [CheckpointView.of(row, best, models.get(row.step)) for row in rows]


@router.post("/{job_id}/checkpoints/{step}/promote", status_code=201, response_model=ModelView)
def promote_checkpoint(
    job_id: str, step: int, caller: TrainScope, idempotency_key: IdempotencyKeyHeader = None
) -> Response:
    """Create a model version from a checkpoint. The job may be running or cancelled.

    If the checkpoint has been promoted before, the response is that model version.
    """

    def create(save: SaveResponse) -> tuple[int, ModelView]:
        with write() as session:
            job = jobs.get(session, caller.tenant_id, job_id)
            matches = [
                checkpoint
                for checkpoint in jobs.checkpoints_of(session, caller.tenant_id, job_id)
                if checkpoint.step == step
            ]
            if not matches:
                raise NotFound(f"Job {job_id} has no checkpoint at step {step}.")
            model = model_registry.find_by_checkpoint(session, job, matches[0])
            if model is None:
                model = model_registry.create_version(session, job, matches[0])
                session.add(model)
                session.flush()
                session.refresh(model)
            audit.record(session, caller, "model.promote", model.id)
            view = ModelView.of(model)
            save(session, 201, view)
        return 201, view

    request = [f"POST /v1/jobs/{job_id}/checkpoints/{step}/promote"]
    return run_idempotently(caller, idempotency_key, request, create)


@router.get("/{job_id}/previews", response_model=list[PreviewView])
def list_previews(job_id: str, caller: ReadScope) -> list[PreviewView]:
    """List the preview images: samples of the same latent noise each time, one row per label."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.artifacts_of(session, caller.tenant_id, job_id, prefix="previews/")
    return [PreviewView.of(row) for row in rows]


@router.get(
    "/{job_id}/previews/{step}.png",
    response_class=Response,
    responses=responses("image/png", headers=("ETag",)),
)
def read_job_preview(job_id: str, step: int, caller: ReadScope) -> Response:
    """Return one preview image."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        artifact = jobs.get_artifact(session, caller.tenant_id, job_id, f"previews/{step}.png")
    if artifact is None:
        raise NotFound(f"Job {job_id} has no preview at step {step}.")
    stored = StoredObject.of(artifact)
    headers = {"ETag": f'"{artifact.sha256}"', "Cache-Control": "private, no-cache"}
    return Response(get_storage().read(stored), media_type=artifact.media_type, headers=headers)


@router.get(
    "/{job_id}/previews.gif",
    response_class=Response,
    responses=responses("image/gif", headers=("ETag",)),
)
def read_previews_gif(job_id: str, caller: ReadScope) -> Response:
    """Return the previews so far as an animation of at most 3 MB.

    A larger one has fewer frames, and smaller ones if that is not enough.
    """
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.artifacts_of(session, caller.tenant_id, job_id, prefix="previews/")
    if not rows:
        raise NotFound(f"Job {job_id} has no preview yet.")
    from models.images.animation import encode_gif  # Pillow is slow to load

    storage = get_storage()
    in_order = sorted(rows, key=lambda row: row.step or 0)
    frames = [storage.read(StoredObject.of(row)) for row in in_order]
    etag = etag_of("".join(row.sha256 for row in in_order).encode())
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    return Response(encode_gif(frames), media_type="image/gif", headers=headers)


@router.get("/{job_id}/artifacts", response_model=list[ArtifactView])
def list_artifacts(job_id: str, caller: ReadOrSampleScope) -> list[ArtifactView]:
    """List all files that the job has stored, with their SHA-256."""
    with read() as session:
        get_job(session, caller, job_id)
        rows = jobs.artifacts_of(session, caller.tenant_id, job_id, prefix="")
    return [ArtifactView.of(row) for row in rows]


@router.get(
    "/{job_id}/artifacts/{name:path}",
    response_class=Response,
    responses=responses(*ARTIFACT_TYPES, headers=RANGE_HEADERS, model=JsonFile, ranges=True),
)
def read_artifact(
    job_id: str,
    name: str,
    caller: ReadOrSampleScope,
    range: RangeHeader = None,
    if_range: IfRangeHeader = None,
) -> Response:
    """Return a file or a byte range of it (RFC 9110, section 14). Its ETag is its SHA-256.

    Files of jobs that read a dataset need the scope `data:read`, except previews of trainings.
    """
    with read() as session:
        check_artifact(caller, get_job(session, caller, job_id), name)
        artifact = jobs.get_artifact(session, caller.tenant_id, job_id, name)
    if artifact is None:
        raise NotFound(f"Job {job_id} has no artifact of this name.")
    storage = get_storage()
    stored = StoredObject.of(artifact)

    def read_bytes(start: int, end: int) -> Iterator[bytes]:
        is_whole = (start, end) == (0, stored.bytes)
        return storage.stream_verified(stored) if is_whole else storage.stream(stored, start, end)

    return ranged_response(
        read_bytes,
        stored.bytes,
        range,
        if_range,
        tenant_id=caller.tenant_id,
        headers={"ETag": f'"{artifact.sha256}"'},
        media_type=artifact.media_type,
    )
