"""From a file that a client sent to one table: rows.parquet, a schema, a profile.

Whoever serves others calls `read_table_in_sandbox`: decoders have bugs, and a child has limits. What
is named here is free of pyarrow, which takes time to load; the rest imports it.
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
