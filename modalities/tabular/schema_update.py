"""Schema update of a stored table, validated against its values in the sandbox."""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy.orm import Session

from core.database import read, write
from core.datasets import repository
from core.datasets.reader_slots import reader_slot
from core.errors import Conflict
from core.ids import new_id
from core.settings import get_settings
from core.storage import Storage, StoredObject, key_of
from core.tables import Dataset
from modalities import registry
from modalities.ingestion import working_folder
from modalities.tabular.ingest import update_table_schema_in_sandbox
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from modalities.tabular.upload.summary import TableSummary


def get_table(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    """Return a dataset that is ready and has a schema; raise Conflict if it has none."""
    dataset = repository.get_ready(session, tenant_id, dataset_id)
    if "schema" not in registry.get(dataset.modality).dataset_links:
        raise Conflict(f"Dataset {dataset_id} is not a table.", code="not_a_table")
    return dataset


def update_schema(
    storage: Storage,
    tenant_id: str,
    dataset_id: str,
    overrides: SchemaOverrides,
    *,
    keep_target: bool,
    on_changed: Callable[[Session, Dataset], None],
) -> Dataset:
    """Apply `overrides` to the inferred schema and return the updated dataset.

    `keep_target` keeps the current target column and ignores `overrides.target`. `on_changed` runs
    in the transaction of the change.

    Raises:
        ValidationFailed: The schema does not fit the values.
        ResourceInUse: An active job uses the dataset.
        Conflict: Another request changed the schema in the meantime.
    """
    settings = get_settings()
    with read() as session:
        dataset = get_table(session, tenant_id, dataset_id)
        repository.check_not_in_use(session, dataset)
    current = TableSummary.from_dict(dataset.summary)
    if keep_target:
        overrides = replace(overrides, target=current.schema.target)
    with (
        working_folder() as folder,
        storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path,
        reader_slot(tenant_id),
    ):
        summary = update_table_schema_in_sandbox(
            path, current, overrides, settings.limits, folder, settings.ingest_timeout_seconds
        )
        key = key_of(tenant_id, "datasets", dataset_id, new_id("profile"))
        profile = storage.put_file(key, folder / "profile.json")
    try:
        return _replace_schema(dataset, summary, profile, overrides, on_changed)
    except BaseException:
        storage.delete([profile.key])
        raise


def _replace_schema(
    dataset: Dataset,
    summary: TableSummary,
    profile: StoredObject,
    overrides: SchemaOverrides,
    on_changed: Callable[[Session, Dataset], None],
) -> Dataset:
    with write() as session:
        row = get_table(session, dataset.tenant_id, dataset.id)
        repository.check_not_in_use(session, row)
        if row.summary != dataset.summary:
            raise Conflict(
                "Another request changed the schema. Get the schema again and repeat the update.",
                code="schema_changed",
            )
        kept = {name: StoredObject.from_dict(file) for name, file in row.objects.items()}
        repository.replace_objects(row, kept | {"profile": profile})
        # A table created by an augmentation job has its source in the summary: keep those keys.
        row.summary = {**row.summary, **summary.to_dict()}
        # The overrides stay when the upload is read again with other options.
        options = {k: v for k, v in row.options.items() if k not in SchemaOverrides.OPTIONS}
        earlier = SchemaOverrides.from_options(row.options, "/meta")
        row.options = options | earlier.updated(overrides).to_options()
        on_changed(session, row)
    return row
