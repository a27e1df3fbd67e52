"""Reingestion of a stored upload with other options, without a new upload."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from core.database import clock, read, write
from core.datasets import repository
from core.datasets.reader_slots import reader_slot
from core.errors import Conflict, SemblanceError
from core.ids import new_id
from core.request_fields import RequestModel
from core.storage import Storage, key_of
from core.tables import Dataset
from modalities.ingestion import copy_sources, read_files, store_objects, working_folder


def read_again(
    storage: Storage,
    tenant_id: str,
    dataset_id: str,
    options: RequestModel,
    on_changed: Callable[[Session, Dataset], None],
) -> Dataset:
    """Read the upload of a dataset again, with the fields that are set in `options`.

    Other options stay as they are, also inside an option that has fields; None means the
    default. Return the updated dataset.
    `on_changed` runs in the transaction of the change.

    Raises:
        DatasetUnreadable: The upload cannot be read with these options; nothing changes.
        ResourceInUse: An active job uses the dataset.
        Conflict: The upload is not stored, or another request changed the dataset in the meantime.
    """
    with read() as session:
        dataset = _get_changeable(session, tenant_id, dataset_id)
    dataset.options = _merge(dataset.options, options)
    size = sum(part["bytes"] for source in dataset.sources for part in source["parts"])
    with working_folder(2 * size) as folder, _pointers_of_patch():
        files = copy_sources(storage, dataset, folder, lambda: None)
        with reader_slot(tenant_id):
            summary = read_files(dataset.modality, files, dataset.options, folder, lambda: None)
        prefix = key_of(tenant_id, "datasets", dataset_id, new_id("content"))
        objects = store_objects(storage, prefix, dataset.modality, folder)
    try:
        with write() as session:
            # A new job, which refers to the dataset, waits for this lock until the commit.
            repository.lock(session, dataset_id)
            row = _get_changeable(session, tenant_id, dataset_id)
            if row.objects != dataset.objects:
                raise Conflict(
                    "Another request changed the dataset. Get it again and repeat the change.",
                    code="dataset_changed",
                )
            row.options, row.summary, row.ready_at = dataset.options, summary, clock()
            repository.replace_objects(row, objects)
            on_changed(session, row)
            session.flush()
            session.refresh(row)  # the database sets the time
    except BaseException:
        storage.delete(stored.key for stored in objects.values())
        raise
    return row


def _merge(current: dict[str, Any], options: RequestModel) -> dict[str, Any]:
    changes = options.model_dump(exclude_unset=True, by_alias=True)
    for name in options.model_fields_set:
        if isinstance(getattr(options, name), BaseModel):
            key = type(options).model_fields[name].alias or name
            fields = current.get(key, {}) | changes[key]
            changes[key] = {k: v for k, v in fields.items() if v is not None}
    return {k: v for k, v in (current | changes).items() if v is not None}


def _get_changeable(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    dataset = repository.get_ready(session, tenant_id, dataset_id)
    if not dataset.sources:
        message = (
            f"The upload of dataset {dataset_id} is not stored, so that it cannot be read again. "
            "Create a new dataset with these fields in `meta`."
        )
        raise Conflict(message, code="upload_not_stored")
    repository.check_not_in_use(session, dataset)
    return dataset


@contextmanager
def _pointers_of_patch() -> Iterator[None]:
    """Point errors to the fields of the request, which has no `meta`."""
    try:
        yield
    except SemblanceError as error:
        error.field_errors = tuple(
            replace(each, pointer=each.pointer.removeprefix("/meta")) for each in error.field_errors
        )
        raise
