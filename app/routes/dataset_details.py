"""`/v1/datasets/{dataset_id}/…`: details of a dataset.

These are its `profile`, `issues`, `preview`, `content` and `provenance`, and a table's `schema`.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.background import BackgroundTask

from app import content_negotiation
from app.authentication import DataScope, ReadScope
from app.request_body import StrictJsonRoute
from app.schemas.datasets import Issues
from app.schemas.pagination import page_size
from app.schemas.tables import RowsPage, SchemaChange, SchemaView
from core.database import read
from core.datasets import repository
from core.datasets.media_types import IMAGE_MEDIA_TYPES, STREAMABLE_FORMATS, TABULAR_MEDIA_TYPES
from core.errors import Conflict, FieldError, NotFound, ValidationFailed
from core.storage import ObjectCorrupted, StoredObject, get_storage
from core.tables import Dataset
from modalities.tabular import Schema, schema_update

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictJsonRoute)

PREVIEW_TYPES = {"json": "application/json", "csv": "text/csv"}

CONTENT_TYPES = {
    modality: {name: (IMAGE_MEDIA_TYPES | TABULAR_MEDIA_TYPES)[name] for name in names}
    for modality, names in STREAMABLE_FORMATS.items()
}
DEFAULT_FORMATS = {"image": "zip", "tabular": "csv"}

PREVIEW_ROWS = 20


@router.get("/{dataset_id}/schema", response_model=SchemaView)
def read_schema(dataset_id: str, caller: ReadScope) -> SchemaView:
    """Return the schema of a table: inferred columns with later changes applied."""
    with read() as session:
        dataset = repository.get_table(session, caller.tenant_id, dataset_id)
    return SchemaView.of(Schema.from_dict(dataset.summary))


@router.put("/{dataset_id}/schema", response_model=SchemaView)
def change_schema(dataset_id: str, change: SchemaChange, caller: DataScope) -> SchemaView:
    """Change types, order, target or excluded columns. Columns that are not listed stay unchanged.

    The service checks the stored values against the new schema, which may take a while; it never
    changes them. The request is rejected while an unfinished job uses the dataset.
    """
    dataset = schema_update.update_schema(
        get_storage(),
        caller.tenant_id,
        dataset_id,
        change.to_overrides(),
        keep_target="target" not in change.model_fields_set,
    )
    return SchemaView.of(Schema.from_dict(dataset.summary))


@router.get("/{dataset_id}/profile")
def read_profile(dataset_id: str, caller: ReadScope) -> dict[str, Any]:
    """Return item counts, and statistics of the pixels by label or of each table column."""
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    summary: dict[str, Any] = {
        "train_items": dataset.summary["n_train"],
        "test_items": dataset.summary["n_test"],
        "labels": dataset.summary["labels"],
    }
    if dataset.modality == "tabular":
        profile = get_storage().read(StoredObject.from_dict(dataset.objects["profile"]))
        return {**summary, **json.loads(profile)}
    return {**summary, **dataset.summary["profile"]}


@router.get("/{dataset_id}/issues", response_model=Issues)
def read_issues(dataset_id: str, caller: ReadScope) -> Issues:
    """List issues of the data, with examples and remedies."""
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    return Issues(data=dataset.summary["issues"], notes=dataset.summary["notes"])


@router.get(
    "/{dataset_id}/preview",
    response_class=Response,
    responses={
        200: {
            "content": {"image/png": {}, "text/csv": {}},
            "model": RowsPage,
        }
    },
)
def read_preview(
    dataset_id: str,
    caller: ReadScope,
    limit: Annotated[
        int, Query(ge=1, description="Tables only: number of rows. Default: 20.")
    ] = PREVIEW_ROWS,
    offset: Annotated[
        int,
        Query(ge=0, le=2**53, description="Tables only: index of the first row. Default: 0."),
    ] = 0,
    format: Annotated[
        str | None, Query(description="Tables only: `json` or `csv`; overrides `Accept`.")
    ] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Return a preview: for images a PNG grid with one row per label, for tables some rows."""
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    if dataset.modality == "tabular":
        output_format = content_negotiation.negotiate(
            PREVIEW_TYPES, format=format, accept=accept, default="json"
        )
        return _preview_rows(dataset, offset, page_size(limit), output_format)
    preview = StoredObject.from_dict(dataset.objects["preview"])
    return Response(get_storage().read(preview), media_type="image/png")


