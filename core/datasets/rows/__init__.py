"""From a file that a client sent to one table: rows.parquet, a schema, a profile.

Whoever serves others calls `read_rows_in_child`: decoders have bugs, and a child has limits. What
is named here is free of pyarrow, which takes time to load; the rest imports it.
"""

from core.datasets.rows.parent import read_rows_in_child, revise_rows_in_child
from core.datasets.rows.schema import Column, Schema
from core.datasets.rows.summary import RowSummary
from core.datasets.rows.wanted import Wanted, WantedColumn

__all__ = [
    "Column",
    "RowSummary",
    "Schema",
    "Wanted",
    "WantedColumn",
    "read_rows_in_child",
    "revise_rows_in_child",
]
