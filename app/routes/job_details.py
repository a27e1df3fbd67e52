"""What a job has written down: events, metrics, log, checkpoints, pictures."""

import itertools
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from app import content_negotiation, sse
from app.authentication import ReadScope, TrainScope
from app.byte_range import parse_byte_range
from app.idempotency import IdempotencyKeyHeader, SaveResponse, created_response, run_idempotently
from app.request_body import StrictJsonRoute
from app.schemas.jobs import ArtifactView, CheckpointView, EventPage, EventView, PreviewView, Series
from app.schemas.models import ModelView
from app.schemas.pagination import Limit, page_size
from core import jobs, model_registry
from core.database import read, write
from core.errors import NotFound, ValidationFailed
from core.storage import StoredObject, get_storage
from core.tables import Event

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=StrictJsonRoute)

EVENT_TYPES = {"json": "application/json", "stream": "text/event-stream"}


@router.get(
    "/{job_id}/events",
    response_model=EventPage,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def read_events(
    job_id: str,
    caller: ReadScope,
    after: Annotated[int, Query(ge=0, description="the id of the last event seen")] = 0,
    limit: Limit = 50,
    type: Annotated[str | None, Query()] = None,
    accept: Annotated[str | None, Header()] = None,
    last_event_id: Annotated[str | None, Header(description="where a stream goes on")] = None,
) -> Response:
    """What happened, oldest first: a page, or, with `Accept: text/event-stream`, a stream that goes
    on until the job has ended, whose last event is `end`. `Last-Event-ID` resumes a stream."""
    chosen = content_negotiation.negotiate(EVENT_TYPES, format=None, accept=accept, default="json")
    limit = page_size(limit)
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.page_of_events(
            session, caller.tenant_id, job_id, after=after, limit=limit + 1, type=type
        )
    if chosen == "stream":
        if last_event_id is not None and not last_event_id.isdecimal():
            raise ValidationFailed("Last-Event-ID is the id of an event of this job")
        start = after if last_event_id is None else int(last_event_id)
        stream = sse.stream_events(caller.tenant_id, job_id, start)
        headers = {"X-Accel-Buffering": "no"}  # a proxy that collects events defeats them
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
    shown = rows[:limit]
    page = EventPage(
        data=[EventView.of(event) for event in shown],
        next=shown[-1].id if shown else None,
        has_more=len(rows) > limit,
    )
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{job_id}/logs", response_class=PlainTextResponse)
def read_log(
    job_id: str,
    caller: ReadScope,
    tail: Annotated[int, Query(ge=1, le=10_000, description="lines, from the end")] = 1_000,
) -> str:
    """The job's log, a line for each entry: time, level, text."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.log_of(session, caller.tenant_id, job_id, lines=tail)
    return "".join(
        f"{row.created_at.isoformat(timespec='milliseconds')} {row.level} {_text(row)}\n"
        for row in rows
    )


def _text(event: Event) -> str:
    if event.type == "log":
        return str(event.data["message"])
    words = ", ".join(f"{name} {value}" for name, value in event.data.items())
    return f"{event.type}: {words}"


@router.get("/{job_id}/metrics", response_model=dict[str, Series])
def read_metrics(
    job_id: str,
    caller: ReadScope,
    names: Annotated[str | None, Query(description="comma-separated; default: all")] = None,
    points: Annotated[int, Query(ge=2, le=5_000, description="at most, for each name")] = 500,
) -> dict[str, Series]:
    """Losses, critic accuracy on real and on fake, and what else was measured, over the steps."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        series = jobs.metrics(session, caller.tenant_id, job_id, points=points)
    if names is not None:
        wanted = [name.strip() for name in names.split(",")]
        unknown = [name for name in wanted if series and name not in series]
        if unknown:
            raise ValidationFailed(f"there is no metric {unknown[0]!r}", allowed=sorted(series))
        series = {name: series[name] for name in wanted if name in series}
    return {
        name: Series(steps=[step for step, _ in line], values=[value for _, value in line])
        for name, line in series.items()
    }


@router.get("/{job_id}/checkpoints", response_model=list[CheckpointView])
def list_checkpoints(job_id: str, caller: ReadScope) -> list[CheckpointView]:
    """The saved states, newest first."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.checkpoints_of(session, caller.tenant_id, job_id)
    return [CheckpointView.of(row) for row in rows]


@router.post("/{job_id}/checkpoints/{step}/promote", status_code=201, response_model=ModelView)
def promote_checkpoint(
    job_id: str, step: int, caller: TrainScope, idempotency_key: IdempotencyKeyHeader = None
) -> Response:
    """Make a model version of a checkpoint, also of a job that was cancelled or still runs.

    A checkpoint makes one version: promoting it again answers with that one.
    """

    def create(remember: SaveResponse) -> Response:
        with write() as session:
            job = jobs.get(session, caller.tenant_id, job_id)
            found = [
                checkpoint
                for checkpoint in jobs.checkpoints_of(session, caller.tenant_id, job_id)
                if checkpoint.step == step
            ]
            if not found:
                raise NotFound(f"job {job_id} has no checkpoint at step {step}")
            model = model_registry.find_by_checkpoint(session, job, found[0])
            if model is None:
                model = model_registry.create_version(session, job, found[0])
                session.add(model)
                session.flush()
                session.refresh(model)
            view = ModelView.of(model)
            remember(session, 201, view)
        return created_response(201, view)

    request = [f"POST /v1/jobs/{job_id}/checkpoints/{step}/promote"]
    return run_idempotently(caller, idempotency_key, request, create)


@router.get("/{job_id}/previews", response_model=list[PreviewView])
def list_previews(job_id: str, caller: ReadScope) -> list[PreviewView]:
    """Pictures of the run: the same noise each time, a row for each label."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.artifacts_of(session, caller.tenant_id, job_id, prefix="previews/")
    return [PreviewView.of(row) for row in rows]


@router.get(
    "/{job_id}/previews/{step}.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def read_preview(job_id: str, step: int, caller: ReadScope) -> Response:
    """One picture of the run."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        artifact = jobs.get_artifact(session, caller.tenant_id, job_id, f"previews/{step}.png")
    if artifact is None:
        raise NotFound(f"job {job_id} has no preview at step {step}")
    stored = StoredObject(artifact.key, artifact.bytes, artifact.sha256)
    return Response(get_storage().read(stored), media_type=artifact.media_type)


@router.get(
    "/{job_id}/previews.gif",
    response_class=Response,
    responses={200: {"content": {"image/gif": {}}}},
)
def read_previews_gif(job_id: str, caller: ReadScope) -> Response:
    """The whole run so far, a picture after the other."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.artifacts_of(session, caller.tenant_id, job_id, prefix="previews/")
    if not rows:
        raise NotFound(f"job {job_id} has no preview yet")
    from models.images.image_grid import encode_gif  # Pillow, which takes time to load

    storage = get_storage()
    in_order = sorted(rows, key=lambda row: row.step or 0)
    frames = [storage.read(StoredObject(row.key, row.bytes, row.sha256)) for row in in_order]
    return Response(encode_gif(frames), media_type="image/gif")


@router.get("/{job_id}/artifacts", response_model=list[ArtifactView])
def list_artifacts(job_id: str, caller: ReadScope) -> list[ArtifactView]:
    """Every file that the job made, each with its sha256."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        rows = jobs.artifacts_of(session, caller.tenant_id, job_id, prefix="")
    return [ArtifactView.of(row) for row in rows]


@router.get("/{job_id}/artifacts/{name:path}", response_class=Response)
def read_artifact(
    job_id: str,
    name: str,
    caller: ReadScope,
    range: Annotated[str | None, Header(description="one range of bytes")] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One file, or a part of it (RFC 9110, 14); its ETag is its sha256."""
    with read() as session:
        jobs.get(session, caller.tenant_id, job_id)
        artifact = jobs.get_artifact(session, caller.tenant_id, job_id, name)
    if artifact is None:
        raise NotFound(f"job {job_id} has no artifact of this name")
    tag = f'"{artifact.sha256}"'
    headers = {"ETag": tag, "Accept-Ranges": "bytes"}
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=304, headers=headers)
    storage = get_storage()
    stored = StoredObject(artifact.key, artifact.bytes, artifact.sha256)
    byte_range = parse_byte_range(range, stored.bytes)
    if byte_range is None:
        return Response(storage.read(stored), headers=headers, media_type=artifact.media_type)
    first, last = byte_range
    headers["Content-Range"] = f"bytes {first}-{last}/{stored.bytes}"
    headers["Content-Length"] = str(last + 1 - first)
    chunks = storage.stream(stored, first, last + 1)
    # Read the first chunk before the response starts, so that a missing file is still an error.
    body = itertools.chain([next(chunks)], chunks)
    return StreamingResponse(body, 206, headers, artifact.media_type)
