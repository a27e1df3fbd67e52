"""`/v1/datasets/{dataset_id}/…`: details of a dataset.

These are its `profile`, `issues`, `preview`, `content` and `provenance`, and a table's `schema`.
"""

import itertools
import json
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from app import byte_range, content_negotiation
from app.authentication import DataReadScope, DataScope, ReadScope
from app.byte_range import RANGE_HEADERS, IfRangeHeader, RangeHeader
from app.content_negotiation import AcceptHeader
from app.fairness.route import FairRoute, route_threads
from app.fairness.streaming import FairStreamingResponse
from app.http_methods import etag_of, sends_content
from app.openapi_responses import responses
from app.schemas.datasets import DatasetProfile, Issues
from app.schemas.pagination import page_size
from app.schemas.tables import SchemaChange, SchemaView
from core import audit
from core.database import read, write
from core.datasets import repository
from core.datasets.data_quality import MAX_STORED_EXAMPLES, QUOTING_CODES, SHOWN_EXAMPLES
from core.errors import Conflict, FieldError, NotFound, ValidationFailed
from core.storage import ObjectCorrupted, StoredObject, get_storage
from core.tables import Dataset
from modalities import registry
from modalities.tabular import schema_update
from modalities.tabular.options import RowsPage
from modalities.tabular.schema import Schema

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=FairRoute)

CONTENT_TYPES = {
    format: media_type
    for modality in registry.installed().values()
    for format, media_type in modality.content_formats.items()
}

PREVIEW_ROWS = 20


@router.get("/{dataset_id}/schema", response_model=SchemaView)
def read_schema(dataset_id: str, caller: ReadScope) -> SchemaView:
    """Return the schema of a table: inferred columns with later changes applied."""
    with read() as session:
        dataset = schema_update.get_table(session, caller.tenant_id, dataset_id)
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
        on_changed=lambda session, row: audit.record(session, caller, "dataset.schema", row.id),
    )
    return SchemaView.of(Schema.from_dict(dataset.summary))


@router.get(
    "/{dataset_id}/profile", response_model=DatasetProfile, response_model_exclude_unset=True
)
def read_profile(dataset_id: str, caller: DataReadScope) -> dict[str, Any]:
    """Return item counts, and statistics of the pixels by label or of each table column."""
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    return {
        "train_items": dataset.summary["n_train"],
        "test_items": dataset.summary["n_test"],
        "labels": dataset.summary["labels"],
        **registry.get(dataset.modality).profile(dataset, get_storage()),
    }


@router.get("/{dataset_id}/issues", response_model=Issues)
def read_issues(
    dataset_id: str,
    caller: ReadScope,
    examples: Annotated[
        int,
        Query(
            ge=0,
            le=MAX_STORED_EXAMPLES,
            description="Largest number of examples of each issue. Default: 5.",
        ),
    ] = SHOWN_EXAMPLES,
) -> Issues:
    """List issues of the data, with examples and remedies.

    Examples that quote cells, such as the text of lines that were left out, need the scope
    `data:read`; without it they are missing.
    """
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    hidden = frozenset() if caller.scopes & {"data:read", "admin"} else QUOTING_CODES
    issues = [
        {**issue, "examples": [] if issue["code"] in hidden else issue["examples"][:examples]}
        for issue in dataset.summary["issues"]
    ]
    return Issues.model_validate({"data": issues, "notes": dataset.summary["notes"]})


@router.get(
    "/{dataset_id}/preview",
    response_class=Response,
    responses=responses("image/png", "text/csv", headers=("ETag",), model=RowsPage),
)
def read_dataset_preview(
    dataset_id: str,
    caller: DataReadScope,
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
    accept: AcceptHeader = None,
) -> Response:
    """Return a preview: for images a PNG grid with one row per label, for tables some rows."""
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    modality = registry.get(dataset.modality)
    output_format = content_negotiation.negotiate(
        modality.preview_formats,
        format=format,
        accept=accept,
        default=next(iter(modality.preview_formats)),
    )
    preview = modality.preview(
        dataset, get_storage(), output_format, offset=offset, limit=page_size(limit)
    )
    headers = {
        "ETag": etag_of(preview),
        "Cache-Control": "private, no-cache",
        "Vary": "Accept",
    }
    return Response(preview, media_type=modality.preview_formats[output_format], headers=headers)


