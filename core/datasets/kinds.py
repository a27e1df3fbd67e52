"""Whether an upload is a set of images or a table, told by how it begins."""

import io
from pathlib import PurePath
from typing import Literal

from core.datasets.signature import HEAD_BYTES, kind_of, refused_kind
from core.datasets.stream import Unpacked
from core.errors import UnreadableDataset

Kind = Literal["images", "rows"]

PEEK_BYTES = 8 * HEAD_BYTES

_TABLES = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
_ENDINGS = frozenset(
    {".csv", ".tsv", ".tab", ".txt", ".json", ".ndjson", ".jsonl", ".parquet", ".pq", ".arrow"}
    | {".feather", ".ipc", ".arrows"}
)


def kind_of_upload(head: bytes, name: str) -> Kind:
    """`head`: the first PEEK_BYTES of the file, or all of it."""
    if head.startswith(_TABLES):
        return "rows"
    kind = kind_of(head)
    if kind == "gz":
        inside = _unpacked(head)
        return "images" if kind_of(inside) or not _may_be_table(inside, name) else "rows"
    if kind or refused_kind(head):
        return "images"
    return "rows" if _may_be_table(head, name) else "images"


def _may_be_table(head: bytes, name: str) -> bool:
    endings = PurePath(name.removesuffix(".gz")).suffixes[-1:]
    if endings and endings[0].lower() in _ENDINGS:
        return True
    return bool(head) and (b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff")))


def _unpacked(head: bytes) -> bytes:
    try:
        return Unpacked(io.BytesIO(head), "gz", name="").read(HEAD_BYTES)
    except UnreadableDataset:
        return b""
