"""Bytes that are read in order, unpacked on the way, and counted.

A damaged or cut stream raises DatasetUnreadable that names the file.
"""

import bz2
import lzma
import zlib
from typing import Protocol

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable

CHUNK_BYTES = 256 * 1024
XZ_MEMORY_BYTES = 256 * 1024 * 1024  # a header can ask for 4 GiB; `xz -9` needs 65 MiB


class Reader(Protocol):
    def read(self, size: int, /) -> bytes:
        """Some bytes, at most `size`, which is not 0; none only at the end."""


def read_up_to(reader: Reader, size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    first = reader.read(size)
    if len(first) == size or not first:
        return first
    chunks, missing = [first], size - len(first)
    while missing and (chunk := reader.read(missing)):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def damaged_error(name: str) -> DatasetUnreadable:
    message = f"{printable(name)} is damaged or cut off; pack it again and upload it again"
    return unreadable_error("archive_invalid", message, pointer=file_pointer(name))


class Inflater:
    """zlib behind the interface of bz2 and lzma. `window`: 31 for gzip, -15 for bare deflate."""

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
        assert max_length > 0  # noqa: S101 - to zlib, 0 is no limit at all
        out = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(out) < max_length
        return out


def _decoder(kind: str) -> Inflater | bz2.BZ2Decompressor | lzma.LZMADecompressor:
    if kind == "gz":
        return Inflater(31)
    if kind == "bz2":
        return bz2.BZ2Decompressor()
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)


class DecompressedReader:
    """What a gz, bz2 or xz stream holds; several streams end to end are one."""

    def __init__(self, packed: Reader, kind: str, *, name: str) -> None:
        self._packed = packed
        self._kind = kind
        self._name = name
        self._decoder = _decoder(kind)

    def read(self, size: int, /) -> bytes:
        try:
            return self._read(size)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise damaged_error(self._name) from error

    def _read(self, size: int) -> bytes:
        out = b""
        while not out:
            if self._decoder.eof:
                rest = self._decoder.unused_data.lstrip(b"\0")  # padding
                rest = rest or self._packed.read(CHUNK_BYTES).lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = _decoder(self._kind)
                out = self._decoder.decompress(rest, size)
            elif not self._decoder.needs_input:
                out = self._decoder.decompress(b"", size)
            elif chunk := self._packed.read(CHUNK_BYTES):
                out = self._decoder.decompress(chunk, size)
            else:
                raise EOFError
        return out
