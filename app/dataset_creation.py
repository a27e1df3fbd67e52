"""Creation of datasets: from the files of a form, completed uploads, a URL or a built-in one."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, UploadFile

from app import strict_json
from app.authentication import Caller
from app.idempotent_requests import SaveResponse, run_idempotently
from app.schemas.datasets import DatasetFrom, DatasetMeta, DatasetView
from core import audit, process_folder, quotas, validation_errors
from core.database import read, write
from core.datasets import builtin, remote_file, repository, uploads
from core.datasets.peek import Peek
from core.datasets.repository import NewDataset
from core.datasets.source import SourceFile
from core.datasets.table_names import COMPRESSION_SUFFIXES
from core.errors import BadRequest, FieldError, TooLarge, ValidationFailed
from core.ids import new_id
from core.settings import get_settings
from core.storage import StoredObject, get_storage
from core.tables import Dataset
from core.text import clean_name
from core.valid_names import unknown_name
from modalities import ingestion, registry
from modalities.base import Modality

Body = TypeVar("Body", bound=DatasetMeta)


def create_from_form(caller: Caller, key: str | None, form: FormData) -> Response:
    """Create a dataset from a form: its files, and `meta` as JSON."""
    unknown = set(form) - {"file", "meta"}
    if unknown:
        errors = [unknown_name(f"/{name}", name, ("file", "meta")) for name in sorted(unknown)[:20]]
        raise ValidationFailed(
            "The form may only have the fields `file` and `meta`. Send other settings as JSON in "
            '`meta`, for example `--form-string meta={"target":"income"}`.',
            code="unknown_field",
            field_errors=errors,
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
    meta = _parse(DatasetMeta, _load_meta(text))
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


def _load_meta(text: str) -> Any:
    """Parse `meta`; raise BadRequest, with a remedy if the end of the text is missing."""
    try:
        return strict_json.loads(text.encode(), "The form field `meta`")
    except BadRequest as error:
        if "EOF while parsing" not in error.detail:
            raise
        message = (
            f"{error.detail} The text ends before it is complete. The option -F of curl ends a "
            "value at a semicolon: send `meta` with --form-string instead."
        )
        raise BadRequest(message, code=error.code) from error


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


def create_from_json(caller: Caller, key: str | None, body: bytes) -> Response:
    """Create a dataset from completed uploads, a URL or a built-in dataset."""
    request = _parse(DatasetFrom, strict_json.loads(body))
    origins = (request.builtin, request.uploads, request.url)
    if sum(origin is not None for origin in origins) != 1:
        raise ValidationFailed("Send exactly one of `builtin`, `uploads` and `url`.")
    if request.builtin is not None:
        builtin.check_name(request.builtin)
    if request.builtin != "circle":
        sizes = request.model_dump(include={"radius", "points"}, exclude_none=True)
        reason = "applies only to the built-in dataset `circle`."
        errors = [FieldError(f"/{name}", "not_allowed", f"`{name}` {reason}") for name in sizes]
        if errors:
            raise ValidationFailed(errors[0].message, field_errors=errors)

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


def _parse(schema: type[Body], value: Any) -> Body:
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise validation_errors.body_validation_failed(error, schema, value) from error
