"""rows.parquet: values in the inferred types, converted to a schema when read."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from modalities.tabular.schema import Column
from modalities.tabular.type_casting import arrow_type, cast
from modalities.tabular.upload.files.spool import ParquetSpool

_METADATA_KEY = b"semblance.schema"


def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    """Return the Arrow schema of rows.parquet, with the columns in its metadata."""
    text = json.dumps([column.to_dict() for column in columns])
    fields = [(column.name, arrow_type(column)) for column in columns]
    return pa.schema(fields, metadata={_METADATA_KEY: text.encode()})


class TypedParquet:
    """Reader of rows.parquet. `stored_columns` maps names to the inferred columns."""

    def __init__(self, path: Path) -> None:
        self.spool = ParquetSpool(path)
        stored = json.loads(self.spool.schema.metadata[_METADATA_KEY])
        self.stored_columns = {fields["name"]: Column(**fields) for fields in stored}
        self.rows = self.spool.rows

    def column(self, column: Column) -> Iterator[pa.Array]:
        for values in self.spool.column(column.name):
            yield cast(values, self.stored_columns[column.name], column)

    def batches(self, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatch]:
        for batch in self.spool.batches([column.name for column in columns]):
            yield self._cast(batch, columns)

    def slice(self, columns: tuple[Column, ...], start: int, count: int) -> pa.RecordBatch:
        return self._typed(self.spool.slice(start, count), columns)

    def take(self, columns: tuple[Column, ...], indices: Sequence[int]) -> pa.RecordBatch:
        """Return the rows with these indices, in their order."""
        return self._typed(self.spool.take(indices), columns)

    def _typed(self, table: pa.Table, columns: tuple[Column, ...]) -> pa.RecordBatch:
        batches = [batch for batch in table.combine_chunks().to_batches() if len(batch)]
        empty = pa.RecordBatch.from_pylist([], self.spool.schema)
        return self._cast(batches[0] if batches else empty, columns)

    def _cast(self, batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.RecordBatch:
        arrays = [cast(batch.column(c.name), self.stored_columns[c.name], c) for c in columns]
        return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in columns])


def typed_batches(path: Path, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatch]:
    """Yield the columns that are not excluded, in order, as `type_casting.arrow_type`."""
    yield from TypedParquet(path).batches(tuple(column for column in columns if not column.exclude))
