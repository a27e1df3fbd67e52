"""Sequential readers of compressed streams.

A damaged or truncated stream raises a DatasetUnreadable that names the file.
"""

import bz2
import lzma
import zlib
from typing import Protocol

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable

CHUNK_BYTES = 256 * 1024
XZ_MEMORY_BYTES = 256 * 1024 * 1024  # a header can request 4 GiB; `xz -9` needs 65 MiB


class Reader(Protocol):
    def read(self, size: int, /) -> bytes:
        """Return 1 to `size` bytes, or b"" at the end of the stream. `size` must be positive."""


def read_up_to(reader: Reader, size: int) -> bytes:
    """Read exactly `size` bytes, or fewer if the stream ends earlier."""
    first = reader.read(size)
    if len(first) == size or not first:
        return first
    chunks, missing = [first], size - len(first)
    while missing and (chunk := reader.read(missing)):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def damaged_error(name: str) -> DatasetUnreadable:
    message = f"{printable(name)} is damaged or truncated. Create the file again and upload it."
    return unreadable_error("archive_invalid", message, pointer=file_pointer(name))


class Inflater:
    """zlib decompressor with the interface of `bz2.BZ2Decompressor`.

    `window` is zlib's `wbits`: 31 for gzip, -15 for raw deflate.
    """

    def __init__(self, window: int) -> None:
        self._zlib = zlib.decompressobj(window)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        assert max_length > 0  # noqa: S101 - zlib takes 0 as "unlimited"
        out = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(out) < max_length
        return out


def _decompressor(compression: str) -> Inflater | bz2.BZ2Decompressor | lzma.LZMADecompressor:
    if compression == "gz":
        return Inflater(31)
    if compression == "bz2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)


class DecompressedReader:
    """Reader of the decompressed content of gz, bz2 or xz data.

    Concatenated streams are read as one, as gzip, bzip2 and xz do.
    """

    def __init__(self, compressed: Reader, compression: str, *, name: str) -> None:
        self._compressed = compressed
        self._compression = compression
        self._name = name
        self._decompressor = _decompressor(compression)

    def read(self, size: int, /) -> bytes:
        try:
            return self._read(size)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise damaged_error(self._name) from error

    def _read(self, size: int) -> bytes:
        out = b""
        while not out:
            if self._decompressor.eof:
                # Zero bytes between or after the streams are padding.
                rest = self._decompressor.unused_data.lstrip(b"\0")
                rest = rest or self._compressed.read(CHUNK_BYTES).lstrip(b"\0")
                if not rest:
                    return b""
                self._decompressor = _decompressor(self._compression)
                out = self._decompressor.decompress(rest, size)
            elif not self._decompressor.needs_input:
                out = self._decompressor.decompress(b"", size)
            elif chunk := self._compressed.read(CHUNK_BYTES):
                out = self._decompressor.decompress(chunk, size)
            else:
                raise EOFError
        return out
