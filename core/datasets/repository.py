"""Queries and state changes of datasets: `validating`, then `ready` or `failed`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, select, text
from sqlalchemy import delete as delete_rows
from sqlalchemy.orm import Session

from core import jobs, leases, model_registry, similar_names
from core.database import clock, cutoff, write
from core.errors import JobError, NotFound, NotReady, ResourceInUse, SemblanceError
from core.idempotency import forget_responses
from core.listing import ListedPage, PageRequest, forget_tags, list_page
from core.storage import Storage, StoredObject
from core.tables import HAS_REPLACED, VALIDATING, Dataset, DatasetState, Job, Json

VALIDATION_LEASE_S = 15.0
BATCH = 50


@dataclass(frozen=True)
class NewDataset:
    name: str
    tags: Json
    options: Json
    modality: str


def add_ready(
    session: Session,
    tenant_id: str,
    dataset_id: str,
    new: NewDataset,
    *,
    sources: list[dict[str, Any]],
    objects: dict[str, StoredObject],
    summary: Json,
) -> Dataset:
    """Add a dataset whose files have been validated and stored. `sources` are the kept uploads."""
    dataset = Dataset(
        id=dataset_id,
        tenant_id=tenant_id,
        name=new.name,
        modality=new.modality,
        tags=new.tags,
        options=new.options,
        state=DatasetState.READY,
        sources=sources,
        objects={name: stored.to_dict() for name, stored in objects.items()},
        summary=summary,
        ready_at=clock(),
    )
    session.add(dataset)
    session.flush()
    session.refresh(dataset)  # load the timestamps that the database has set
    return dataset


def add_validating(
    session: Session,
    tenant_id: str,
    dataset_id: str,
    new: NewDataset,
    *,
    sources: list[dict[str, Any]],
) -> Dataset:
    """Add a dataset that waits for `modalities.ingestion.validate`.

    `sources` are the stored files: [{name, sha256, parts: [{key, bytes, sha256}]}]. A file that
    is fetched first has a `url` and no parts.
    """
    dataset = Dataset(
        id=dataset_id,
        tenant_id=tenant_id,
        name=new.name,
        modality=new.modality,
        tags=new.tags,
        options=new.options,
        state=DatasetState.VALIDATING,
        sources=sources,
    )
    session.add(dataset)
    session.flush()
    session.refresh(dataset)  # load the timestamps that the database has set
    return dataset


def get(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    dataset = session.get(Dataset, dataset_id)
    if dataset is None or dataset.tenant_id != tenant_id:
        suggest = _suggestion(session, tenant_id, dataset_id)
        raise NotFound(f"Dataset {dataset_id} does not exist.", suggest=suggest)
    return dataset


def _suggestion(session: Session, tenant_id: str, name: str) -> Callable[[], str] | None:
    """Return what creates a sentence with the ids of datasets that have a similar name.

    Requests need the id.
    """
    if name.startswith("ds_"):
        return None
    newest = select(Dataset.name, Dataset.id).where(Dataset.tenant_id == tenant_id)
    newest = newest.order_by(Dataset.id.desc()).limit(similar_names.MAX_COMPARED)
    ids: dict[str, str] = {}
    for row in session.execute(newest):
        ids.setdefault(row.name, row.id)

    def suggest() -> str:
        close = similar_names.closest(name, ids)
        return similar_names.did_you_mean(f"{ids[each]} ({each})" for each in close)

    return suggest


def get_ready(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    dataset = get(session, tenant_id, dataset_id)
    if dataset.state is not DatasetState.READY:
        message = f"Dataset {dataset_id} is in state `{dataset.state.value}`, not `ready`."
        raise NotReady(message, code="dataset_not_ready")
    return dataset


def get_of_job(session: Session, job: Job) -> Dataset:
    """Return the dataset that a job reads. Raises JobError if it was deleted."""
    if job.dataset_id is None:
        raise JobError("dataset_unreadable", "The dataset was deleted.")
    return get_ready(session, job.tenant_id, job.dataset_id)


_READY = select(Dataset.id).where(
    Dataset.id == bindparam("id"),
    Dataset.tenant_id == bindparam("tenant_id"),
    Dataset.state == DatasetState.READY,
)


def check_ready(session: Session, tenant_id: str, dataset_id: str) -> None:
    """Raise the errors of `get_ready`, without loading the dataset if there is none."""
    if session.scalar(_READY, {"id": dataset_id, "tenant_id": tenant_id}) is None:
        get_ready(session, tenant_id, dataset_id)


def lock(session: Session, dataset_id: str) -> None:
    """Let other transactions wait that change the dataset or refer to it, until the commit."""
    session.execute(select(Dataset.id).where(Dataset.id == dataset_id).with_for_update())


def check_not_in_use(session: Session, dataset: Dataset) -> None:
    """Raise ResourceInUse if an active job uses the dataset."""
    if live := jobs.live_jobs_of_dataset(session, dataset.tenant_id, dataset.id):
        raise ResourceInUse(
            f"Dataset {dataset.id} is used by active jobs: {', '.join(live[:5])}. "
            "Cancel them or wait until they end.",
            jobs=list(live[:20]),
        )


def page(
    session: Session,
    tenant_id: str,
    request: PageRequest,
    *,
    state: str | None = None,
    modality: str | None = None,
) -> ListedPage[Dataset]:
    """Return a page of datasets that pass all filters."""
    filters = []
    if state is not None:
        filters.append(Dataset.state == DatasetState(state))
    if modality is not None:
        filters.append(Dataset.modality == modality)
    return list_page(session, Dataset, tenant_id, request, filters)


def delete(session: Session, tenant_id: str, dataset_id: str) -> list[str]:
    """Delete the row and return the keys of the objects to delete after the commit.

    Ended jobs and models remain without a reference to the dataset. A validation in progress
    notices the deletion when it renews its lease. Raises ResourceInUse if an active job uses the
    dataset.
    """
    dataset = get(session, tenant_id, dataset_id)
    check_not_in_use(session, dataset)
    jobs.detach_dataset(session, tenant_id, dataset_id)
    model_registry.detach_dataset(session, tenant_id, dataset_id)
    session.execute(delete_rows(Dataset).where(Dataset.id == dataset_id))
    forget_tags(session, [dataset_id])
    forget_responses(session, [dataset_id])
    return dataset.object_keys + [
        part["key"] for source in dataset.sources for part in source["parts"]
    ]


def replace_objects(dataset: Dataset, objects: dict[str, StoredObject]) -> None:
    """Give the dataset these objects. Those that they replace are deleted later.

    A download that has read the row before still finds them.
    """
    new = {name: stored.to_dict() for name, stored in objects.items()}
    dataset.replaced = dataset.replaced + [
        file for name, file in dataset.objects.items() if new.get(name) != file
    ]
    dataset.objects, dataset.replaced_at = new, clock()


def remove_replaced(storage: Storage, retention_s: float) -> int:
    """Delete objects that were replaced `retention_s` ago; return their number."""
    with write() as session:
        due = select(Dataset).where(
            text(HAS_REPLACED), Dataset.replaced_at < cutoff(session, retention_s)
        )
        keys = []
        for dataset in session.scalars(due.limit(BATCH).with_for_update(skip_locked=True)):
            keys += [file["key"] for file in dataset.replaced]
            dataset.replaced, dataset.replaced_at = [], None
    storage.delete(keys)
    return len(keys)


def attach_object(session: Session, dataset: Dataset, name: str, stored: StoredObject) -> bool:
    """Add a derived object, which is deleted together with the dataset.

    Returns False if the dataset was deleted or already has an object of this name.
    """
    row = session.scalar(select(Dataset).where(Dataset.id == dataset.id).with_for_update())
    if row is None or name in row.objects:
        return False
    row.objects = {**row.objects, name: stored.to_dict()}
    return True


_last_tenant = ""  # of the last dataset that this process claimed without naming it


def claim_validation(session: Session, dataset_id: str | None = None) -> Dataset | None:
    """Acquire the lease of a dataset that waits for validation, or return None.

    Without `dataset_id`, tenants take turns, and the oldest dataset of a tenant is first.
    """
    global _last_tenant
    waiting = and_(text(VALIDATING), leases.is_free(Dataset))
    query = select(Dataset.id, Dataset.tenant_id).where(waiting)
    if dataset_id is not None:
        query = query.where(Dataset.id == dataset_id)
    else:
        is_later = Dataset.tenant_id > _last_tenant
        query = query.order_by(is_later.desc(), Dataset.tenant_id, Dataset.id).limit(1)
    if (found := session.execute(query).one_or_none()) is None:
        return None
    if dataset_id is None:
        _last_tenant = found.tenant_id
    # The condition is checked again: another process may have claimed the dataset since.
    return leases.acquire(
        session, Dataset, Dataset.id == found.id, waiting, seconds=VALIDATION_LEASE_S
    )


def renew_validation(session: Session, dataset: Dataset) -> None:
    """Renew the lease. Raises LeaseLost, for example if the dataset was deleted."""
    leases.renew(
        session,
        Dataset,
        dataset.fencing_token,
        Dataset.id == dataset.id,
        seconds=VALIDATION_LEASE_S,
    )


def finish_validation(
    session: Session,
    dataset: Dataset,
    *,
    objects: dict[str, StoredObject],
    summary: Json,
    sources: list[dict[str, Any]],
) -> None:
    """End the validation with success; the caller deletes sources that are not in `sources`."""
    _end_validation(
        session,
        dataset,
        state=DatasetState.READY,
        sources=sources,
        objects={name: stored.to_dict() for name, stored in objects.items()},
        summary=summary,
        ready_at=clock(),
    )


def fail_validation(session: Session, dataset: Dataset, error: SemblanceError) -> None:
    """End the validation with a failure; the caller deletes the sources after the commit."""
    error_fields = {"error": error.to_problem(), "sources": []}
    _end_validation(session, dataset, state=DatasetState.FAILED, **error_fields)


def _end_validation(session: Session, dataset: Dataset, **values: Any) -> None:
    """End the validation. Raises LeaseLost."""
    leases.release(session, Dataset, dataset.fencing_token, Dataset.id == dataset.id, **values)
