"""Sequential reader of tar archives (POSIX ustar and pax, GNU long names), optionally compressed.

Only regular files and folders are accepted. The standard library's tarfile is not used: it needs
more than 1 KB of memory per entry and accepts pax headers of any size.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import is_tar
from core.datasets.stream import CHUNK_BYTES, DecompressedReader, Reader, damaged_error, read_up_to
from core.limits import MIB, Limits
from modalities.image.upload.archive import decompression_limits
from modalities.image.upload.archive.names import check_duplicates, decode_name, safe_name

BLOCK_BYTES = 512
_MAX_META_BYTES = MIB  # of one pax header or long name
_FILE_TYPES = {b"0", b"\0", b"7"}
_FOLDER, _PAX, _LONG_NAME = b"5", b"x", b"L"
_META_TYPES = {_PAX, _LONG_NAME, b"g", b"K"}  # g: pax header of all entries, K: target of a link


class TarArchive:
    """An `Archive`. `file` must stay open. `compression` is "gz", "bz2", "xz" or ""."""

    def __init__(self, file: BinaryIO, *, name: str, compression: str, limits: Limits) -> None:
        self.name = name
        self.format = f"tar.{compression}" if compression else "tar"
        self._file = file
        self._file_bytes = file.seek(0, 2)
        self._compression = compression
        self._limits = limits
        self.names: list[str] = []
        self.name_encoding: str | None = None  # tar programs write UTF-8
        self._sizes = array("Q")
        self._starts = array("Q")
        self._scan()
        check_duplicates(self.names)

    def check_bombs(self) -> None:
        """Check the sizes of single files. The ratio was checked during the scan."""
        for name, size in zip(self.names, self._sizes, strict=True):
            if size > self._limits.archive_entry_bytes:
                raise decompression_limits.entry_size_error(name, self._limits)

    def open_members(self, indices: Iterable[int]) -> Iterator[tuple[int, Reader]]:
        stream = self._open_stream()
        for i in indices:
            stream.skip_to(self._starts[i], self.names[i])
            yield i, _Member(stream, self._sizes[i], self.names[i])

    def _open_stream(self) -> "_TarStream":
        self._file.seek(0)
        if self._compression:
            return _TarStream(DecompressedReader(self._file, self._compression, name=self.name))
        return _SeekableTarStream(self._file, self._file_bytes)

    def _scan(self) -> None:
        """Record the position of each file.

        Reads to the end of the stream, so that the checksum of a compressed stream is verified.
        """
        stream = self._open_stream()
        meta: dict[str, bytes] = {}
        n_headers = 0
        while any(header := _read_block(stream, self.name)):
            n_headers += 1
            if n_headers > 2 * self._limits.archive_entries:
                raise decompression_limits.too_many_entries_error(self.name, self._limits)
            if not is_tar(header):
                raise damaged_error(self.name)
            entry_type = header[156:157]
            if entry_type in _META_TYPES:
                meta |= _read_meta(stream, header, self.name)
                continue
            size = _parse_number(meta["size"], 10) if "size" in meta else _parse_size(header)
            name = _parse_name(header, meta)
            if size is None or any(key.startswith("GNU.sparse") for key in meta):
                raise damaged_error(name)
            self._check_size(stream.position + size)
            self._add_entry(name, entry_type, size, stream.position)
            stream.skip_to(stream.position + _padded(size), name)
            meta = {}
        while stream.read(CHUNK_BYTES):
            self._check_size(stream.position)

    def _check_size(self, position: int) -> None:
        if position > self._limits.archive_bytes:
            raise decompression_limits.total_size_error(self.name, self._limits)
        if position > max(
            decompression_limits.RATIO_FREE_BYTES, self._limits.archive_ratio * self._file_bytes
        ):
            raise decompression_limits.ratio_error(self.name, self._limits)

    def _add_entry(self, raw_name: str, entry_type: bytes, size: int, position: int) -> None:
        name = safe_name(raw_name)
        if entry_type == _FOLDER:
            return
        if entry_type not in _FILE_TYPES:
            message = f"{printable(name)} is a link or a device. Pack the files themselves."
            raise unreadable_error("unsafe_archive_path", message, pointer=file_pointer(name))
        if raw_name.endswith("/") or not name:  # old tar programs mark folders by a slash
            return
        if len(self.names) == self._limits.archive_entries:
            raise decompression_limits.too_many_entries_error(self.name, self._limits)
        self.names.append(name)
        self._sizes.append(size)
        self._starts.append(position)


class _TarStream:
    """Forward-only stream that tracks its position."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.position = 0

    def read(self, size: int, /) -> bytes:
        out = self._reader.read(size)
        self.position += len(out)
        return out

    def skip_to(self, position: int, name: str) -> None:
        """Skip to `position`. Raises an error about the entry `name` if the stream ends earlier."""
        while self.position < position:
            if not self.read(min(CHUNK_BYTES, position - self.position)):
                raise damaged_error(name)


