"""What is told of a dataset: `profile`, `issues`, `preview`, `content`, `provenance`, and a table's
`schema`."""

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
from core.datasets import repository, schema_update
from core.datasets.media_types import IMAGE_MEDIA_TYPES, STREAMABLE_FORMATS, TABULAR_MEDIA_TYPES
from core.datasets.tabular import Schema
from core.errors import Conflict, FieldError, NotFound, ValidationFailed
from core.storage import ObjectCorrupted, StoredObject, get_storage
from core.tables import Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictJsonRoute)

PREVIEW_TYPES = {"json": "application/json", "csv": "text/csv"}

CONTENT_TYPES = {
    kind: {name: (IMAGE_MEDIA_TYPES | TABULAR_MEDIA_TYPES)[name] for name in names}
    for kind, names in STREAMABLE_FORMATS.items()
}
DEFAULT_FORMATS = {"image": "zip", "tabular": "csv"}

_ROWS = 20


@router.get("/{dataset_id}/schema", response_model=SchemaView)
def read_schema(dataset_id: str, caller: ReadScope) -> SchemaView:
    """A table's columns: as they were inferred, and as they were changed since."""
    with read() as session:
        dataset = repository.get_table(session, caller.tenant_id, dataset_id)
    return SchemaView.of(Schema.from_dict(dataset.summary))


@router.put("/{dataset_id}/schema", response_model=SchemaView)
def change_schema(dataset_id: str, change: SchemaChange, caller: DataScope) -> SchemaView:
    """Change types, order, target or what is dropped; columns that are not named stay.

    The values are checked, so that this may take a while, and are never changed. Refused while a
    job that is not over needs the dataset.
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
    """Counts and statistics: of pixels, in all and for each label, or of each column."""
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    told: dict[str, Any] = {
        "train_items": dataset.summary["n_train"],
        "test_items": dataset.summary["n_test"],
        "labels": dataset.summary["labels"],
    }
    if dataset.modality == "tabular":
        profile = get_storage().read(StoredObject.from_dict(dataset.objects["profile"]))
        return {**told, **json.loads(profile)}
    return {**told, **dataset.summary["profile"]}


@router.get("/{dataset_id}/issues", response_model=Issues)
def read_issues(dataset_id: str, caller: ReadScope) -> Issues:
    """What is odd about the data, with examples and what to do about it."""
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
    limit: Annotated[int, Query(ge=1, description="rows of a table")] = _ROWS,
    offset: Annotated[int, Query(ge=0, le=2**53, description="rows of a table to leave out")] = 0,
    format: Annotated[str | None, Query(description="of a table: json or csv")] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Images: a grid of thumbnails, a row for each label. Tables: some rows, as JSON or CSV."""
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    if dataset.modality == "tabular":
        chosen = content_negotiation.negotiate(
            PREVIEW_TYPES, format=format, accept=accept, default="json"
        )
        return _rows(dataset, offset, page_size(limit), chosen)
    preview = StoredObject.from_dict(dataset.objects["preview"])
    return Response(get_storage().read(preview), media_type="image/png")


def _rows(dataset: Dataset, offset: int, limit: int, format: str) -> Response:
    from core.datasets.tabular import preview  # pyarrow takes time to load

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
        200: {"content": {media: {} for kind in CONTENT_TYPES.values() for media in kind.values()}}
    },
)
def read_content(
    dataset_id: str,
    caller: ReadScope,
    split: Annotated[
        Literal["train", "test"], Query(description="test: the published test part")
    ] = "train",
    format: Annotated[
        Literal["zip", "npz", "tar", "csv", "ndjson", "parquet", "arrow"] | None,
        Query(description="overrides `Accept`"),
    ] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """The set itself, in the formats that samples come in, to be uploaded again or taken elsewhere.

    Images: a zip of PNGs with labels.csv, npz (`x`, `y`, `labels`), or a tar (WebDataset); rows:
    CSV, NDJSON, Parquet or Arrow, without the columns that are dropped.
    """
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    if split == "test" and not dataset.summary["n_test"]:
        fault = FieldError("/part", "not_available", "the dataset has no test part", ("train",))
        raise ValidationFailed(fault.message, field_errors=[fault])
    chosen = content_negotiation.negotiate(
        CONTENT_TYPES[dataset.modality],
        format=format,
        accept=accept,
        default=DEFAULT_FORMATS[dataset.modality],
    )
    opened = ExitStack()
    return StreamingResponse(
        _content(dataset, split, chosen, opened),
        media_type=CONTENT_TYPES[dataset.modality][chosen],
        headers={
            "Content-Disposition": f'attachment; filename="{dataset.id}.{chosen}"',
            "Vary": "Accept",
        },
        background=BackgroundTask(opened.close),
    )


def _content(
    dataset: Dataset, part: Literal["train", "test"], format: str, opened: ExitStack
) -> Iterator[bytes]:
    """The files stay open, and verified, until `opened` is closed."""
    from core.datasets import export  # numpy and pyarrow take time to load

    names = ("x", "y") if dataset.modality == "image" else ("rows",)
    try:
        files = [
            opened.enter_context(get_storage().open(StoredObject.from_dict(dataset.objects[name])))
            for name in names
        ]
    except ObjectCorrupted as error:
        opened.close()
        raise Conflict(f"{error}; upload the dataset again", code="dataset_unreadable") from error
    if dataset.modality == "image":
        return export.export_images(files[0], files[1], dataset, part, format)
    return export.export_rows(files[0], dataset, format)


@router.get(
    "/{dataset_id}/provenance",
    response_class=Response,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def read_provenance(dataset_id: str, caller: ReadScope) -> Response:
    """Where each item of a set that an augmentation job made comes from, a line of JSON for each in
    the order of the items: its label, its `source` (real, transforms, model) and its recipe: the place
    of the real item in the dataset it was made of, what was done to it, or the model, the seed and
    the number that draw it again."""
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    if "provenance" not in dataset.objects:
        raise NotFound(f"dataset {dataset_id} was not made by an augmentation job")
    stored = StoredObject.from_dict(dataset.objects["provenance"])
    headers = {"Content-Length": str(stored.bytes)}
    return StreamingResponse(
        get_storage().stream(stored), media_type="application/x-ndjson", headers=headers
    )
