"""Tables in compressed files and in zip archives, read in bounded memory."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa

from core.datasets.data_quality import Issue
from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.source import SourceFile
from core.datasets.stream import DecompressedReader, Reader, damaged_error
from core.datasets.table_names import TABLE_SUFFIXES, content_entries, table_entries, table_suffix
from core.errors import DatasetUnreadable
from core.limits import MIB, Limits
from modalities.tabular.upload.raw_table import MAX_EXAMPLES

COMPRESSIONS = frozenset({"gz", "bz2", "xz", "zst"})

_RATIO_FREE_BYTES = 16 * MIB  # harmless at any compression ratio
_MAX_LISTED = 10
# zipfile raises a RuntimeError for encrypted entries and for other compressions than Deflate.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError)
_READ_BYTES = 256 * 1024
_ERROR_CELL = b' t="e"'  # of a cell in the XML of a sheet
_CELL = re.compile(rb"""\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")  # position of a cell
_MAX_REFERENCE = 16  # bytes
_MAX_WORKBOOK_CELLS = 32 * MIB  # of a sheet, each about 32 bytes


class PlainOpener:
    """Opens an uncompressed file."""

    def __init__(self, file: SourceFile) -> None:
        self._file = file

    @contextmanager
    def __call__(self) -> Iterator[Reader]:
        with self._file.path.open("rb") as stream:
            yield stream


class CompressedOpener:
    """Opens a gzip, bzip2, xz or Zstandard file."""

    def __init__(self, file: SourceFile, limits: Limits, compression: str) -> None:
        self._file = file
        self._limits = limits
        self._compression = compression

    @contextmanager
    def __call__(self) -> Iterator[Reader]:
        with self._file.path.open("rb") as stream:
            reader: Reader
            if self._compression == "zst":
                reader = _ZstandardReader(stream, self._file.name)
            else:
                reader = DecompressedReader(stream, self._compression, name=self._file.name)
            size = self._file.path.stat().st_size
            yield _BoundedReader(reader, self._file.name, size, self._limits)


class ZipEntryOpener:
    """Opens one entry of a zip archive; its declared size and CRC are checked."""

    def __init__(self, file: SourceFile, limits: Limits, entry: zipfile.ZipInfo) -> None:
        self._file = file
        self._limits = limits
        self._entry = entry

    @contextmanager
    def __call__(self) -> Iterator[Reader]:
        name = self._file.name
        with ExitStack() as stack:
            try:
                archive = stack.enter_context(zipfile.ZipFile(self._file.path))
                stream = stack.enter_context(archive.open(self._entry))
            except _ZIP_ERRORS as error:
                raise damaged_error(name) from error
            reader = _CheckedReader(stream, name)
            yield _BoundedReader(reader, name, self._entry.compress_size, self._limits)


def open_zip_entry(
    file: SourceFile, limits: Limits, issues: list[Issue]
) -> tuple[ZipEntryOpener, str]:
    """Return the opener and the name of the only table in a zip archive.

    Raises:
        DatasetUnreadable: The archive holds no table, or several.
    """
    entries = zip_entries(file)
    content = content_entries(list(entries))
    tables = table_entries(list(entries)) or (content if len(content) == 1 else [])
    if len(tables) != 1:
        raise _wrong_number_error(file.name, tables)
    entry = entries[tables[0]]
    if entry.flag_bits & 1:
        raise _unreadable(file.name, f"{printable(file.name)} is encrypted; send it unencrypted.")
    if table_suffix(entry.filename) not in TABLE_SUFFIXES and "." in entry.filename.split("/")[-1]:
        message = f"{printable(file.name)} holds {printable(entry.filename)}, which is not a table."
        raise _unreadable(file.name, message)
    ignored = [name for name in content if name != entry.filename]
    if ignored:
        hint = f"Only {printable(entry.filename)} was read from the archive."
        examples = tuple(printable(name) for name in ignored[:MAX_EXAMPLES])
        issues.append(Issue("files_ignored", "info", len(ignored), examples, hint))
    return ZipEntryOpener(file, limits, entry), entry.filename.rpartition("/")[2]


