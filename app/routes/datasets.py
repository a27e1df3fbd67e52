"""`/v1/datasets`: datasets of labeled images or tables."""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Query, Request, Response
from sqlalchemy.orm import Session

from app.authentication import DataScope, ReadScope, check_scope
from app.dataset_creation import create_from_form, create_from_json
from app.fairness.route import FairRoute, route_threads
from app.fairness.shares import FairShares
from app.fairness.turns import FairThreads
from app.idempotent_requests import IdempotencyKeyHeader
from app.request_body import limit_body, read_body
from app.sampling.model_cache import get_model_cache
from app.schemas.datasets import (
    DatasetFrom,
    DatasetMeta,
    DatasetPatch,
    DatasetView,
    DescendantsView,
)
from app.schemas.pagination import CountedPage, list_parameters
from core import audit
from core.database import read, write
from core.datasets import repository
from core.datasets.cascade import delete_with_descendants, find_descendants
from core.errors import UnsupportedMedia
from core.listing import PageRequest
from core.settings import get_settings
from core.storage import get_storage
from core.tables import Dataset, DatasetState
from modalities import ingestion, registry, reingestion

# For files that are read after the response. They wait for readers, so their number does not make
# a tenant the heaviest.
_validation_threads = FairThreads(16, per_owner=12, of_heaviest=12, shares=FairShares())

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=FairRoute)

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
                caller.tenant_id, create_from_form, caller, idempotency_key, form
            )
    elif content_type == "application/json":
        body = await read_body(request)
        response = await route_threads.run(
            caller.tenant_id, create_from_json, caller, idempotency_key, body
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
