"""Small tables, generated in the tests."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def build_csv(columns: Mapping[str, Sequence[object]]) -> str:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(str(value) for value in row) for row in rows)]
    return "\n".join(lines) + "\n"


def build_column_csv(*values: object, name: str = "a") -> str:
    """Build a CSV of this column and of a numeric column `n`."""
    return build_csv({name: values, "n": [10 * i % 7 for i in range(len(values))]})


def build_parquet(columns: Mapping[str, Any] | pa.Table, **options: Any) -> bytes:
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def build_arrow(columns: Mapping[str, Any], *, stream: bool = False) -> bytes:
    table, out = pa.table(dict(columns)), io.BytesIO()
    open_writer = pa.ipc.new_stream if stream else pa.ipc.new_file
    with open_writer(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()
