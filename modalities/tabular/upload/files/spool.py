"""Parquet files for intermediate storage, read back by column, by batch or by row range."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.datasets.errors import MAX_ERRORS
from core.errors import DatasetUnreadable, FieldError
from core.limits import MIB, Limits
from modalities.tabular.upload.raw_table import column_pointer, table_error

_MAX_BATCH_CELLS = 4_000_000  # bounds the memory of a batch
_MAX_GROUP_BYTES = 128 * MIB  # of long texts
_MAX_BATCH_ROWS = 65_536


def batch_rows(columns: int) -> int:
    return max(256, min(_MAX_BATCH_ROWS, _MAX_BATCH_CELLS // max(1, columns)))


def write_parquet(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    path: Path,
    limits: Limits,
    *,
    temporary: bool = False,
) -> int:
    """Write the batches to `path` and return the number of rows.

    With `temporary`, the file is written faster and becomes larger.

    Raises:
        DatasetUnreadable: There are too many rows or cells, or a value is too long.
    """
    size, rows = batch_rows(len(schema)), 0
    pending: list[pa.RecordBatch] = []
    # Dictionaries of numbers are slow to build and hardly ever smaller.
    texts = [field.name for field in schema if field.type == pa.string() and not temporary]
    with pq.ParquetWriter(
        path,
        schema,
        compression="lz4" if temporary else "zstd",
        compression_level=None if temporary else 1,
        use_dictionary=texts or False,
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:
        for batch in batches:
            _check_value_lengths(batch, limits, rows)
            rows += len(batch)
            _check_size(rows, len(schema), limits)
            pending.append(batch)
            if (
                sum(len(part) for part in pending) >= size
                or sum(part.nbytes for part in pending) > _MAX_GROUP_BYTES
            ):
                writer.write_table(pa.Table.from_batches(pending, schema), row_group_size=size)
                pending = []
        if pending:
            writer.write_table(pa.Table.from_batches(pending, schema), row_group_size=size)
    return rows


class ParquetSpool:
    """Reader of a file that write_parquet wrote."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, page_checksum_verification=True)
        self.schema: pa.Schema = self._file.schema_arrow
        self.rows: int = self._file.metadata.num_rows

    def column(self, name: str) -> Iterator[pa.Array]:
        for batch in self.batches([name]):
            yield batch.column(0)

    def sample(self, name: str, groups: int) -> Iterator[pa.Array]:
        """Yield the values of up to `groups` row groups, from the first one to the last."""
        last = self._file.num_row_groups - 1
        for i in sorted(
            {last * k // max(1, groups - 1) for k in range(groups)} if last >= 0 else ()
        ):
            table = self._file.read_row_group(i, columns=[name], use_threads=False)
            yield table.column(0).combine_chunks()

    def batches(self, names: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield batches of one row group each: its bytes are bounded, those of its rows not."""
        size = batch_rows(len(self.schema) if names is None else len(names))
        for i in range(self._file.num_row_groups):
            yield from self._file.iter_batches(
                batch_size=size, row_groups=[i], columns=names, use_threads=False
            )

    def slice(self, start: int, count: int) -> pa.Table:
        """Return `count` rows from `start` on, reading only the row groups that contain them."""
        groups, first_row, group_start = [], None, 0
        for i in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(i).num_rows
            if group_start < start + count and group_start + rows > start:
                groups.append(i)
                first_row = group_start if first_row is None else first_row
            group_start += rows
        table = self._file.read_row_groups(groups, use_threads=False)
        return table.slice(start - (first_row or 0), count)

    def take(self, indices: Sequence[int]) -> pa.Table:
        """Return the rows with these indices, in their order, reading each row group once."""
        parts, positions, group_start = [self.schema.empty_table()], [], 0
        for i in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(i).num_rows
            inside = [k for k, index in enumerate(indices) if 0 <= index - group_start < rows]
            if inside:
                group = self._file.read_row_group(i, use_threads=False)
                parts.append(group.take([indices[k] - group_start for k in inside]))
                positions += inside
            group_start += rows
        order = sorted(range(len(positions)), key=positions.__getitem__)
        return pa.concat_tables(parts).unify_dictionaries().take(pa.array(order, pa.int64()))


def _check_size(rows: int, columns: int, limits: Limits) -> None:
    if rows > limits.rows_max:
        message = f"The table has too many rows; the limit is {limits.rows_max:,}."
        raise table_error("too_many_rows", message)
    if rows * columns > limits.cells_max:
        message = f"The table has too many cells; the limit is {limits.cells_max:,}."
        raise table_error("table_too_large", message)


def _check_value_lengths(batch: pa.RecordBatch, limits: Limits, rows: int) -> None:
    if batch.nbytes <= limits.cell_chars:
        return
    errors = []
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        if values.type != pa.string() or values.nbytes <= limits.cell_chars:
            continue
        lengths = pc.binary_length(values)
        if (pc.max(lengths).as_py() or 0) > limits.cell_chars:
            row = rows + pc.index(lengths, pc.max(lengths)).as_py() + 1
            message = f"The value in row {row:,} is longer than {limits.cell_chars:,} bytes."
            errors.append(FieldError(column_pointer(name), "value_too_long", message))
    if errors:
        raise DatasetUnreadable(
            errors[0].message, code="value_too_long", field_errors=errors[:MAX_ERRORS]
        )
