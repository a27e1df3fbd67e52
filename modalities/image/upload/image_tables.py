"""Parquet files, Arrow files and Arrow streams as tables that are read in batches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from core.datasets.arrow_messages import check_message_sizes
from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.parquet_pages import check_page_memory, measure_columns, rows_per_batch
from core.datasets.source import SourceFile
from core.datasets.stream import damaged_error
from core.errors import DatasetUnreadable
from core.limits import MIB, Limits
from modalities.image.upload.arrays.parquet_footer import ARROW_SIGNATURES

Batches = Iterator[pa.RecordBatch]

_FILE_HEAD_BYTES = 8  # "ARROW1" and two zeros
_READ_BYTES = MIB
_MAX_BATCH_ROWS = 64  # of a Parquet file, fewer if its values may be long


class ImageTable(NamedTuple):
    """An open file. `read` yields some columns in batches of at most some rows."""

    name: str  # the client's name for the file
    schema: pa.Schema
    n_rows: int
    read: Callable[[list[str], int], Batches]

    def batches(self, columns: Sequence[str], rows: int) -> Batches:
        """Yield the columns in batches. Raises DatasetUnreadable if the file is damaged."""
        with _errors_as_damage(self.name):
            yield from self.read(list(columns), rows)


def open_image_table(file: SourceFile, limits: Limits) -> ImageTable:
    """Open a file. Raises DatasetUnreadable if it is damaged, or too large when decompressed."""
    with file.path.open("rb") as stream:
        head = stream.read(max(map(len, ARROW_SIGNATURES)))
    with _errors_as_damage(file.name):
        if head.startswith(ARROW_SIGNATURES):
            return _open_arrow(file, limits)
        parquet = pq.ParquetFile(file.path, buffer_size=_READ_BYTES)
        schema, metadata = parquet.schema_arrow, parquet.metadata
        memory = measure_columns(file.path, metadata)
    check_page_memory(file.name, memory)
    max_rows = rows_per_batch(memory, _MAX_BATCH_ROWS)
    size = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    if size > limits.archive_bytes:
        raise _too_large_error(file.name, limits)
    return ImageTable(
        file.name,
        schema,
        int(metadata.num_rows),
        lambda columns, rows: parquet.iter_batches(
            min(rows, max_rows), columns=columns, use_threads=False
        ),
    )


def _open_arrow(file: SourceFile, limits: Limits) -> ImageTable:
    with file.path.open("rb") as stream:
        head = stream.read(len(ARROW_SIGNATURES[0]))
    # A file holds a stream behind its signature. Read as one, it has the checked messages only.
    begin = _FILE_HEAD_BYTES if head == ARROW_SIGNATURES[0] else 0

    def all_batches() -> Batches:
        with pa.memory_map(str(file.path)) as source:
            source.seek(begin)
            for batch in pa.ipc.open_stream(source):
                batch.validate(full=True)  # reject offsets that point outside the buffers
                yield batch

    def read(columns: list[str], rows: int) -> Batches:
        for batch in all_batches():
            selected = batch.select(columns)
            for start in range(0, len(selected), rows):
                yield selected.slice(start, rows)

    with pa.memory_map(str(file.path)) as source:
        if begin:
            pa.ipc.open_file(source)  # check that the file is complete
        source.seek(begin)
        check_message_sizes(source, file.name)
    schema, n_rows, size = pa.schema([]), 0, 0
    for batch in all_batches():
        schema, n_rows, size = batch.schema, n_rows + len(batch), size + batch.nbytes
        if size > limits.archive_bytes:
            raise _too_large_error(file.name, limits)
    return ImageTable(file.name, schema, n_rows, read)


@contextmanager
def _errors_as_damage(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged_error(name) from error


def _too_large_error(name: str, limits: Limits) -> DatasetUnreadable:
    message = (
        f"{printable(name)} decompresses to more than {limits.archive_bytes:,} bytes, the limit."
    )
    return unreadable_error("archive_bomb", message, pointer=file_pointer(name))
