"""Another schema for a table that has been read: checked against its values, in a child."""

from dataclasses import replace

from core.database import read, write
from core.datasets import repository
from core.datasets.ingestion import working_folder
from core.datasets.tabular import SchemaOverrides, TableSummary, update_table_schema_in_sandbox
from core.errors import Conflict
from core.ids import new_id
from core.settings import get_settings
from core.storage import Storage, StoredObject, key_of
from core.tables import Dataset


def update_schema(
    storage: Storage,
    tenant_id: str,
    dataset_id: str,
    overrides: SchemaOverrides,
    *,
    keep_target: bool,
) -> Dataset:
    """The dataset with the schema that is wanted; `keep_target`: `overrides` do not speak of it.

    Raises ValidationFailed when the schema does not fit the values, ResourceInUse while a live job needs the
    dataset, Conflict when the schema was changed by another meanwhile.
    """
    settings = get_settings()
    with read() as session:
        dataset = repository.get_table(session, tenant_id, dataset_id)
        repository.check_not_in_use(session, dataset)
    before = TableSummary.from_dict(dataset.summary)
    if keep_target:
        overrides = replace(overrides, target=before.schema.target)
    with (
        working_folder() as folder,
        storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path,
    ):
        summary = update_table_schema_in_sandbox(
            path, before, overrides, settings.limits, folder, settings.ingest_timeout_seconds
        )
        key = key_of(tenant_id, "datasets", dataset_id, new_id("profile"))
        profile = storage.put_file(key, folder / "profile.json")
    try:
        now = _replace(dataset, summary, profile)
    except BaseException:
        storage.delete([profile.key])
        raise
    storage.delete([dataset.objects["profile"]["key"]])
    return now


def _replace(dataset: Dataset, summary: TableSummary, profile: StoredObject) -> Dataset:
    with write() as session:
        now = repository.get_table(session, dataset.tenant_id, dataset.id)
        repository.check_not_in_use(session, now)
        if now.summary != dataset.summary:
            raise Conflict("the schema was changed meanwhile; read it again", code="schema_changed")
        now.objects = {**now.objects, "profile": profile.to_dict()}
        now.summary = {**now.summary, **summary.to_dict()}  # where it came from stays
    return now
