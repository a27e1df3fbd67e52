"""Which reader takes a file: by its first bytes, and by its name where these do not tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import HEAD_BYTES, detect_file_type, unsupported_file_type
from core.datasets.source import SourceFile
from core.datasets.stream import DecompressedReader, Reader, read_up_to
from core.datasets.tabular.csv_reader import open_csv
from core.datasets.tabular.ndjson_reader import open_ndjson
from core.datasets.tabular.parquet_arrow_reader import open_arrow, open_parquet
from core.datasets.tabular.raw_table import RawTable, table_error
from core.datasets.tabular.text_file import TextFile, open_text_file
from core.errors import DatasetUnreadable
from core.settings import MIB, Limits

_RATIO_FREE_BYTES = 16 * MIB  # harmless however well it was packed


def open_table(file: SourceFile, limits: Limits, exclude: frozenset[str]) -> RawTable:
    """`exclude`: columns that are left out if they cannot be learned. Raises DatasetUnreadable."""
    with file.path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise table_error("table_empty", f"{printable(file.name)} is empty")
    if head.startswith(b"PAR1"):
        return open_parquet(file.path, file.name, limits, exclude)
    if head.startswith((b"ARROW1\0\0", b"\xff\xff\xff\xff")):
        stream_format = not head.startswith(b"ARROW1")
        return open_arrow(file.path, file.name, limits, exclude, stream=stream_format)
    kind = detect_file_type(head)
    if kind not in {"", "gz"} or unsupported_file_type(head):
        raise _unknown(file, unsupported_file_type(head) or f"{kind} file")
    text = open_text_file(file.name, _Opener(file, limits, packed=kind == "gz"))
    return _open_text(text, limits, exclude)


def _open_text(text: TextFile, limits: Limits, drop: frozenset[str]) -> RawTable:
    with text.open() as reader:
        head = read_up_to(reader, HEAD_BYTES)
    start = head.decode(text.encoding, "replace").lstrip()
    if start.startswith("{"):
        return open_ndjson(text, limits, drop)
    if start.startswith("[") and PurePath(text.name).suffix.lower() in {".json", ".ndjson"}:
        message = f"{printable(text.name)} is one JSON array; write one object on each line instead (NDJSON)"
        raise table_error("table_unreadable", message)
    return open_csv(text, limits)


class _Opener:
    def __init__(self, file: SourceFile, limits: Limits, *, packed: bool) -> None:
        self._file = file
        self._limits = limits
        self._packed = packed

    @contextmanager
    def __call__(self) -> Iterator[Reader]:
        with self._file.path.open("rb") as stream:
            yield _Bounded(stream, self._file, self._limits) if self._packed else stream


class _Bounded:
    """What a gz file holds, up to the limits."""

    def __init__(self, packed: Reader, file: SourceFile, limits: Limits) -> None:
        self._unpacked = DecompressedReader(packed, "gz", name=file.name)
        self._name = file.name
        packed_bytes = file.path.stat().st_size
        by_ratio = max(_RATIO_FREE_BYTES, limits.archive_ratio * packed_bytes)
        self._left = min(limits.table_bytes, by_ratio)

    def read(self, size: int, /) -> bytes:
        data = self._unpacked.read(size)
        self._left -= len(data)
        if self._left < 0:
            message = f"{printable(self._name)} unpacks to far more than its size; send it unpacked"
            raise unreadable_error("archive_bomb", message, pointer=file_pointer(self._name))
        return data


def _unknown(file: SourceFile, kind: str) -> DatasetUnreadable:
    message = f"{printable(file.name)} is a {kind}; send CSV, TSV, NDJSON, Parquet or Arrow"
    return unreadable_error("table_unreadable", message, pointer=file_pointer(file.name))
