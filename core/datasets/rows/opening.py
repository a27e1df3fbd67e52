"""Which reader takes a file: by its first bytes, and by its name where these do not tell."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

from core.datasets.faults import pointer_to, shown, unreadable
from core.datasets.rows.columnar import open_arrow, open_parquet
from core.datasets.rows.delimited import open_delimited
from core.datasets.rows.ndjson import open_ndjson
from core.datasets.rows.raw import RawTable, table_error
from core.datasets.rows.text import TextFile, text_file
from core.datasets.signature import HEAD_BYTES, kind_of, refused_kind
from core.datasets.source import SourceFile
from core.datasets.stream import Reader, Unpacked, read_up_to
from core.errors import UnreadableDataset
from core.settings import MIB, Limits

_RATIO_FREE_BYTES = 16 * MIB  # harmless however well it was packed


def open_table(file: SourceFile, limits: Limits, drop: frozenset[str]) -> RawTable:
    """`drop`: columns that are left out if they cannot be learned. Raises UnreadableDataset."""
    with file.path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if not head:
        raise table_error("table_empty", f"{shown(file.name)} is empty")
    if head.startswith(b"PAR1"):
        return open_parquet(file.path, file.name, limits, drop)
    if head.startswith((b"ARROW1\0\0", b"\xff\xff\xff\xff")):
        stream_format = not head.startswith(b"ARROW1")
        return open_arrow(file.path, file.name, limits, drop, stream=stream_format)
    kind = kind_of(head)
    if kind not in {"", "gz"} or refused_kind(head):
        raise _unknown(file, refused_kind(head) or f"{kind} file")
    text = text_file(file.name, _Opener(file, limits, packed=kind == "gz"))
    return _open_text(text, limits, drop)


def _open_text(text: TextFile, limits: Limits, drop: frozenset[str]) -> RawTable:
    with text.open() as reader:
        head = read_up_to(reader, HEAD_BYTES)
    start = head.decode(text.encoding, "replace").lstrip()
    if start.startswith("{"):
        return open_ndjson(text, limits, drop)
    if start.startswith("[") and PurePath(text.name).suffix.lower() in {".json", ".ndjson"}:
        message = (
            f"{shown(text.name)} is one JSON array; write one object on each line instead (NDJSON)"
        )
        raise table_error("table_unreadable", message)
    return open_delimited(text, limits)


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
        self._unpacked = Unpacked(packed, "gz", name=file.name)
        self._name = file.name
        packed_bytes = file.path.stat().st_size
        by_ratio = max(_RATIO_FREE_BYTES, limits.archive_ratio * packed_bytes)
        self._left = min(limits.table_bytes, by_ratio)

    def read(self, size: int, /) -> bytes:
        data = self._unpacked.read(size)
        self._left -= len(data)
        if self._left < 0:
            message = f"{shown(self._name)} unpacks to far more than its size; send it unpacked"
            raise unreadable("archive_bomb", message, pointer=pointer_to(self._name))
        return data


def _unknown(file: SourceFile, kind: str) -> UnreadableDataset:
    message = f"{shown(file.name)} is a {kind}; send CSV, TSV, NDJSON, Parquet or Arrow"
    return unreadable("table_unreadable", message, pointer=pointer_to(file.name))
