"""What is told of a dataset: `profile`, `issues`, `preview`, and a table's `schema`."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import JSONResponse

from app import negotiation
from app.authentication import DataKeeper, Reader
from app.schemas.datasets import Issues
from app.schemas.pages import page_size
from app.schemas.tables import RowsPage, SchemaChange, SchemaView
from app.strict import StrictRoute
from core.database import read
from core.datasets import life, revision
from core.datasets.rows import Schema
from core.storage import Stored, get_storage
from core.tables import Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=StrictRoute)

PREVIEWS = {"json": "application/json", "csv": "text/csv"}

_ROWS = 20


@router.get("/{dataset_id}/schema", response_model=SchemaView)
def read_schema(dataset_id: str, caller: Reader) -> SchemaView:
    """A table's columns: as they were inferred, and as they were changed since."""
    with read() as session:
        dataset = life.get_rows(session, caller.tenant_id, dataset_id)
    return SchemaView.of(Schema.from_dict(dataset.summary))


@router.put("/{dataset_id}/schema", response_model=SchemaView)
def change_schema(dataset_id: str, change: SchemaChange, caller: DataKeeper) -> SchemaView:
    """Change types, order, target or what is dropped; columns that are not named stay.

    The values are checked, so that this may take a while, and are never changed. Refused while a
    job that is not over needs the dataset.
    """
    dataset = revision.revise(
        get_storage(),
        caller.tenant_id,
        dataset_id,
        change.wanted(),
        keep_target="target" not in change.model_fields_set,
    )
    return SchemaView.of(Schema.from_dict(dataset.summary))


@router.get("/{dataset_id}/profile")
def read_profile(dataset_id: str, caller: Reader) -> dict[str, Any]:
    """Counts and statistics: of pixels, in all and for each label, or of each column."""
    with read() as session:
        dataset = life.get_ready(session, caller.tenant_id, dataset_id)
    told: dict[str, Any] = {
        "items": dataset.summary["n_train"],
        "held_out": dataset.summary["n_held_out"],
        "labels": dataset.summary["labels"],
    }
    if dataset.kind == "rows":
        profile = get_storage().read(Stored.from_dict(dataset.content["profile"]))
        return {**told, **json.loads(profile)}
    return {**told, **dataset.summary["profile"]}


@router.get("/{dataset_id}/issues", response_model=Issues)
def read_issues(dataset_id: str, caller: Reader) -> Issues:
    """What is odd about the data, with examples and what to do about it."""
    with read() as session:
        dataset = life.get_ready(session, caller.tenant_id, dataset_id)
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
    caller: Reader,
    limit: Annotated[int, Query(ge=1, description="rows of a table")] = _ROWS,
    offset: Annotated[int, Query(ge=0, le=2**53, description="rows of a table to leave out")] = 0,
    format: Annotated[str | None, Query(description="of a table: json or csv")] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Images: a grid of thumbnails, a row for each label. Tables: some rows, as JSON or CSV."""
    with read() as session:
        dataset = life.get_ready(session, caller.tenant_id, dataset_id)
    if dataset.kind == "rows":
        chosen = negotiation.choose(PREVIEWS, format=format, accept=accept, default="json")
        return _rows(dataset, offset, page_size(limit), chosen)
    preview = Stored.from_dict(dataset.content["preview"])
    return Response(get_storage().read(preview), media_type="image/png")


def _rows(dataset: Dataset, offset: int, limit: int, format: str) -> Response:
    from core.datasets.rows import preview  # pyarrow takes time to load

    schema, total = Schema.from_dict(dataset.summary), dataset.summary["rows"]
    with get_storage().open(Stored.from_dict(dataset.content["rows"])) as path:
        if format == "csv":
            return Response(preview.csv_of(path, schema, offset, limit), media_type="text/csv")
        rows = preview.rows_of(path, schema, offset, limit)
    page = RowsPage(data=rows, offset=offset, total=total, has_more=offset + len(rows) < total)
    return JSONResponse(page.model_dump(mode="json"))
