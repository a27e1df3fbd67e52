"""Reader of zip archives. Entries are checked against their declared size and CRC."""

import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np

from core.datasets.stream import CHUNK_BYTES, Inflater, Reader, damaged_error
from core.limits import Limits
from modalities.image.upload.archive import decompression_limits
from modalities.image.upload.archive.zip_directory import (
    DEFLATED,
    ENCRYPTED,
    LOCAL_HEADER,
    read_directory,
)


class ZipArchive:
    """An `Archive`. `file` must stay open."""

    format = "zip"

    def __init__(
        self, file: BinaryIO, *, name: str, limits: Limits, name_encoding: str | None
    ) -> None:
        self.name = name
        self._file = file
        self._limits = limits
        directory = read_directory(file, name=name, limits=limits, name_encoding=name_encoding)
        self.names, self._rows, self.name_encoding = directory

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
        """Open an entry. Its local header must agree with the central directory."""
        _, deflated, crc, packed, size, start, end = self._rows[i].item()
        self._file.seek(start)
        header = self._file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size:
            raise damaged_error(self.names[i])
        signature, _, flags, method, *_, name_bytes, extra_bytes = LOCAL_HEADER.unpack(header)
        position = start + LOCAL_HEADER.size + name_bytes + extra_bytes
        valid = signature == b"PK\x03\x04" and not flags & ENCRYPTED
        if not valid or (method == DEFLATED) != deflated or position + packed > end:
            raise damaged_error(self.names[i])
        return _Member(
            self._file,
            self.names[i],
            position,
            packed=packed,
            size=size,
            crc=crc,
            deflated=deflated,
        )


class _Member:
    """Reader of one entry."""

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
        self._remaining_packed = packed  # compressed bytes to read from the file
        self._remaining_size = size  # decompressed bytes to return
        self._expected_crc = crc
        self._crc = 0
        self._inflater = Inflater(-15) if deflated else None
        self._finished = False

    def read(self, size: int, /) -> bytes:
        if self._finished:
            return b""
        try:
            if self._inflater is None:
                out = self._read_packed(size)
            else:
                out = self._inflate(self._inflater, size)
        except zlib.error as error:
            raise damaged_error(self._name) from error
        if len(out) > self._remaining_size:
            problem = "decompresses to more than it declares"
            raise decompression_limits.bomb_error(self._name, problem)
        self._remaining_size -= len(out)
        self._crc = zlib.crc32(out, self._crc)
        if not out:
            self._finished = True
            incomplete = self._remaining_size or self._remaining_packed
            if incomplete or self._crc != self._expected_crc:
                raise damaged_error(self._name)
        return out

    def _read_packed(self, size: int) -> bytes:
        self._file.seek(self._position)
        out = self._file.read(min(size, self._remaining_packed))
        if not out and self._remaining_packed:
            raise damaged_error(self._name)
        self._position += len(out)
        self._remaining_packed -= len(out)
        return out

    def _inflate(self, inflater: Inflater, size: int) -> bytes:
        while not inflater.eof:
            chunk = self._read_packed(CHUNK_BYTES) if inflater.needs_input else b""
            if not chunk and inflater.needs_input:
                raise damaged_error(self._name)
            if out := inflater.decompress(chunk, size):
                return out
        if inflater.unused_data:
            raise damaged_error(self._name)
        return b""
