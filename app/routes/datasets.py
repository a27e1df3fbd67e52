"""`/v1/datasets`: labelled images and tables in."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from app import error_handlers, strict_json
from app.authentication import Caller, DataScope, ReadScope
from app.idempotency import IdempotencyKeyHeader, SaveResponse, created_response, run_idempotently
from app.request_body import StrictJsonRoute, limit_body, read_body
from app.schemas.datasets import (
    DatasetFrom,
    DatasetMeta,
    DatasetPatch,
    DatasetView,
)
from app.schemas.pagination import After, Limit, Page, build_page, check_cursor, page_size
from core.database import read, write
from core.datasets import builtin, ingestion, repository, uploads
from core.datasets.modality import PEEK_BYTES, Modality, detect_modality
from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.errors import FieldError, TooLarge, UnsupportedMedia, ValidationFailed
from core.ids import new_id
from core.settings import get_settings
from core.storage import StoredObject, get_storage
from core.tables import DatasetState

Body = TypeVar("Body", bound=DatasetMeta)

# The fields of `meta` that say how to read one kind of data.
MODALITY_FIELDS = {
    "image": {"class_names", "resize", "size"},
    "tabular": {"columns", "target", "exclude_columns"},
}

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictJsonRoute)

_BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "one archive or npz, or the idx files; or one table",
                        },
                        "meta": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": DatasetMeta.model_json_schema(),
                        },
                    },
                }
            },
            "application/json": {"schema": DatasetFrom.model_json_schema()},
        },
    }
}


@router.post("", status_code=201, response_model=DatasetView, openapi_extra=_BODIES)
async def create_dataset(
    request: Request,
    background: BackgroundTasks,
    caller: DataScope,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Make a dataset of uploaded files, of completed uploads, or of one that ships.

    A small upload is answered when it is `ready` (201) or refused, with nothing kept. A large one
    is answered at once as `validating` (202): look at its `state`, or at `error` if it failed.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if content_type == "multipart/form-data":
        limit = get_settings().limits.upload_bytes + 1024 * 1024  # the form around the files
        async with limit_body(request, limit).form(max_files=16, max_fields=4) as form:
            answer = await run_in_threadpool(_from_form, caller, idempotency_key, form)
    elif content_type == "application/json":
        body = strict_json.loads(await read_body(request))
        answer = await run_in_threadpool(_from_json, caller, idempotency_key, body)
    else:
        raise UnsupportedMedia("send multipart/form-data with `file`, or JSON")
    if answer.status_code == 202:
        dataset_id = answer.headers["location"].rsplit("/", 1)[1]
        background.add_task(ingestion.validate, get_storage(), dataset_id)
    answer.background = background
    return answer


def _from_form(caller: Caller, key: str | None, form: FormData) -> Response:
    strange = set(form) - {"file", "meta"}
    if strange:
        faults = [FieldError(f"/{name}", "unknown_field", "unknown field") for name in strange]
        raise ValidationFailed(
            "the form holds unknown fields", code="unknown_field", field_errors=faults[:20]
        )
    files = form.getlist("file")
    parts = [file for file in files if isinstance(file, UploadFile)]
    if not parts or len(parts) != len(files):
        raise ValidationFailed(
            "send at least one `file`, as a file",
            field_errors=[FieldError("/file", "missing", "no file was sent")],
        )
    text = form.get("meta", "{}")
    if not isinstance(text, str):
        raise ValidationFailed(
            "`meta` is JSON, not a file", field_errors=[FieldError("/meta", "invalid", "a file")]
        )
    meta = _parse(DatasetMeta, strict_json.loads(text.encode()))
    with tempfile.TemporaryDirectory(dir=get_settings().scratch, prefix="upload-") as folder:
        spooled = [_spooled(part, Path(folder) / str(i)) for i, part in enumerate(parts)]
        contents = [(source.name, sha256) for source, sha256 in spooled]
        sources = [source for source, _ in spooled]
        return run_idempotently(
            caller,
            key,
            ["POST /v1/datasets", meta, contents],
            lambda remember: _store(caller.tenant_id, meta, sources, remember),
        )


def _spooled(part: UploadFile, path: Path) -> tuple[SourceFile, str]:
    """The file on disk, and its sha256."""
    limit, size, digest = get_settings().limits.upload_bytes, 0, hashlib.sha256()
    with path.open("wb") as out:
        while chunk := part.file.read(1024 * 1024):
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"a file may have {limit} bytes", limit=limit)
            digest.update(chunk)
            out.write(chunk)
    return SourceFile(path, (part.filename or "upload")[:256]), digest.hexdigest()


def _store(
    tenant_id: str, meta: DatasetMeta, sources: Sequence[SourceFile], remember: SaveResponse
) -> Response:
    with sources[0].path.open("rb") as file:
        found = detect_modality(file.read(PEEK_BYTES), sources[0].name)
    new, storage = _new(meta, sources[0].name, found), get_storage()
    size = sum(source.path.stat().st_size for source in sources)
    small = size <= get_settings().limits.sync_dataset_bytes
    store, status = (ingestion.ingest, 201) if small else (ingestion.enqueue_ingestion, 202)
    dataset = store(
        storage,
        tenant_id,
        new,
        sources,
        lambda session, dataset: remember(session, status, DatasetView.of(dataset)),
    )
    return created_response(status, DatasetView.of(dataset))


def _from_json(caller: Caller, key: str | None, body: Any) -> Response:
    wanted = _parse(DatasetFrom, body)
    if (wanted.builtin is None) == (wanted.uploads is None):
        raise ValidationFailed("name either `builtin` or `uploads`")
    if wanted.builtin is not None:
        builtin.check_name(wanted.builtin)
    if wanted.builtin != "circle":
        sizes = wanted.model_dump(include={"radius", "points"}, exclude_none=True)
        _refuse_fields(list(sizes), "only the builtin `circle` has it")

    def create(remember: SaveResponse) -> Response:
        if wanted.builtin is not None:
            return _store_builtin(caller.tenant_id, wanted, remember)
        with write() as session:
            taken = uploads.consume(session, caller.tenant_id, wanted.uploads or [])
            new = _new(wanted, taken[0]["name"], _kind_of_parts(taken[0]))
            dataset = repository.add_validating(
                session, caller.tenant_id, new_id("ds"), new, sources=taken
            )
            remember(session, 202, DatasetView.of(dataset))
        return created_response(202, DatasetView.of(dataset))

    return run_idempotently(caller, key, ["POST /v1/datasets", wanted], create)


def _store_builtin(tenant_id: str, wanted: DatasetFrom, remember: SaveResponse) -> Response:
    if wanted.builtin == "digits":
        return _store(tenant_id, wanted, builtin.get_digits(), remember)
    with tempfile.TemporaryDirectory(dir=get_settings().scratch, prefix="upload-") as folder:
        radius = 1.0 if wanted.radius is None else wanted.radius
        sources = builtin.make_circle(Path(folder), radius=radius, points=wanted.points or 1_000)
        return _store(tenant_id, wanted, sources, remember)


def _kind_of_parts(source: dict[str, Any]) -> Modality:
    """Of a completed upload, by the beginning of its first part."""
    first = StoredObject.from_dict(source["parts"][0]) if source["parts"] else None
    stored = get_storage().stream(first, end=min(PEEK_BYTES, first.bytes)) if first else ()
    return detect_modality(b"".join(stored), source["name"])


def _new(meta: DatasetMeta, default_name: str, found: Modality) -> NewDataset:
    kind = meta.modality or found
    kept = meta.model_dump(include=MODALITY_FIELDS[kind], exclude_defaults=True, by_alias=True)
    others = set().union(*MODALITY_FIELDS.values()) - MODALITY_FIELDS[kind]
    strange = meta.model_dump(include=others, exclude_defaults=True, by_alias=True)
    _refuse_fields(list(strange), f"this is not for a dataset of {kind}")
    if "schema" in kept:
        kept["schema"] = [column.model_dump() for column in meta.columns]
    name = meta.name or Path(default_name.removesuffix(".gz")).stem or "dataset"
    return NewDataset(name=name, tags=meta.tags, options=kept, modality=kind)


def _refuse_fields(fields: Sequence[str], why: str) -> None:
    if fields:
        faults = [FieldError(f"/{field}", "not_allowed", f"{field}: {why}") for field in fields]
        raise ValidationFailed(faults[0].message, field_errors=faults)


def _parse(schema: type[Body], value: Any) -> Body:
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise error_handlers.body_validation_failed(error, value, schema.model_fields) from error


@router.get("", response_model=Page[DatasetView])
def list_datasets(
    caller: ReadScope,
    limit: Limit = 50,
    after: After = None,
    state: Annotated[DatasetState | None, Query()] = None,
) -> Page[DatasetView]:
    """Newest first."""
    limit = page_size(limit)
    with read() as session:
        rows = repository.page(
            session,
            caller.tenant_id,
            limit=limit + 1,
            after=check_cursor(after, "ds"),
            state=state,
        )
    return build_page(rows, limit, DatasetView.of)


@router.get("/{dataset_id}", response_model=DatasetView)
def read_dataset(dataset_id: str, caller: ReadScope) -> DatasetView:
    """What a dataset holds, and whether it can be trained on."""
    with read() as session:
        return DatasetView.of(repository.get(session, caller.tenant_id, dataset_id))


@router.patch("/{dataset_id}", response_model=DatasetView)
def change_dataset(dataset_id: str, change: DatasetPatch, caller: DataScope) -> DatasetView:
    """Change the name or the tags; the content never changes."""
    with write() as session:
        dataset = repository.get(session, caller.tenant_id, dataset_id)
        if change.name is not None:
            dataset.name = change.name
        if change.tags is not None:
            dataset.tags = change.tags
    return DatasetView.of(dataset)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(dataset_id: str, caller: DataScope) -> None:
    """Delete the dataset and its content. Models that were trained on it stay."""
    with write() as session:
        keys = repository.delete(session, caller.tenant_id, dataset_id)
    get_storage().delete(keys)
