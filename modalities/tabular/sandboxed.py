"""Functions that the sandbox processes of tables call (core.datasets.sandbox).

The fork server of these processes imports this module, so it must not load torch.
"""

from typing import Any

from modalities.tabular.ingest import SchemaUpdate, TableUpload
from modalities.tabular.upload.reading import read_table, update_table_schema
from modalities.tabular.upload.summary import TableSummary


def read(upload: TableUpload) -> dict[str, Any]:
    """Read the file; see `read_table`."""
    return read_table(
        upload.files, upload.overrides, upload.limits, upload.out, upload.options
    ).to_dict()


def update_schema(update: SchemaUpdate) -> dict[str, Any]:
    """Check the stored values against the new schema; see `update_table_schema`."""
    summary = TableSummary.from_dict(update.summary)
    return update_table_schema(
        update.path, summary, update.overrides, update.limits, update.out
    ).to_dict()
