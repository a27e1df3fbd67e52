"""Reading of uploaded tables: one file becomes rows.parquet, a schema and a profile.

Servers must call `read_table_in_sandbox`: it decodes untrusted files in a resource-limited
subprocess. The names exported here do not import pyarrow, which is slow to load; the other modules
of this package do.
"""

from core.datasets.tabular.sandbox import read_table_in_sandbox, update_table_schema_in_sandbox
from core.datasets.tabular.schema import Column, Schema
from core.datasets.tabular.schema_overrides import ColumnOverride, SchemaOverrides
from core.datasets.tabular.summary import TableSummary

__all__ = [
    "Column",
    "ColumnOverride",
    "Schema",
    "SchemaOverrides",
    "TableSummary",
    "read_table_in_sandbox",
    "update_table_schema_in_sandbox",
]
