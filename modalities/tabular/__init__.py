"""Reading of uploaded tables: one file becomes rows.parquet, a schema and a profile.

Servers must call `read_table_in_sandbox`: it decodes untrusted files in a resource-limited
subprocess. The names exported here do not import pyarrow, which is slow to load; the other modules
of this package do.
"""

from modalities.tabular.ingest import read_table_in_sandbox, update_table_schema_in_sandbox
from modalities.tabular.schema import Column, Schema
from modalities.tabular.upload.schema_overrides import ColumnOverride, SchemaOverrides
from modalities.tabular.upload.summary import TableSummary

__all__ = [
    "Column",
    "ColumnOverride",
    "Schema",
    "SchemaOverrides",
    "TableSummary",
    "read_table_in_sandbox",
    "update_table_schema_in_sandbox",
]
