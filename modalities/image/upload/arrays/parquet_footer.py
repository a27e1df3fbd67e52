"""Recognition of Parquet and Arrow files of images by their metadata, without parsing it.

The footer starts with the schema, in the compact protocol of Thrift, and ends with the metadata of
the file. It is read outside of the sandbox, so that only byte patterns are searched.
"""

import re

from core.datasets.peek import Peek

SIGNATURE = b"PAR1"
ARROW_SIGNATURES = (b"ARROW1", b"\xff\xff\xff\xff")  # a file and a stream
_FOOTER_BYTES = 256 * 1024
_IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
# A feature of Hugging Face's datasets.
_IMAGE_FEATURE = re.compile(rb'"_type": ?"Image"')
# A column of bytes: type BYTE_ARRAY, its repetition, and the length of its name.
_BYTES_COLUMN = re.compile(rb"\x15\x0c\x25[\0\x02\x04]\x18([\x01-\x7f])")
_IMAGE_NAMES = frozenset(
    {b"bytes", b"image", b"images", b"img", b"image_bytes", b"image_data", b"picture", b"photo"}
    | {b"png", b"jpg", b"jpeg"}
)


def is_parquet_of_images(peek: Peek) -> bool:
    """Return True for a Parquet file with a column of encoded images."""
    if not peek.head.startswith(SIGNATURE):
        return False
    if starts_with_images(peek.head):
        return True
    footer = _read_footer(peek)
    return bool(_IMAGE_FEATURE.search(footer)) or _has_bytes_column(footer)


def is_arrow_of_images(head: bytes) -> bool:
    """Return True if the first bytes of an Arrow file have a feature or a file of an image."""
    is_of_images = _IMAGE_FEATURE.search(head) is not None or starts_with_images(head)
    return head.startswith(ARROW_SIGNATURES) and is_of_images


def starts_with_images(pages: bytes) -> bool:
    """Return True if images are visible in the first pages: they cannot be compressed further."""
    return any(signature in pages for signature in _IMAGE_SIGNATURES)


def _read_footer(peek: Peek) -> bytes:
    end = peek.read(max(0, peek.size - 8), peek.size)
    if len(end) < 8 or not end.endswith(SIGNATURE):
        return b""
    start = peek.size - 8 - int.from_bytes(end[:4], "little")
    if start < 0:
        return b""
    head_end = min(start + _FOOTER_BYTES, peek.size)
    tail_start = max(head_end, peek.size - _FOOTER_BYTES)
    return peek.read(start, head_end) + peek.read(tail_start, peek.size)


def _has_bytes_column(footer: bytes) -> bool:
    """Return True if a column with a name for images holds bytes and not text."""
    for match in _BYTES_COLUMN.finditer(footer):
        name_end = match.end() + match[1][0]
        name = footer[match.end() : name_end].lower()
        # Text is annotated after the name; a column of plain bytes ends there.
        if name in _IMAGE_NAMES and footer[name_end : name_end + 1] == b"\0":
            return True
    return False
