"""Reads the entries of a zip archive: no more than they declare, and checked against their CRC."""

import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from core.datasets.images.archive import decompression_limits
from core.datasets.images.archive.zip_directory import (
    DEFLATED,
    ENCRYPTED,
    LOCAL_HEADER,
    read_directory,
)
from core.datasets.stream import CHUNK_BYTES, Inflater, Reader, damaged_error
from core.settings import Limits


class ZipArchive:
    """See `Archive`. `file` must stay open."""

    format = "zip"

    def __init__(self, file: BinaryIO, *, name: str, limits: Limits) -> None:
        self.name = name
        self._file = file
        self._limits = limits
        self.names, self._rows = read_directory(file, name=name, limits=limits)

    def check_bombs(self) -> None:
        sizes, packed = self._rows["size"], self._rows["packed"]
        if len(over := np.flatnonzero(sizes > self._limits.archive_entry_bytes)):
            raise decompression_limits.entry_size_error(self.names[over[0]], self._limits)
        large = sizes > decompression_limits.RATIO_FREE_BYTES
        ratio = self._limits.archive_ratio
        if len(over := np.flatnonzero(large & (sizes // ratio > packed))):
            raise decompression_limits.ratio_error(self.names[over[0]], self._limits)
        if sizes.sum() > max(decompression_limits.RATIO_FREE_BYTES, ratio * int(packed.sum())):
            raise decompression_limits.ratio_error(self.name, self._limits)

    def open_members(self, indices: Iterable[int]) -> Iterator[tuple[int, Reader]]:
        for i in indices:
            yield i, self._open(i)

    def _open(self, i: int) -> "_Member":
        """The entry's own header must fit what the directory said."""
        _, deflated, crc, packed, size, start, end = self._rows[i].item()
        self._file.seek(start)
        header = self._file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size:
            raise damaged_error(self.names[i])
        signature, _, flags, method, *_, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
        body = start + LOCAL_HEADER.size + name_bytes + extra_bytes
        sane = signature == b"PK\x03\x04" and not flags & ENCRYPTED
        if not sane or (method == DEFLATED) != deflated or body + packed > end:
            raise damaged_error(self.names[i])
        return _Member(
            self._file, self.names[i], body, packed=packed, size=size, crc=crc, deflated=deflated
        )


class _Member:
    """A Reader of one entry."""

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        position: int,
        *,
        packed: int,
        size: int,
        crc: int,
        deflated: bool,
    ) -> None:
        self._file = file
        self._name = name
        self._position = position
        self._packed = packed  # bytes not yet read from the file
        self._size = size  # bytes not yet handed out
        self._crc = crc
        self._sum = 0
        self._inflate = Inflater(-15) if deflated else None
        self._over = False

    def read(self, size: int, /) -> bytes:
        if self._over:
            return b""
        try:
            out = self._fetch(size) if self._inflate is None else self._unpack(self._inflate, size)
        except zlib.error as error:
            raise damaged_error(self._name) from error
        if len(out) > self._size:
            raise decompression_limits.bomb_error(self._name, "unpacks to more than it declares")
        self._size -= len(out)
        self._sum = zlib.crc32(out, self._sum)
        if not out:
            self._over = True
            if self._size or self._packed or self._sum != self._crc:
                raise damaged_error(self._name)
        return out

    def _fetch(self, size: int) -> bytes:
        self._file.seek(self._position)
        out = self._file.read(min(size, self._packed))
        if not out and self._packed:
            raise damaged_error(self._name)
        self._position += len(out)
        self._packed -= len(out)
        return out

    def _unpack(self, inflate: Inflater, size: int) -> bytes:
        while not inflate.eof:
            chunk = self._fetch(CHUNK_BYTES) if inflate.needs_input else b""
            if not chunk and inflate.needs_input:
                raise damaged_error(self._name)
            if out := inflate.decompress(chunk, size):
                return out
        if inflate.unused_data:
            raise damaged_error(self._name)
        return b""
