"""`/v1/datasets/{dataset_id}/items`, `…/rows` and `…/transforms/preview`: single items."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from app import strict_json
from app.authentication import DataReadScope
from app.fairness.route import FairRoute
from app.http_methods import etag_of
from app.openapi_responses import responses
from app.schemas.datasets import DatasetItem, DatasetItems, DatasetRows, TransformsPreview
from app.schemas.pagination import Limit, page_size
from core.database import read
from core.datasets import repository
from core.errors import FieldError, ValidationFailed
from core.storage import get_storage
from core.tables import Dataset
from modalities import registry

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=FairRoute)

Offset = Annotated[int, Query(ge=0, le=2**53, description="Number of items to skip. Default: 0.")]


def _get(tenant_id: str, dataset_id: str) -> Dataset:
    with read() as session:
        return repository.get_ready(session, tenant_id, dataset_id)


@router.get("/{dataset_id}/items", response_model=DatasetItems)
def list_items(
    dataset_id: str,
    caller: DataReadScope,
    label: Annotated[
        str | None, Query(max_length=256, description="Only items of this label. Default: all.")
    ] = None,
    split: Annotated[
        Literal["train", "test"] | None, Query(description="Only this split. Default: both.")
    ] = None,
    offset: Offset = 0,
    limit: Limit = 50,
) -> DatasetItems:
    """List the items of an image dataset, each with the address of its picture."""
    dataset = _get(caller.tenant_id, dataset_id)
    page = registry.get(dataset.modality).list_items(
        dataset, get_storage(), split=split, label=label, offset=offset, limit=page_size(limit)
    )
    items = [
        DatasetItem(**item, url=f"/v1/datasets/{dataset.id}/items/{item['index']}.png")
        for item in page.items
    ]
    has_more = offset + len(items) < page.total
    return DatasetItems(data=items, offset=offset, total=page.total, has_more=has_more)


@router.get(
    "/{dataset_id}/items/{index}.png",
    response_class=Response,
    responses=responses("image/png", headers=("ETag",)),
)
def read_item(dataset_id: str, index: int, caller: DataReadScope) -> Response:
    """Return one image of a dataset as a PNG. A change of the dataset may give it another index."""
    dataset = _get(caller.tenant_id, dataset_id)
    picture = registry.get(dataset.modality).item_picture(dataset, get_storage(), index)
    headers = {"ETag": etag_of(picture), "Cache-Control": "private, no-cache"}
    return Response(picture, media_type="image/png", headers=headers)


@router.get("/{dataset_id}/rows", response_model=DatasetRows)
def list_rows(
    dataset_id: str,
    caller: DataReadScope,
    where: Annotated[
        str | None,
        Query(
            max_length=4_096,  # a URL may have 8,192 bytes
            description="Conditions as JSON, in the form of those on samples: by column, a value, "
            'a list of values, or a range: `{"income": ">50K", "age": {"gte": 65}}`. '
            "Default: all rows.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        Query(
            max_length=1_025,
            description="Column; `-` in front of it is descending, unless a column has that whole "
            "name. Default: the order of the file.",
        ),
    ] = None,
    offset: Offset = 0,
    limit: Limit = 50,
) -> DatasetRows:
    """List rows of a table that satisfy conditions, in the order of a column."""
    conditions: Any = {}
    if where is not None:
        conditions = strict_json.loads(where.encode(), "The parameter `where`")
        if not isinstance(conditions, dict):
            error = FieldError("/where", "invalid", "Must be a JSON object.")
            raise ValidationFailed("`where` must be a JSON object.", field_errors=[error])
    dataset = _get(caller.tenant_id, dataset_id)
    rows, total = registry.get(dataset.modality).list_rows(
        dataset,
        get_storage(),
        where=conditions,
        order=sort,
        offset=offset,
        limit=page_size(limit),
    )
    has_more = offset + len(rows) < total
    return DatasetRows(data=rows, offset=offset, total=total, has_more=has_more)


@router.post(
    "/{dataset_id}/transforms/preview",
    response_class=Response,
    responses=responses("image/png"),
)
def preview_transforms(
    dataset_id: str, request: TransformsPreview, caller: DataReadScope
) -> Response:
    """Return a PNG of eight training images and, below each, a transformed version.

    An augmentation job with the same `transforms` creates such images.
    """
    dataset = _get(caller.tenant_id, dataset_id)
    modality = registry.augmentation_of(dataset.modality)
    options = registry.own_options(request, registry.get(dataset.modality), "augmentation_options")
    rules = modality.augmentation_rules(dataset.summary, options)
    picture = registry.get(dataset.modality).preview_transforms(
        dataset, get_storage(), rules.transforms, request.seed
    )
    return Response(picture, media_type="image/png")
