"""`/v1/datasets`: datasets of labeled images or tables."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, UploadFile

from app import strict_json
from app.authentication import Caller, DataScope, ReadScope, check_scope
from app.fair_route import route_threads
from app.fair_shares import FairShares
from app.fair_threads import FairThreads
from app.idempotent_requests import (
    IdempotencyKeyHeader,
    SaveResponse,
    run_idempotently,
)
from app.request_body import StrictJsonRoute, limit_body, read_body
from app.sampling.model_cache import get_model_cache
from app.schemas.datasets import (
    DatasetFrom,
    DatasetMeta,
    DatasetPatch,
    DatasetView,
    DescendantsView,
)
from app.schemas.pagination import CountedPage, list_parameters
from core import audit, process_folder, quotas, validation_errors
from core.database import read, write
from core.datasets import builtin, remote_file, repository, uploads
from core.datasets.cascade import delete_with_descendants, find_descendants
from core.datasets.peek import Peek
from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.datasets.table_names import COMPRESSION_SUFFIXES
from core.errors import FieldError, TooLarge, UnsupportedMedia, ValidationFailed
from core.ids import new_id
from core.listing import PageRequest
from core.settings import get_settings
from core.storage import StoredObject, get_storage
from core.tables import Dataset, DatasetState
from core.text import clean_name
from core.valid_names import unknown_name
from modalities import ingestion, registry, reingestion
from modalities.base import Modality

Body = TypeVar("Body", bound=DatasetMeta)

# For files that are read after the response. They wait for readers, so their number does not make
# a tenant the heaviest.
_validation_threads = FairThreads(16, per_owner=12, of_heaviest=12, shares=FairShares())

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictJsonRoute)

_REQUEST_BODIES: dict[str, Any] = {
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
                            "description": "One archive, npz file or table, or the idx files.",
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


@router.post(
    "",
    status_code=201,
    response_model=DatasetView,
    responses={202: {"model": DatasetView, "description": "The upload is validated later."}},
    openapi_extra=_REQUEST_BODIES,
)
async def create_dataset(
    request: Request,
    background: BackgroundTasks,
    caller: DataScope,
    idempotency_key: IdempotencyKeyHeader = None,
) -> Response:
    """Create a dataset from uploaded files, completed uploads, a URL, or a built-in dataset.

    For a small upload, the response is sent when the dataset is `ready` (201) or rejected; a
    rejected one is not stored. For a large one, the response is sent at once with the state
    `validating` (202): poll `state`, and read `error` if it becomes `failed`.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if content_type == "multipart/form-data":
        form_overhead = 1024 * 1024  # other form fields and boundaries
        limit = get_settings().limits.upload_bytes + form_overhead
        async with limit_body(request, limit).form(max_files=16, max_fields=4) as form:
            response = await route_threads.run(
                caller.tenant_id, _from_form, caller, idempotency_key, form
            )
    elif content_type == "application/json":
        body = await read_body(request)
        response = await route_threads.run(
            caller.tenant_id, _from_json, caller, idempotency_key, body
        )
    else:
        raise UnsupportedMedia("Send multipart/form-data with `file`, or application/json.")
    if response.status_code == 202:
        dataset_id = response.headers["location"].rsplit("/", 1)[1]
        background.add_task(_validate_in_turn, caller.tenant_id, dataset_id)
    response.background = background
    return response


async def _validate_in_turn(tenant_id: str, dataset_id: str) -> None:
    """Validate a dataset in a thread that tenants share, as soon as its tenant may have one."""
    await _validation_threads.run(tenant_id, ingestion.validate, get_storage(), dataset_id)


def _from_form(caller: Caller, key: str | None, form: FormData) -> Response:
    unknown = set(form) - {"file", "meta"}
    if unknown:
        errors = [unknown_name(f"/{name}", name, ("file", "meta")) for name in unknown]
        raise ValidationFailed(
            "The form may only have the fields `file` and `meta`. Send other settings as JSON in "
            "`meta`, "
            'for example `-F meta={"target":"income"}`.',
            code="unknown_field",
            field_errors=errors[:20],
        )
    files = form.getlist("file")
    parts = [file for file in files if isinstance(file, UploadFile)]
    if not parts or len(parts) != len(files):
        raise ValidationFailed(
            "The form needs at least one `file`, sent as a file.",
            field_errors=[FieldError("/file", "missing", "No file was sent.")],
        )
    text = form.get("meta", "{}")
    if not isinstance(text, str):
        raise ValidationFailed(
            "`meta` must be a JSON string, not a file.",
            field_errors=[FieldError("/meta", "invalid", "Must be a JSON string, not a file.")],
        )
    meta = _parse(DatasetMeta, strict_json.loads(text.encode(), "The form field `meta`"))
    with tempfile.TemporaryDirectory(dir=process_folder.get(), prefix="upload-") as folder:
        spooled = [_spool(part, Path(folder) / str(i)) for i, part in enumerate(parts)]
        contents = [(source.name, sha256) for source, sha256 in spooled]
        sources = [source for source, _ in spooled]
        return run_idempotently(
            caller,
            key,
            ["POST /v1/datasets", meta, contents],
            lambda save: _store(caller, meta, sources, save),
        )


