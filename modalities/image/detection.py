"""Detection of uploads of images by parts of their content."""

import io
import re
from pathlib import PurePosixPath

from core.datasets.file_type import ARCHIVE_SUFFIXES, COMPRESSED_TYPES, detect_file_type
from core.datasets.peek import Peek
from core.datasets.stream import DecompressedReader
from core.errors import DatasetUnreadable
from modalities.image.upload.arrays.parquet_footer import (
    ARROW_SIGNATURES,
    SIGNATURE,
    is_arrow_of_images,
    is_parquet_of_images,
    starts_with_images,
)
from modalities.image.upload.arrays.pixel_columns import find_pixel_columns

_IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".npy", ".npz"}
    # Unsupported images: their reader explains which formats are.
    | {".svg", ".heic", ".avif", ".jp2", ".jxl"}
)
_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet", ".pq", ".arrow"})
_IMAGE_NAME = re.compile(rb"[\w ()-]\.(png|jpe?g|webp|gif|bmp|tiff?|p[pgbn]m)", re.IGNORECASE)
_MAX_TEXT = 64 * 1024
_MAX_TABLES = 16  # files in a zip archive whose content is looked at


def detect_images(peek: Peek) -> float:
    """Return the confidence that a file is a set of images; see modalities.base.Datasets.detect."""
    if peek.head.startswith(SIGNATURE):
        return 1.0 if is_parquet_of_images(peek) else 0.0
    if peek.head.startswith(ARROW_SIGNATURES):
        return 1.0 if is_arrow_of_images(peek.head) else 0.0
    file_type = detect_file_type(peek.head)
    if not file_type and find_pixel_columns(peek.head):
        return 0.9
    if file_type in COMPRESSED_TYPES and find_pixel_columns(_decompress(peek.head, file_type)):
        return 0.9
    if file_type == "zip":
        return _detect_in_zip(peek)
    # Files that no modality recognizes are read as images too: that reader explains what it
    # expects.
    return 0.3 if file_type else 0.1


def _detect_in_zip(peek: Peek) -> float:
    suffixes = {name: PurePosixPath(name).suffix.lower() for name in peek.entries}
    if not _IMAGE_SUFFIXES.isdisjoint(suffixes.values()):
        return 0.6
    archives = [name for name in suffixes if name.lower().endswith(ARCHIVE_SUFFIXES)]
    if any(_holds_images(peek.entry_head(peek.entries[name])) for name in archives[:_MAX_TABLES]):
        return 0.6
    # The names of a large archive are not known: its first file then stands for the others.
    tables = [peek.entries[name] for name in suffixes if suffixes[name] in _TABLE_SUFFIXES] or [0]
    heads = (peek.entry_head(offset) for offset in tables[:_MAX_TABLES])
    return 0.9 if any(_is_table_of_images(head) for head in heads) else 0.3


def _holds_images(head: bytes) -> bool:
    """Return True if one of the first files of an archive has the suffix of an image."""
    file_type = detect_file_type(head)
    names = _decompress(head, file_type) if file_type in COMPRESSED_TYPES else head
    return _IMAGE_NAME.search(names) is not None


def _is_table_of_images(head: bytes) -> bool:
    if head.startswith(SIGNATURE):
        return starts_with_images(head)  # the footer is at the end of the compressed file
    if head.startswith(ARROW_SIGNATURES):
        return is_arrow_of_images(head)
    return find_pixel_columns(head) is not None


def _decompress(head: bytes, compression: str) -> bytes:
    try:
        return DecompressedReader(io.BytesIO(head), compression, name="").read(_MAX_TEXT)
    except DatasetUnreadable:
        return b""
