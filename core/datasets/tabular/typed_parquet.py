"""rows.parquet: the values as they were inferred, and as a schema has them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from core.datasets.tabular.schema import Column, parse_columns
from core.datasets.tabular.spool import ParquetSpool
from core.datasets.tabular.type_casting import ARROW_TYPES, cast

_KEY = b"semblance.schema"


def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Of the file, with the columns in its metadata."""
    text = json.dumps([column.to_dict() for column in columns])
    fields = [(column.name, ARROW_TYPES[column.type]) for column in columns]
    return pa.schema(fields, metadata={_KEY: text.encode()})


class TypedParquet:
    """rows.parquet. `stored_columns` are its columns as they were inferred."""

    def __init__(self, path: Path) -> None:
        self.spool = ParquetSpool(path)
        self.stored_columns = {
            column.name: column
            for column in parse_columns(json.loads(self.spool.schema.metadata[_KEY]))
        }
        self.rows = self.spool.rows

    def column(self, column: Column) -> Iterator[pa.Array]:
        for values in self.spool.column(column.name):
            yield cast(values, self.stored_columns[column.name], column)

    def batches(self, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatch]:
        for batch in self.spool.batches([column.name for column in columns]):
            yield self._cast(batch, columns)

    def slice(self, columns: tuple[Column, ...], start: int, count: int) -> pa.RecordBatch:
        table = self.spool.slice(start, count)
        whole = [chunk for chunk in table.combine_chunks().to_batches() if len(chunk)]
        empty = pa.RecordBatch.from_pylist([], self.spool.schema)
        return self._cast(whole[0] if whole else empty, columns)

    def _cast(self, batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
        arrays = [cast(batch.column(c.name), self.stored_columns[c.name], c) for c in columns]
        return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def typed_batches(path: Path, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatch]:
    """The columns that are not dropped, in their order, in the Arrow types of decision 9."""
    yield from TypedParquet(path).batches(tuple(column for column in columns if not column.exclude))
