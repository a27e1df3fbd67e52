"""Batches of rows to a Parquet file and back, a column or a few rows at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.datasets.errors import MAX_ERRORS
from core.datasets.tabular.raw_table import column_pointer, table_error
from core.errors import DatasetUnreadable, FieldError
from core.settings import Limits

_CELLS = 4_000_000  # in memory at one time
_ROWS = 65_536


def batch_rows(columns: int) -> int:
    return max(256, min(_ROWS, _CELLS // max(1, columns)))


def write_parquet(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path, limits: Limits
) -> int:
    """The number of rows. Raises DatasetUnreadable when there are too many, or too long values."""
    size, rows = batch_rows(len(schema)), 0
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, write_page_checksum=True
    ) as writer:
        for batch in batches:
            _refuse_long(batch, limits, rows)
            rows += len(batch)
            _refuse_many(rows, len(schema), limits)
            waiting.append(batch)
            if sum(len(part) for part in waiting) >= size:
                writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=size)
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=size)
    return rows


class ParquetSpool:
    """A Parquet file of ours."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, page_checksum_verification=True)
        self.schema: pa.Schema = self._file.schema_arrow
        self.rows: int = self._file.metadata.num_rows

    def column(self, name: str) -> Iterator[pa.Array]:
        for batch in self.batches([name]):
            yield batch.column(0)

    def batches(self, names: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        size = batch_rows(len(self.schema) if names is None else len(names))
        yield from self._file.iter_batches(batch_size=size, columns=names, use_threads=False)

    def slice(self, start: int, count: int) -> pa.Table:
        """Rows from `start` on, reading no more row groups than they lie in."""
        groups, first, at = [], None, 0
        for i in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(i).num_rows
            if at < start + count and at + rows > start:
                groups.append(i)
                first = at if first is None else first
            at += rows
        table = self._file.read_row_groups(groups, use_threads=False)
        return table.slice(start - (first or 0), count)


def _refuse_many(rows: int, columns: int, limits: Limits) -> None:
    if rows > limits.rows_max:
        raise table_error("too_many_rows", f"there are more than {limits.rows_max:,} rows")
    if rows * columns > limits.cells_max:
        raise table_error("table_too_large", f"there are more than {limits.cells_max:,} cells")


def _refuse_long(batch: pa.RecordBatch, limits: Limits, rows: int) -> None:
    if batch.nbytes <= limits.cell_chars:
        return
    faults = []
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        if values.type != pa.string() or values.nbytes <= limits.cell_chars:
            continue
        lengths = pc.binary_length(values).fill_null(0).to_numpy(zero_copy_only=False)
        if lengths.max() > limits.cell_chars:
            row = rows + int(lengths.argmax()) + 1
            message = f"the value in row {row:,} has more than {limits.cell_chars:,} bytes"
            faults.append(FieldError(column_pointer(name), "value_too_long", message))
    if faults:
        raise DatasetUnreadable(
            faults[0].message, code="value_too_long", field_errors=faults[:MAX_ERRORS]
        )