def extract(opener: ZipEntryOpener, path: Path) -> None:
    """Write the content of a zip entry to `path`, within the limits."""
    with opener() as reader, path.open("wb") as out:
        while data := reader.read(_READ_BYTES):
            out.write(data)


def zip_entries(file: SourceFile) -> dict[str, zipfile.ZipInfo]:
    """Return the entries of a zip archive by name."""
    try:
        with zipfile.ZipFile(file.path) as archive:
            return {entry.filename: entry for entry in archive.infolist()}
    except _ZIP_ERRORS as error:
        raise damaged_error(file.name) from error


def _wrong_number_error(name: str, tables: list[str]) -> DatasetUnreadable:
    if not tables:
        message = f"{printable(name)} holds no table; send CSV, NDJSON, Parquet, Arrow or Excel."
        return _unreadable(name, message)
    listed = ", ".join(printable(table) for table in tables[:_MAX_LISTED])
    more = ", …" if len(tables) > _MAX_LISTED else ""
    message = (
        f"{printable(name)} holds {len(tables)} tables: {listed}{more}. A dataset is one table; "
        "send the one to learn."
    )
    return unreadable_error("several_tables", message, pointer=file_pointer(name))


def _unreadable(name: str, message: str) -> DatasetUnreadable:
    return unreadable_error("table_unreadable", message, pointer=file_pointer(name))


class _CheckedReader:
    """Reader of a zip entry that raises DatasetUnreadable for damaged data."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream = stream
        self._name = name

    def read(self, size: int, /) -> bytes:
        try:
            return self._stream.read(size)
        except _ZIP_ERRORS as error:
            raise damaged_error(self._name) from error


class _ZstandardReader:
    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._name = name
        self._stream = pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")

    def read(self, size: int, /) -> bytes:
        try:
            return bytes(self._stream.read(size))
        except (OSError, pa.ArrowException) as error:
            raise damaged_error(self._name) from error


class _BoundedReader:
    """Decompressing reader that raises when the output exceeds the limits (zip bombs)."""

    def __init__(self, reader: Reader, name: str, compressed_bytes: int, limits: Limits) -> None:
        self._reader = reader
        self._name = name
        by_ratio = max(_RATIO_FREE_BYTES, limits.archive_ratio * compressed_bytes)
        self._remaining = min(limits.table_bytes, by_ratio)

    def read(self, size: int, /) -> bytes:
        data = self._reader.read(size)
        self._remaining -= len(data)
        if self._remaining < 0:
            message = (
                f"{printable(self._name)} decompresses to far more than its size; send it "
                "uncompressed."
            )
            raise unreadable_error("archive_bomb", message, pointer=file_pointer(self._name))
        return data


def inspect_workbook(file: SourceFile, limits: Limits) -> int:
    """Read all entries once, within the limits, and return the number of cells with an error.

    Raises:
        DatasetUnreadable: A sheet would need too much memory: a reader keeps all cells up to the
            last row and column, also empty ones.
    """
    errors = 0
    for entry in zip_entries(file).values():
        is_sheet = entry.filename.startswith("xl/worksheets/")
        end, columns, rows = b"", {b"A"}, 0
        with ZipEntryOpener(file, limits, entry)() as reader:
            while data := reader.read(_READ_BYTES):
                window = end + data
                if is_sheet:
                    errors += window.count(_ERROR_CELL, max(0, len(end) + 1 - len(_ERROR_CELL)))
                references = _CELL.findall(window)
                columns |= {column for column, _ in references}
                rows = max([rows, *map(int, {row for _, row in references})])
                end = window[-_MAX_REFERENCE:]
        width = max(map(_column_number, columns))
        if rows * width > _MAX_WORKBOOK_CELLS:
            message = (
                f"{printable(file.name)} has a sheet of {rows:,} rows and {width:,} columns; a "
                f"sheet may have {_MAX_WORKBOOK_CELLS:,} cells. Delete empty rows and columns at "
                "its end, or save it as CSV."
            )
            raise unreadable_error("table_too_large", message, pointer=file_pointer(file.name))
    return errors


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number