def _spool(part: UploadFile, path: Path) -> tuple[SourceFile, str]:
    """Write the file to disk. Return it and its SHA-256."""
    limit, size, digest = get_settings().limits.upload_bytes, 0, hashlib.sha256()
    with path.open("wb") as out:
        while chunk := part.file.read(1024 * 1024):
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"A file may have at most {limit} bytes.", limit=limit)
            digest.update(chunk)
            out.write(chunk)
    return SourceFile(path, clean_name(part.filename or "upload")[:256]), digest.hexdigest()


def _store(
    caller: Caller, meta: DatasetMeta, sources: Sequence[SourceFile], save: SaveResponse
) -> tuple[int, DatasetView]:
    with sources[0].path.open("rb") as file:

        def read_range(start: int, end: int) -> bytes:
            file.seek(start)
            return file.read(end - start)

        size = sources[0].path.stat().st_size
        detected = registry.detect(Peek(sources[0].name, size, read_range))
    new, storage = _new_dataset(meta, sources[0].name, detected), get_storage()
    size = sum(source.path.stat().st_size for source in sources)
    with read() as session:
        quotas.check_storage(session, caller.tenant_id, size)
    small = size <= get_settings().limits.sync_dataset_bytes
    store, status = (ingestion.ingest, 201) if small else (ingestion.enqueue_ingestion, 202)

    def on_created(session: Session, dataset: Dataset) -> None:
        audit.record(session, caller, "dataset.create", dataset.id)
        save(session, status, DatasetView.of(dataset))

    dataset = store(storage, caller.tenant_id, new, sources, on_created)
    return status, DatasetView.of(dataset)


def _from_json(caller: Caller, key: str | None, body: bytes) -> Response:
    request = _parse(DatasetFrom, strict_json.loads(body))
    origins = (request.builtin, request.uploads, request.url)
    if sum(origin is not None for origin in origins) != 1:
        raise ValidationFailed("Send exactly one of `builtin`, `uploads` and `url`.")
    if request.builtin is not None:
        builtin.check_name(request.builtin)
    if request.builtin != "circle":
        sizes = request.model_dump(include={"radius", "points"}, exclude_none=True)
        _reject_fields(list(sizes), "applies only to the built-in dataset `circle`.")

    def create(save: SaveResponse) -> tuple[int, DatasetView]:
        if request.builtin is not None:
            return _store_builtin(caller, request, save)
        remote = None
        if request.url is not None:
            remote = _describe_remote(caller.tenant_id, request, request.url)
        with write() as session:
            if remote is not None:
                new, sources = remote
            else:
                sources = uploads.consume(session, caller.tenant_id, request.uploads or [])
                new = _new_dataset(request, sources[0]["name"], _detect_upload_modality(sources[0]))
            dataset = repository.add_validating(
                session, caller.tenant_id, new_id("ds"), new, sources=sources
            )
            audit.record(session, caller, "dataset.create", dataset.id)
            save(session, 202, DatasetView.of(dataset))
        return 202, DatasetView.of(dataset)

    return run_idempotently(caller, key, ["POST /v1/datasets", request], create)


def _store_builtin(
    caller: Caller, request: DatasetFrom, save: SaveResponse
) -> tuple[int, DatasetView]:
    if request.builtin == "digits":
        return _store(caller, request, builtin.get_digits(), save)
    with tempfile.TemporaryDirectory(dir=process_folder.get(), prefix="upload-") as folder:
        radius = 1.0 if request.radius is None else request.radius
        sources = builtin.make_circle(Path(folder), radius=radius, points=request.points or 1_000)
        return _store(caller, request, sources, save)


def _describe_remote(
    tenant_id: str, request: DatasetFrom, url: str
) -> tuple[NewDataset, list[dict[str, Any]]]:
    """Look at the file of a URL; return the new dataset and its source, which is fetched later."""
    peek = remote_file.peek(url)
    limit = get_settings().limits.upload_bytes
    if peek.size > limit:
        raise TooLarge(f"A file may have at most {limit} bytes.", limit=limit)
    with read() as session:
        quotas.check_storage(session, tenant_id, peek.size)
    source: dict[str, Any] = {"name": peek.name, "sha256": None, "parts": [], "url": url}
    return _new_dataset(request, peek.name, registry.detect(peek)), [source]


def _detect_upload_modality(source: dict[str, Any]) -> Modality:
    """Detect the modality of a completed upload."""
    parts = [StoredObject.from_dict(part) for part in source["parts"]]

    def read_range(start: int, end: int) -> bytes:
        return b"".join(_read_parts(parts, start, end))

    return registry.detect(Peek(source["name"], sum(part.bytes for part in parts), read_range))