def _preview_rows(dataset: Dataset, offset: int, limit: int, format: str) -> Response:
    from modalities.tabular.upload import preview  # pyarrow is slow to load

    schema, total = Schema.from_dict(dataset.summary), dataset.summary["rows"]
    with get_storage().open(StoredObject.from_dict(dataset.objects["rows"])) as path:
        if format == "csv":
            return Response(preview.preview_csv(path, schema, offset, limit), media_type="text/csv")
        rows = preview.preview_rows(path, schema, offset, limit)
    page = RowsPage(data=rows, offset=offset, total=total, has_more=offset + len(rows) < total)
    return JSONResponse(page.model_dump(mode="json"))


@router.get(
    "/{dataset_id}/content",
    response_class=Response,
    responses={
        200: {
            "content": {media: {} for types in CONTENT_TYPES.values() for media in types.values()}
        }
    },
)
def read_content(
    dataset_id: str,
    caller: ReadScope,
    split: Annotated[
        Literal["train", "test"], Query(description="`test` is the published test split.")
    ] = "train",
    format: Annotated[
        Literal["zip", "npz", "tar", "csv", "ndjson", "parquet", "arrow"] | None,
        Query(description="File format; overrides `Accept`."),
    ] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Download the dataset, in the formats of samples. The file can be uploaded again.

    Images: a zip of PNGs with labels.csv, npz (`x`, `y`, `labels`), or a tar (WebDataset). Tables:
    CSV, NDJSON, Parquet or Arrow, without the excluded columns.
    """
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    if split == "test" and not dataset.summary["n_test"]:
        error = FieldError("/split", "not_available", "The dataset has no test split.", ("train",))
        raise ValidationFailed(error.message, field_errors=[error])
    output_format = content_negotiation.negotiate(
        CONTENT_TYPES[dataset.modality],
        format=format,
        accept=accept,
        default=DEFAULT_FORMATS[dataset.modality],
    )
    open_files = ExitStack()
    return StreamingResponse(
        _stream_content(dataset, split, output_format, open_files),
        media_type=CONTENT_TYPES[dataset.modality][output_format],
        headers={
            "Content-Disposition": f'attachment; filename="{dataset.id}.{output_format}"',
            "Vary": "Accept",
        },
        background=BackgroundTask(open_files.close),
    )


def _stream_content(
    dataset: Dataset, split: Literal["train", "test"], format: str, open_files: ExitStack
) -> Iterator[bytes]:
    """Encode the content. The verified files stay open until `open_files` is closed."""
    from modalities import export  # numpy and pyarrow are slow to load

    names = ("x", "y") if dataset.modality == "image" else ("rows",)
    try:
        files = [
            open_files.enter_context(
                get_storage().open(StoredObject.from_dict(dataset.objects[name]))
            )
            for name in names
        ]
    except ObjectCorrupted as error:
        open_files.close()
        raise Conflict(
            "A stored file of the dataset is missing or damaged. Upload the dataset again.",
            code="dataset_unreadable",
        ) from error
    if dataset.modality == "image":
        return export.export_images(files[0], files[1], dataset, split, format)
    return export.export_rows(files[0], dataset, format)


@router.get(
    "/{dataset_id}/provenance",
    response_class=Response,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def read_provenance(dataset_id: str, caller: ReadScope) -> Response:
    """Return the provenance of each item of an augmented dataset, as NDJSON in item order.

    Each line has the item's label and its `source` (`real`, `transforms` or `model`). A real or
    transformed item also has the index of the real item in the source dataset, and the applied
    transforms. A generated item has the model, the seed and the index that generate it again.
    """
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    if "provenance" not in dataset.objects:
        raise NotFound(f"Dataset {dataset_id} was not created by an augmentation job.")
    stored = StoredObject.from_dict(dataset.objects["provenance"])
    headers = {"Content-Length": str(stored.bytes)}
    return StreamingResponse(
        get_storage().stream(stored), media_type="application/x-ndjson", headers=headers
    )
