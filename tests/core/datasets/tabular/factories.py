"""Small tables, made from scratch."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def csv_of(columns: Mapping[str, Sequence[object]]) -> str:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(str(value) for value in row) for row in rows)]
    return "\n".join(lines) + "\n"


def column(*values: object, name: str = "a") -> str:
    """A table of this column and of another one, which only counts."""
    return csv_of({name: values, "n": [10 * i % 7 for i in range(len(values))]})


def parquet_of(columns: Mapping[str, Any] | pa.Table, **options: Any) -> bytes:
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def arrow_of(columns: Mapping[str, Any], *, stream: bool = False) -> bytes:
    table, out = pa.table(dict(columns)), io.BytesIO()
    opened = pa.ipc.new_stream if stream else pa.ipc.new_file
    with opened(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()
