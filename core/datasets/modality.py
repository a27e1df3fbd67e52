"""Whether an upload is a set of images or a table, told by how it begins."""

import io
from pathlib import PurePath
from typing import Literal

from core.datasets.file_type import HEAD_BYTES, detect_file_type, unsupported_file_type
from core.datasets.stream import DecompressedReader
from core.errors import DatasetUnreadable

Modality = Literal["image", "tabular"]

PEEK_BYTES = 8 * HEAD_BYTES

_TABLES = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
_ENDINGS = frozenset(
    {".csv", ".tsv", ".tab", ".txt", ".json", ".ndjson", ".jsonl", ".parquet", ".pq", ".arrow"}
    | {".feather", ".ipc", ".arrows"}
)


def detect_modality(head: bytes, name: str) -> Modality:
    """`head`: the first PEEK_BYTES of the file, or all of it."""
    if head.startswith(_TABLES):
        return "tabular"
    kind = detect_file_type(head)
    if kind == "gz":
        inside = _unpacked(head)
        return "image" if detect_file_type(inside) or not _may_be_table(inside, name) else "tabular"
    if kind or unsupported_file_type(head):
        return "image"
    return "tabular" if _may_be_table(head, name) else "image"


def _may_be_table(head: bytes, name: str) -> bool:
    endings = PurePath(name.removesuffix(".gz")).suffixes[-1:]
    if endings and endings[0].lower() in _ENDINGS:
        return True
    return bool(head) and (b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff")))


def _unpacked(head: bytes) -> bytes:
    try:
        return DecompressedReader(io.BytesIO(head), "gz", name="").read(HEAD_BYTES)
    except DatasetUnreadable:
        return b""