def _read_parts(parts: Sequence[StoredObject], start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from `start` to `end` of the concatenated parts."""
    offset = 0
    for part in parts:
        first, last = max(start - offset, 0), min(end - offset, part.bytes)
        if first < last:
            yield from get_storage().stream(part, first, last)
        offset += part.bytes


def _new_dataset(meta: DatasetMeta, default_name: str, detected: Modality) -> NewDataset:
    modality = detected if meta.modality is None else registry.get(meta.modality)
    options = registry.own_options(meta, modality, "dataset_options")
    name = meta.name or Path(_without_compression(default_name)).stem or "dataset"
    return NewDataset(
        name=name,
        tags=meta.tags,
        options=options.model_dump(exclude_defaults=True, by_alias=True),
        modality=modality.name,
    )


def _without_compression(name: str) -> str:
    path = Path(name)
    return str(path.with_suffix("")) if path.suffix.lower() in COMPRESSION_SUFFIXES else name


def _reject_fields(fields: Sequence[str], reason: str) -> None:
    if fields:
        errors = [FieldError(f"/{field}", "not_allowed", f"`{field}` {reason}") for field in fields]
        raise ValidationFailed(errors[0].message, field_errors=errors)


def _parse(schema: type[Body], value: Any) -> Body:
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise validation_errors.body_validation_failed(error, schema, value) from error


@router.get("", response_model=CountedPage[DatasetView])
def list_datasets(
    caller: ReadScope,
    page: Annotated[PageRequest, list_parameters("ds")],
    state: Annotated[
        DatasetState | None, Query(description="Only datasets in this state. Default: all.")
    ] = None,
    modality: Annotated[
        registry.ModalityName | None, Query(description="Only this kind of data. Default: all.")
    ] = None,
) -> CountedPage[DatasetView]:
    """List the datasets, newest first unless `sort` says otherwise."""
    with read() as session:
        listed = repository.page(session, caller.tenant_id, page, state=state, modality=modality)
    return CountedPage.of(listed, [DatasetView.of(row) for row in listed.rows])


@router.get("/{dataset_id}", response_model=DatasetView)
def read_dataset(dataset_id: str, caller: ReadScope) -> DatasetView:
    """Return a dataset: its state, and a summary of its content."""
    with read() as session:
        return DatasetView.of(repository.get(session, caller.tenant_id, dataset_id))


@router.get("/{dataset_id}/descendants", response_model=DescendantsView)
def list_descendants(dataset_id: str, caller: ReadScope) -> DescendantsView:
    """List what came from a dataset: what its deletion with `cascade` deletes."""
    with read() as session:
        tree = find_descendants(session, caller.tenant_id, dataset_id)
    return DescendantsView(datasets=tree.datasets, jobs=tree.jobs, models=tree.models)


@router.patch("/{dataset_id}", response_model=DatasetView)
def change_dataset(dataset_id: str, change: DatasetPatch, caller: DataScope) -> DatasetView:
    """Change the name, the tags, or how the upload is read.

    With a field such as `labels_from` or `read`, the service reads the stored upload again, which
    may take a while. Fields that are not sent stay as they are, and null sets the default. A
    table's changes of the schema apply to the new content, too. Until the new content is valid,
    the old one stays in use. The request is rejected while an unfinished job uses the dataset.
    """
    with read() as session:
        dataset = repository.get(session, caller.tenant_id, dataset_id)
    options = registry.own_options(change, registry.get(dataset.modality), "update_options")

    def apply(session: Session, dataset: Dataset) -> None:
        audit.record(session, caller, "dataset.change", dataset.id)
        if change.name is not None:
            dataset.name = change.name
        if change.tags is not None:
            dataset.tags = change.tags

    if options.model_fields_set:
        return DatasetView.of(
            reingestion.read_again(get_storage(), caller.tenant_id, dataset_id, options, apply)
        )
    with write() as session:
        dataset = repository.get(session, caller.tenant_id, dataset_id)
        apply(session, dataset)
    return DatasetView.of(dataset)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(
    dataset_id: str,
    caller: DataScope,
    cascade: Annotated[
        bool,
        Query(
            description="Also delete what `/descendants` lists; needs the scope `train`, too. "
            "Default: false."
        ),
    ] = False,
) -> None:
    """Delete a dataset and its content. Models that were trained on it remain, unless `cascade`.

    The request is rejected while an unfinished job uses the dataset.
    """
    if cascade:
        check_scope(caller, "train")
    storage = get_storage()
    with write() as session:
        audit.record(
            session, caller, "dataset.delete_cascade" if cascade else "dataset.delete", dataset_id
        )
        if cascade:
            keys = delete_with_descendants(session, storage, caller.tenant_id, dataset_id)
        else:
            keys = repository.delete(session, caller.tenant_id, dataset_id)
    storage.delete(keys)
    if cascade:
        get_model_cache().remove_deleted()
