"""A bounded look at an upload, from which its modality is detected."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cached_property
from typing import Self

from core.datasets.file_type import HEAD_BYTES, detect_file_type

PEEK_BYTES = 8 * HEAD_BYTES
_TAIL_BYTES = 64 * 1024  # of a zip archive, whose names are at its end
_ENTRY_BYTES = 64 * 1024
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"

ReadRange = Callable[[int, int], bytes]  # the bytes from a start to an end


class Peek:
    """Parts of an upload that are read when they are needed.

    Attributes:
        name: The client's name for the file.
        size: Size in bytes.
        read: Reads the bytes from a start to an end.
    """

    def __init__(self, name: str, size: int, read: ReadRange) -> None:
        self.name, self.size, self.read = name, size, read

    @classmethod
    def of_bytes(cls, content: bytes, name: str) -> Self:
        return cls(name, len(content), lambda start, end: content[start:end])

    @cached_property
    def head(self) -> bytes:
        """The first PEEK_BYTES, or all of a shorter file."""
        return self.read(0, min(PEEK_BYTES, self.size))

    @cached_property
    def entries(self) -> dict[str, int]:
        """Offset of each file in a zip archive by its name; empty for an archive of many files."""
        if detect_file_type(self.head) != "zip":
            return {}
        start = max(0, self.size - _TAIL_BYTES)
        try:
            with zipfile.ZipFile(io.BytesIO(self.read(start, self.size))) as archive:
                return {info.filename: start + info.header_offset for info in archive.infolist()}
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
            return {}

    def entry_head(self, offset: int) -> bytes:
        """Return the start of the content of a file in a zip archive, b"" if it cannot be read."""
        if offset < 0:
            return b""
        data = self.read(offset, min(offset + _ENTRY_BYTES, self.size))
        if len(data) < _LOCAL_HEADER.size or not data.startswith(_LOCAL_SIGNATURE):
            return b""
        _, _, _, method, *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(data)
        content = data[_LOCAL_HEADER.size + name_bytes + extra_bytes :]
        if method != zipfile.ZIP_DEFLATED:
            return content if method == zipfile.ZIP_STORED else b""
        try:
            return zlib.decompressobj(-15).decompress(content, _ENTRY_BYTES)
        except zlib.error:
            return b""
