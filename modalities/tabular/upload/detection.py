"""Detection of tables by their first bytes and their name."""

import io
from collections.abc import Sequence
from pathlib import PurePosixPath

from core.datasets.file_type import (
    COMPRESSED_TYPES,
    HEAD_BYTES,
    detect_file_type,
    unsupported_file_type,
)
from core.datasets.stream import DecompressedReader
from core.datasets.table_names import (
    TABLE_SUFFIXES,
    content_entries,
    is_workbook,
    table_entries,
    table_suffix,
)
from core.errors import DatasetUnreadable

# Parquet, an Arrow file and an Arrow stream.
_TABLE_SIGNATURES = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
# Files of an archive that show that its tables only describe images.
_IMAGE_SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".tga",
        ".npy",
        ".npz",
    }
    | {".svg", ".heic", ".avif", ".jp2", ".jxl"}
)
_IMAGE_ENDINGS = ("-ubyte", "-ubyte.gz")


def detect_table(head: bytes, name: str, entries: Sequence[str]) -> float:
    """Return the confidence that a file is a table; see modalities.base.Datasets.detect."""
    if head.startswith(_TABLE_SIGNATURES):
        return 1.0
    file_type = detect_file_type(head)
    if file_type == "ole":
        return 1.0
    if file_type == "zip":
        return _detect_in_zip(entries)
    if file_type in COMPRESSED_TYPES | {"zst"}:
        content = _decompress_head(head, file_type)
        return 0.5 if not detect_file_type(content) and _may_be_table(content, name) else 0.0
    if file_type or unsupported_file_type(head):
        return 0.0
    return 0.5 if _may_be_table(head, name) else 0.0


def _detect_in_zip(entries: Sequence[str]) -> float:
    if is_workbook(entries):
        return 1.0
    content = content_entries(entries)
    has_images = any(
        PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES or name.endswith(_IMAGE_ENDINGS)
        for name in content
    )
    return 0.5 if table_entries(entries) and not has_images else 0.0


def _may_be_table(head: bytes, name: str) -> bool:
    if table_suffix(name) in TABLE_SUFFIXES:
        return True
    # Text does not contain zero bytes, except in UTF-16, which starts with a byte order mark.
    return bool(head) and (b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff")))


def _decompress_head(head: bytes, compression: str) -> bytes:
    """Return the first decompressed bytes; nothing if they need more of the file, as in bzip2."""
    if compression == "zst":
        return b""  # Python reads Zstandard from 3.14 on
    try:
        return DecompressedReader(io.BytesIO(head), compression, name="").read(HEAD_BYTES)
    except DatasetUnreadable:
        return b""
