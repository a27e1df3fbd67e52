"""Selection of the reader for an uploaded table, by its first bytes and its file name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import HEAD_BYTES, detect_file_type, unsupported_file_type
from core.datasets.source import SourceFile
from core.datasets.stream import DecompressedReader, Reader, read_up_to
from core.errors import DatasetUnreadable
from core.settings import MIB, Limits
from modalities.tabular.upload.csv_reader import open_csv
from modalities.tabular.upload.ndjson_reader import open_ndjson
from modalities.tabular.upload.parquet_arrow_reader import open_arrow, open_parquet
from modalities.tabular.upload.raw_table import RawTable, table_error
from modalities.tabular.upload.text_file import TextFile, open_text_file

_RATIO_FREE_BYTES = 16 * MIB  # harmless at any compression ratio


def open_table(file: SourceFile, limits: Limits, exclude: frozenset[str]) -> RawTable:
    """Open a table of any supported format.

    Columns of `exclude` are skipped if their type cannot be learned.

    Raises:
        DatasetUnreadable: The file cannot be read as a table.
    """
    with file.path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise table_error("table_empty", f"{printable(file.name)} is empty.")
    if head.startswith(b"PAR1"):
        return open_parquet(file.path, file.name, limits, exclude)
    if head.startswith((b"ARROW1\0\0", b"\xff\xff\xff\xff")):
        stream_format = not head.startswith(b"ARROW1")
        return open_arrow(file.path, file.name, limits, exclude, stream=stream_format)
    file_type = detect_file_type(head)
    if file_type not in {"", "gz"} or unsupported_file_type(head):
        raise _unsupported(file, unsupported_file_type(head) or f"{file_type} file")
    text = open_text_file(file.name, _Opener(file, limits, is_gzip=file_type == "gz"))
    return _open_text(text, limits, exclude)


def _open_text(text: TextFile, limits: Limits, exclude: frozenset[str]) -> RawTable:
    with text.open() as reader:
        head = read_up_to(reader, HEAD_BYTES)
    start = head.decode(text.encoding, "replace").lstrip()
    if start.startswith("{"):
        return open_ndjson(text, limits, exclude)
    if start.startswith("[") and PurePath(text.name).suffix.lower() in {".json", ".ndjson"}:
        message = (
            f"{printable(text.name)} is one JSON array; write one JSON object per line instead "
            "(NDJSON)."
        )
        raise table_error("table_unreadable", message)
    return open_csv(text, limits)


class _Opener:
    def __init__(self, file: SourceFile, limits: Limits, *, is_gzip: bool) -> None:
        self._file = file
        self._limits = limits
        self._is_gzip = is_gzip

    @contextmanager
    def __call__(self) -> Iterator[Reader]:
        with self._file.path.open("rb") as stream:
            yield _BoundedGzip(stream, self._file, self._limits) if self._is_gzip else stream


class _BoundedGzip:
    """Decompressing reader that raises when the output exceeds the limits (zip bombs)."""

    def __init__(self, compressed: Reader, file: SourceFile, limits: Limits) -> None:
        self._reader = DecompressedReader(compressed, "gz", name=file.name)
        self._name = file.name
        compressed_bytes = file.path.stat().st_size
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


def _unsupported(file: SourceFile, description: str) -> DatasetUnreadable:
    message = f"{printable(file.name)} is a {description}; send CSV, TSV, NDJSON, Parquet or Arrow."
    return unreadable_error("table_unreadable", message, pointer=file_pointer(file.name))