class _SeekableTarStream(_TarStream):
    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file)
        self._file = file
        self._size = size

    def skip_to(self, position: int, name: str) -> None:
        if position > self._size:
            raise damaged_error(name)
        self.position = self._file.seek(position)


class _Member:
    """Reader of one entry."""

    def __init__(self, stream: _TarStream, size: int, name: str) -> None:
        self._stream = stream
        self._remaining = size
        self._name = name

    def read(self, size: int, /) -> bytes:
        if not self._remaining:
            return b""
        out = self._stream.read(min(size, self._remaining))
        if not out:
            raise damaged_error(self._name)
        self._remaining -= len(out)
        return out


def _read_block(stream: _TarStream, name: str) -> bytes:
    block = read_up_to(stream, BLOCK_BYTES)
    if len(block) < BLOCK_BYTES:
        raise damaged_error(name)
    return block


def _read_meta(stream: _TarStream, header: bytes, archive: str) -> dict[str, bytes]:
    """Return the fields of an extension header, which describe the entry after it."""
    size = _parse_size(header)
    if size is None or size > _MAX_META_BYTES:
        raise damaged_error(archive)
    content = read_up_to(stream, size)
    stream.skip_to(stream.position + _padded(size) - size, archive)
    if header[156:157] == _LONG_NAME:
        return {"path": content.rstrip(b"\0")}
    return _parse_pax(content, archive) if header[156:157] == _PAX else {}


def _parse_pax(content: bytes, archive: str) -> dict[str, bytes]:
    r"""Parse records "length key=value\n", where length counts the bytes of the whole record."""
    fields = {}
    while content.strip(b"\0"):
        digits = content[:20].split(b" ", 1)[0]
        length = _parse_number(digits, 10)
        if not length or not len(digits) + 2 < length <= len(content):
            raise damaged_error(archive)
        key, separator, value = content[len(digits) + 1 : length - 1].partition(b"=")
        if not separator or content[length - 1 : length] != b"\n":
            raise damaged_error(archive)
        fields[key.decode("utf-8", "replace")] = value
        content = content[length:]
    return fields


def _parse_name(header: bytes, meta: dict[str, bytes]) -> str:
    if "path" in meta:
        return decode_name(meta["path"])
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return decode_name(prefix + b"/" + name if prefix else name)


def _parse_size(header: bytes) -> int | None:
    field = header[124:136]
    if field[0] == 0x80:  # GNU extension for sizes that do not fit into octal digits
        return int.from_bytes(field[1:], "big")
    return _parse_number(field.strip(b" \0") or b"0", 8)


def _parse_number(digits: bytes, radix: int) -> int | None:
    """Parse plain digits; None for anything else. `int` would accept signs and underscores."""
    if not digits.isdigit() or len(digits) > 20:
        return None
    try:
        return int(digits, radix)
    except ValueError:
        return None


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
