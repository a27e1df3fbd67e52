"""Another schema for a table that has been read: checked against its values, in a child."""

from dataclasses import replace

from core.database import read, write
from core.datasets import life
from core.datasets.ingestion import working_folder
from core.datasets.rows import RowSummary, Wanted, revise_rows_in_child
from core.errors import Conflict
from core.ids import new_id
from core.settings import get_settings
from core.storage import Storage, Stored, key_of
from core.tables import Dataset


def revise(
    storage: Storage, tenant_id: str, dataset_id: str, wanted: Wanted, *, keep_target: bool
) -> Dataset:
    """The dataset with the schema that is wanted; `keep_target`: `wanted` does not speak of it.

    Raises Invalid when the schema does not fit the values, InUse while a live job needs the
    dataset, Conflict when the schema was changed by another meanwhile.
    """
    settings = get_settings()
    with read() as session:
        dataset = life.get_rows(session, tenant_id, dataset_id)
        life.refuse_live_jobs(session, dataset)
    before = RowSummary.from_dict(dataset.summary)
    if keep_target:
        wanted = replace(wanted, target=before.schema.target)
    with (
        working_folder() as folder,
        storage.open(Stored.from_dict(dataset.content["rows"])) as path,
    ):
        summary = revise_rows_in_child(
            path, before, wanted, settings.limits, folder, settings.ingest_timeout_s
        )
        key = key_of(tenant_id, "datasets", dataset_id, new_id("profile"))
        profile = storage.put_file(key, folder / "profile.json")
    try:
        now = _replace(dataset, summary, profile)
    except BaseException:
        storage.delete([profile.key])
        raise
    storage.delete([dataset.content["profile"]["key"]])
    return now


def _replace(dataset: Dataset, summary: RowSummary, profile: Stored) -> Dataset:
    with write() as session:
        now = life.get_rows(session, dataset.tenant_id, dataset.id)
        life.refuse_live_jobs(session, now)
        if now.summary != dataset.summary:
            raise Conflict("the schema was changed meanwhile; read it again", code="schema_changed")
        now.content = {**now.content, "profile": profile.to_dict()}
        now.summary = {**now.summary, **summary.to_dict()}  # where it came from stays
    return now
