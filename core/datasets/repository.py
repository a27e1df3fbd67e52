"""The rows of `datasets`: created as `validating`, then `ready` or `failed`; found; deleted."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import jobs, model_registry
from core.database import clock
from core.datasets.modality import Modality
from core.errors import Conflict, NotFound, NotReady, ResourceInUse, SemblanceError
from core.storage import StoredObject
from core.tables import Dataset, DatasetState, Json

INGEST_LEASE_S = 15.0
MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class NewDataset:
    name: str
    tags: Json
    options: Json
    modality: Modality = "image"


def add_ready(
    session: Session,
    tenant_id: str,
    dataset_id: str,
    new: NewDataset,
    *,
    objects: dict[str, StoredObject],
    summary: Json,
) -> Dataset:
    """A dataset whose files are validated and stored already."""
    dataset = Dataset(
        id=dataset_id,
        tenant_id=tenant_id,
        name=new.name,
        modality=new.modality,
        tags=new.tags,
        options=new.options,
        state=DatasetState.READY,
        objects={name: stored.to_dict() for name, stored in objects.items()},
        summary=summary,
        ready_at=clock(),
    )
    session.add(dataset)
    session.flush()
    session.refresh(dataset)  # the times are the database's
    return dataset


def add_validating(
    session: Session,
    tenant_id: str,
    dataset_id: str,
    new: NewDataset,
    *,
    sources: list[dict[str, Any]],
) -> Dataset:
    """A dataset whose stored `sources` ([{name, parts: [{key, bytes, sha256}]}]) wait for
    core.datasets.ingestion."""
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
    session.refresh(dataset)  # the times are the database's
    return dataset


def get(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    dataset = session.get(Dataset, dataset_id)
    if dataset is None or dataset.tenant_id != tenant_id:
        raise NotFound(f"there is no dataset {dataset_id}")
    return dataset


def get_ready(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    dataset = get(session, tenant_id, dataset_id)
    if dataset.state is not DatasetState.READY:
        raise NotReady(f"dataset {dataset_id} is {dataset.state.value}", code="dataset_not_ready")
    return dataset


def get_table(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    """A table that is ready."""
    dataset = get_ready(session, tenant_id, dataset_id)
    if dataset.modality != "tabular":
        raise Conflict(f"dataset {dataset_id} holds images, not rows", code="not_a_table")
    return dataset


def check_not_in_use(session: Session, dataset: Dataset) -> None:
    """Raises ResourceInUse while a job still needs the dataset as it is."""
    if live := jobs.live_jobs_of_dataset(session, dataset.tenant_id, dataset.id):
        raise ResourceInUse(
            f"dataset {dataset.id} is needed by {', '.join(live[:5])}", jobs=list(live[:20])
        )


def page(
    session: Session,
    tenant_id: str,
    *,
    limit: int,
    after: str | None = None,
    state: str | None = None,
) -> list[Dataset]:
    """Newest first."""
    query = select(Dataset).where(Dataset.tenant_id == tenant_id)
    if after is not None:
        query = query.where(Dataset.id < after)
    if state is not None:
        query = query.where(Dataset.state == DatasetState(state))
    return list(session.scalars(query.order_by(Dataset.id.desc()).limit(limit)))


def delete(session: Session, tenant_id: str, dataset_id: str) -> list[str]:
    """Remove the row; returns the keys of the objects to delete after the commit.

    Ended jobs that used it stay, and remember no dataset; so do models. Raises ResourceInUse while a job
    still needs it or it is being validated.
    """
    dataset = get(session, tenant_id, dataset_id)
    check_not_in_use(session, dataset)
    jobs.detach_dataset(session, tenant_id, dataset_id)
    model_registry.detach_dataset(session, tenant_id, dataset_id)
    session.execute(delete_rows(Dataset).where(Dataset.id == dataset_id))
    return [stored["key"] for stored in dataset.objects.values()] + [
        part["key"] for source in dataset.sources for part in source["parts"]
    ]


def attach_object(session: Session, dataset: Dataset, name: str, stored: StoredObject) -> bool:
    """An object that was made of the dataset and goes with it; False when it is gone, or has one of
    this name already."""
    row = session.scalar(select(Dataset).where(Dataset.id == dataset.id).with_for_update())
    if row is None or name in row.objects:
        return False
    row.objects = {**row.objects, name: stored.to_dict()}
    return True


def claim_validation(session: Session, dataset_id: str | None = None) -> Dataset | None:
    """Take a dataset that waits for validation and that nobody validates, or None."""
    waiting = (Dataset.state == DatasetState.VALIDATING) & (
        Dataset.lease_until.is_(None) | (Dataset.lease_until < clock())
    )
    query = select(Dataset.id).where(waiting).order_by(Dataset.id).limit(1)
    if dataset_id is not None:
        query = query.where(Dataset.id == dataset_id)
    found = session.scalar(query)
    taken = session.execute(
        update(Dataset)
        .where(Dataset.id == found, waiting)
        .values(lease_until=clock(INGEST_LEASE_S), attempt=Dataset.attempt + 1)
        .returning(Dataset.id)
    ).scalar_one_or_none()
    if taken is None:
        return None
    dataset = session.get_one(Dataset, taken)
    session.refresh(dataset)
    return dataset


def renew_validation(session: Session, dataset: Dataset) -> bool:
    """False when the dataset was deleted or taken over."""
    return _fenced_update(session, dataset, lease_until=clock(INGEST_LEASE_S))


def finish_validation(
    session: Session, dataset: Dataset, *, objects: dict[str, StoredObject], summary: Json
) -> bool:
    return _fenced_update(
        session,
        dataset,
        state=DatasetState.READY,
        objects={name: stored.to_dict() for name, stored in objects.items()},
        summary=summary,
        sources=[],
        ready_at=clock(),
        lease_until=None,
    )


def fail_validation(session: Session, dataset: Dataset, error: SemblanceError) -> bool:
    return _fenced_update(
        session,
        dataset,
        state=DatasetState.FAILED,
        error=error.to_problem(),
        sources=[],
        lease_until=None,
    )


def _fenced_update(session: Session, dataset: Dataset, **values: Any) -> bool:
    """Change the row if this attempt still holds it: `attempt` is the fence."""
    changed = session.execute(
        update(Dataset)
        .where(
            Dataset.id == dataset.id,
            Dataset.state == DatasetState.VALIDATING,
            Dataset.attempt == dataset.attempt,
        )
        .values(**values)
        .returning(Dataset.id)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    return changed is not None
