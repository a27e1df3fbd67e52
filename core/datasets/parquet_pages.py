"""Memory that the pages of a Parquet file need, read from their headers before any is unpacked.

A page is unpacked as a whole, and the values of a page may be far longer than the page: a
dictionary holds a value once, and DELTA_BYTE_ARRAY holds it as a prefix of the value before. The
metadata at the end of a file has neither the sizes of pages nor the lengths of values.
https://parquet.apache.org/docs/file-format/data-pages/
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow.parquet as pq

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.limits import MIB

MAX_PAGE_BYTES = 1024 * MIB  # of the pages that are unpacked at the same time
BATCH_BYTES = 128 * MIB  # of the values of a batch, as a rough upper estimate

_HEADER_BYTES = 4 * 1024  # most headers have about 30 bytes; statistics may add long values
_LONG_HEADER_BYTES = 1 * MIB
_DICTIONARY_PAGE = 2
_DELTA_BYTE_ARRAY = 7
_DICTIONARIES = frozenset({2, 8})  # PLAIN_DICTIONARY, RLE_DICTIONARY
_MAX_DEPTH = 8


class ColumnMemory(NamedTuple):
    """Upper estimates for one column, in bytes.

    `pages` is the largest page with its dictionary, `row` a value of a batch. `dictionary` is the
    largest dictionary.
    """

    pages: int = 0
    row: int = 0
    dictionary: int = 0


class DamagedPagesError(ValueError):
    pass


def measure_columns(path: Path, metadata: pq.FileMetaData) -> list[ColumnMemory]:
    """Return the memory that each leaf column needs.

    Raises:
        DamagedPagesError: The headers of the pages cannot be read.
    """
    with path.open("rb") as file:
        return [_measure_column(file, metadata, i) for i in range(metadata.num_columns)]


def check_page_memory(name: str, columns: Sequence[ColumnMemory]) -> None:
    """Raise DatasetUnreadable if the pages of the columns to read need too much memory at once."""
    if sum(column.pages for column in columns) > MAX_PAGE_BYTES:
        message = (
            f"The pages of {printable(name)} decompress to more than {MAX_PAGE_BYTES // MIB:,} MiB "
            "at once. Write it with pages of 1 MiB, the default of most programs."
        )
        raise unreadable_error("table_too_large", message, pointer=file_pointer(name))


def rows_per_batch(columns: Sequence[ColumnMemory], maximum: int) -> int:
    """Return a number of rows whose values fit into BATCH_BYTES."""
    row = sum(column.row for column in columns)
    return max(1, min(maximum, BATCH_BYTES // max(1, row)))


def _measure_column(file: BinaryIO, metadata: pq.FileMetaData, index: int) -> ColumnMemory:
    pages = row = largest_dictionary = 0
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(index)
        starts = [chunk.data_page_offset]
        if chunk.has_dictionary_page and chunk.dictionary_page_offset:
            starts.append(chunk.dictionary_page_offset)
        start, dictionary = min(starts), 0
        for header in _page_headers(file, start, start + chunk.total_compressed_size):
            size = header[2]
            if header[1] == _DICTIONARY_PAGE:
                dictionary = max(dictionary, size)
                size = 0
            pages = max(pages, size + dictionary)
            row = max(row, _row_bytes(header, dictionary))
        largest_dictionary = max(largest_dictionary, dictionary)
    return ColumnMemory(pages, row, largest_dictionary)


def _row_bytes(header: dict[int, Any], dictionary: int) -> int:
    """Return the bytes of a value of a data page, an average where no value can be far longer."""
    data_page = header.get(5) or header.get(8)
    if not isinstance(data_page, dict):
        return 0
    count, encoding = data_page.get(1, 0), data_page.get(2 if 5 in header else 4, 0)
    if not isinstance(count, int) or not isinstance(encoding, int):
        raise DamagedPagesError
    if encoding in _DICTIONARIES:
        return dictionary
    return int(header[2]) if encoding == _DELTA_BYTE_ARRAY else int(header[2]) // max(1, count)


def _page_headers(file: BinaryIO, start: int, end: int) -> Iterator[dict[int, Any]]:
    """Yield the headers between two positions: fields by their numbers in PageHeader."""
    position = start
    while position < end:
        header, length = _read_header(file, position)
        sizes = header.get(2), header.get(3)
        if not all(isinstance(size, int) and size >= 0 for size in sizes) or 1 not in header:
            raise DamagedPagesError
        yield header
        position += length + header[3]


def _read_header(file: BinaryIO, position: int) -> tuple[dict[int, Any], int]:
    for size in (_HEADER_BYTES, _LONG_HEADER_BYTES):
        file.seek(position)
        reader = _CompactReader(file.read(size))
        try:
            return reader.struct(), reader.position
        except (IndexError, struct.error):
            continue
    raise DamagedPagesError


class _CompactReader:
    """Reader of a structure in the compact protocol of Thrift.

    https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields by their numbers. Binary values are skipped and become None."""
        fields: dict[int, Any] = {}
        number = 0
        while (first := self._byte()) != 0:
            delta, kind = first >> 4, first & 0x0F
            number = number + delta if delta else self._zigzag()
            fields[number] = kind == 1 if kind in {1, 2} else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise DamagedPagesError
        if kind in {1, 2, 3}:
            return self._byte()
        if kind in {4, 5, 6}:
            return self._zigzag()
        if kind == 12:
            return self.struct(depth + 1)
        if kind in {9, 10}:
            self._list(depth)
        elif kind in {7, 8}:
            self._skip(8 if kind == 7 else self._varint())
        else:
            raise DamagedPagesError  # a page header has no maps
        return None

    def _list(self, depth: int) -> None:
        first = self._byte()
        count = self._varint() if first >> 4 == 15 else first >> 4
        for _ in range(count):
            self._value(first & 0x0F, depth + 1)

    def _byte(self) -> int:
        value = self._data[self.position]
        self.position += 1
        return value

    def _skip(self, size: int) -> None:
        self.position += size
        if self.position > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise DamagedPagesError

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