@router.get(
    "/{dataset_id}/content",
    response_class=Response,
    responses=responses(
        *CONTENT_TYPES.values(), headers=(*RANGE_HEADERS, "Content-Disposition"), ranges=True
    ),
)
def read_content(
    request: Request,
    dataset_id: str,
    caller: DataReadScope,
    split: Annotated[
        Literal["train", "test"], Query(description="`test` is the published test split.")
    ] = "train",
    format: Annotated[
        registry.ContentFormat | None,
        Query(description="File format; overrides `Accept`."),
    ] = None,
    accept: AcceptHeader = None,
    range: RangeHeader = None,
    if_range: IfRangeHeader = None,
) -> Response:
    """Download the dataset, in the formats of samples. The file can be uploaded again.

    Images: a zip of PNGs with labels.csv, npz (`x`, `y`, `labels`), or a tar (WebDataset). Tables:
    CSV, NDJSON, Parquet or Arrow, without the excluded columns.

    The file is encoded while it is sent, so the response has a length only after a complete
    download. A range is answered when the whole file has been encoded once. The audit log has an
    entry for each response with content.
    """
    with read() as session:
        dataset = repository.get_ready(session, caller.tenant_id, dataset_id)
    if split == "test" and not dataset.summary["n_test"]:
        error = FieldError("/split", "not_available", "The dataset has no test split.", ("train",))
        raise ValidationFailed(error.message, field_errors=[error])
    modality = registry.get(dataset.modality)
    output_format = content_negotiation.negotiate(
        modality.content_formats,
        format=format,
        accept=accept,
        default=next(iter(modality.content_formats)),
    )
    etag = _content_etag(dataset, split, output_format)
    headers = {
        "ETag": etag,
        "Content-Disposition": f'attachment; filename="{dataset.id}.{output_format}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Accept",
    }
    media_type = modality.content_formats[output_format]

    def encode() -> Iterator[bytes]:
        with ExitStack() as open_files:
            try:
                chunks = modality.export(dataset, get_storage(), split, output_format, open_files)
            except ObjectCorrupted as error:
                raise Conflict(
                    "A stored file of the dataset is missing or damaged. Upload the dataset again.",
                    code="dataset_unreadable",
                ) from error
            size = 0
            for chunk in chunks:
                size += len(chunk)
                yield chunk
            _content_sizes[etag] = size

    if etag not in _content_sizes and byte_range.applies(range, if_range, etag):
        deque(encode(), maxlen=0)  # counts the bytes
    if etag not in _content_sizes:
        headers |= {"Accept-Ranges": "bytes", "Content-Encoding": "identity"}
        chunks = encode()
        body = itertools.chain([next(chunks)], chunks)  # an error comes before the response starts
        response = FairStreamingResponse(
            route_threads, caller.tenant_id, body, headers=headers, media_type=media_type
        )
    else:
        response = byte_range.ranged_response(
            lambda start, end: byte_range.cut(encode(), start, end),
            _content_sizes[etag],
            range,
            if_range,
            tenant_id=caller.tenant_id,
            headers=headers,
            media_type=media_type,
        )
    if sends_content(request, response):
        with write() as session:
            audit.record(session, caller, "dataset.download", dataset.id)
    return response


# Sizes of encoded datasets by ETag. A size is small and never changes.
_content_sizes: dict[str, int] = {}


def _content_etag(dataset: Dataset, split: str, output_format: str) -> str:
    """Return a tag of all that the encoded bytes depend on."""
    hashes = {name: stored["sha256"] for name, stored in dataset.objects.items()}
    software = version("semblance-server")
    inputs = [dataset.id, hashes, dataset.summary, split, output_format, software]
    return etag_of(json.dumps(inputs, sort_keys=True).encode())


@router.get(
    "/{dataset_id}/provenance",
    response_class=Response,
    responses=responses("application/x-ndjson"),
)
def read_provenance(dataset_id: str, caller: DataReadScope) -> Response:
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
    return FairStreamingResponse(
        route_threads,
        caller.tenant_id,
        get_storage().stream(stored),
        headers=headers,
        media_type="application/x-ndjson",
    )
