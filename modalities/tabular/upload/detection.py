"""Detection of tables by their first bytes and their name."""

import io
from pathlib import PurePath

from core.datasets.file_type import HEAD_BYTES, detect_file_type, unsupported_file_type
from core.datasets.stream import DecompressedReader
from core.errors import DatasetUnreadable

# Parquet, an Arrow file and an Arrow stream.
_TABLE_SIGNATURES = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
_TABLE_SUFFIXES = frozenset(
    {".csv", ".tsv", ".tab", ".txt", ".json", ".ndjson", ".jsonl", ".parquet", ".pq", ".arrow"}
    | {".feather", ".ipc", ".arrows"}
)


def detect_table(head: bytes, name: str) -> float:
    """Return the confidence that a file is a table; see modalities.base.Datasets.detect."""
    if head.startswith(_TABLE_SIGNATURES):
        return 1.0
    file_type = detect_file_type(head)
    if file_type == "gz":
        content = _decompress_head(head)
        return 0.5 if not detect_file_type(content) and _may_be_table(content, name) else 0.0
    if file_type or unsupported_file_type(head):
        return 0.0
    return 0.5 if _may_be_table(head, name) else 0.0


def _may_be_table(head: bytes, name: str) -> bool:
    suffixes = PurePath(name.removesuffix(".gz")).suffixes[-1:]
    if suffixes and suffixes[0].lower() in _TABLE_SUFFIXES:
        return True
    # Text does not contain zero bytes, except in UTF-16, which starts with a byte order mark.
    return bool(head) and (b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff")))


def _decompress_head(head: bytes) -> bytes:
    try:
        return DecompressedReader(io.BytesIO(head), "gz", name="").read(HEAD_BYTES)
    except DatasetUnreadable:
        return b""
