"""Detection of uploads of images by their first bytes."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from core.datasets.file_type import COMPRESSED_TYPES, detect_file_type
from core.datasets.stream import DecompressedReader
from core.errors import DatasetUnreadable
from modalities.image.upload.pixel_columns import find_pixel_columns

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".npy", ".npz"}
)
_MAX_TEXT = 64 * 1024


def detect_images(head: bytes, entries: Sequence[str]) -> float:
    """Return the confidence that a file is a set of images; see modalities.base.Datasets.detect."""
    if head.startswith(b"PAR1"):
        return 1.0 if _is_parquet_of_images(head) else 0.0
    file_type = detect_file_type(head)
    if not file_type and find_pixel_columns(head):
        return 0.9
    if file_type in COMPRESSED_TYPES and find_pixel_columns(_decompress(head, file_type)):
        return 0.9
    if file_type == "zip":
        if any(PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES for name in entries):
            return 0.6
        first = _first_entry(head)
        return 0.9 if find_pixel_columns(first) or _is_parquet_of_images(first) else 0.3
    # Files that no modality recognizes are read as images too: that reader explains what it
    # expects.
    return 0.3 if file_type else 0.1


def _is_parquet_of_images(head: bytes) -> bool:
    # Encoded images cannot be compressed further, so that they are visible in the first page.
    return head.startswith(b"PAR1") and any(each in head for each in _IMAGE_SIGNATURES)


def _decompress(head: bytes, compression: str) -> bytes:
    try:
        return DecompressedReader(io.BytesIO(head), compression, name="").read(_MAX_TEXT)
    except DatasetUnreadable:
        return b""


def _first_entry(head: bytes) -> bytes:
    """Return the start of the content of the first file in a zip archive."""
    if len(head) < _LOCAL_HEADER.size:
        return b""
    _, _, _, method, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(head)
    content = head[_LOCAL_HEADER.size + name_bytes + extra_bytes :]
    if not method:
        return content
    try:
        return zlib.decompressobj(-15).decompress(content, _MAX_TEXT)
    except zlib.error:
        return b""
