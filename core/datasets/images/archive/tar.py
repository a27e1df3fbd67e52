"""Tar archives (POSIX ustar and pax, GNU long names), packed or not, read from front to back.

Only plain files and folders are let through. The standard library's tarfile keeps over a kilobyte
an entry and takes any size for a pax header.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.file_type import is_tar
from core.datasets.images.archive import decompression_limits
from core.datasets.images.archive.names import check_duplicates, decode_name, safe_name
from core.datasets.stream import CHUNK_BYTES, DecompressedReader, Reader, damaged_error, read_up_to
from core.settings import MIB, Limits

BLOCK_BYTES = 512
_META_BYTES = MIB  # one pax header or long name
_FILE_KINDS = {b"0", b"\0", b"7"}
_FOLDER, _PAX, _LONG_NAME = b"5", b"x", b"L"
_META_KINDS = {_PAX, _LONG_NAME, b"g", b"K"}  # g: for all that follows, K: where a link leads


class TarArchive:
    """See `Archive`. `file` must stay open. `compression` is "gz", "bz2", "xz" or ""."""

    def __init__(self, file: BinaryIO, *, name: str, compression: str, limits: Limits) -> None:
        self.name = name
        self.format = f"tar.{compression}" if compression else "tar"
        self._file = file
        self._file_bytes = file.seek(0, 2)
        self._packing = compression
        self._limits = limits
        self.names: list[str] = []
        self._sizes = array("Q")
        self._starts = array("Q")
        self._scan()
        check_duplicates(self.names)

    def check_bombs(self) -> None:
        """The ratio was held while scanning."""
        for name, size in zip(self.names, self._sizes, strict=True):
            if size > self._limits.archive_entry_bytes:
                raise decompression_limits.entry_size_error(name, self._limits)

    def open_members(self, indices: Iterable[int]) -> Iterator[tuple[int, Reader]]:
        tape = self._rewound()
        for i in indices:
            tape.skip_to(self._starts[i], self.names[i])
            yield i, _Member(tape, self._sizes[i], self.names[i])

    def _rewound(self) -> "_TarStream":
        self._file.seek(0)
        if self._packing:
            return _TarStream(DecompressedReader(self._file, self._packing, name=self.name))
        return _SeekableTarStream(self._file, self._file_bytes)

    def _scan(self) -> None:
        """Note where each file lies; goes to the end, so that a packed stream is checked whole."""
        tape = self._rewound()
        meta: dict[str, bytes] = {}
        headers = 0
        while any(header := _block(tape, self.name)):
            headers += 1
            if headers > 2 * self._limits.archive_entries:
                raise decompression_limits.too_many_entries_error(self.name, self._limits)
            if not is_tar(header):
                raise damaged_error(self.name)
            kind = header[156:157]
            if kind in _META_KINDS:
                meta |= _read_meta(tape, header, self.name)
                continue
            size = _number(meta["size"], 10) if "size" in meta else _size(header)
            name = _name(header, meta)
            if size is None or any(key.startswith("GNU.sparse") for key in meta):
                raise damaged_error(name)
            self._refuse_size(tape.position + size)
            self._note(name, kind, size, tape.position)
            tape.skip_to(tape.position + _padded(size), name)
            meta = {}
        while tape.read(CHUNK_BYTES):
            self._refuse_size(tape.position)

    def _refuse_size(self, position: int) -> None:
        if position > self._limits.archive_bytes:
            raise decompression_limits.total_size_error(self.name, self._limits)
        if position > max(
            decompression_limits.RATIO_FREE_BYTES, self._limits.archive_ratio * self._file_bytes
        ):
            raise decompression_limits.ratio_error(self.name, self._limits)

    def _note(self, raw: str, kind: bytes, size: int, position: int) -> None:
        name = safe_name(raw)
        if kind == _FOLDER or (kind in _FILE_KINDS and (raw.endswith("/") or not name)):
            return
        if kind not in _FILE_KINDS:
            message = f"{printable(name)} is a link or a device; pack the files themselves"
            raise unreadable_error("unsafe_archive_path", message, pointer=file_pointer(name))
        if len(self.names) == self._limits.archive_entries:
            raise decompression_limits.too_many_entries_error(self.name, self._limits)
        self.names.append(name)
        self._sizes.append(size)
        self._starts.append(position)


class _TarStream:
    """A stream that knows its position and goes forward only."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.position = 0

    def read(self, size: int, /) -> bytes:
        out = self._reader.read(size)
        self.position += len(out)
        return out

    def skip_to(self, position: int, name: str) -> None:
        """To `position`, past the content of `name`."""
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
    """A Reader of one entry."""

    def __init__(self, tape: _TarStream, size: int, name: str) -> None:
        self._tape = tape
        self._left = size
        self._name = name

    def read(self, size: int, /) -> bytes:
        if not self._left:
            return b""
        out = self._tape.read(min(size, self._left))
        if not out:
            raise damaged_error(self._name)
        self._left -= len(out)
        return out


def _block(tape: _TarStream, name: str) -> bytes:
    block = read_up_to(tape, BLOCK_BYTES)
    if len(block) < BLOCK_BYTES:
        raise damaged_error(name)
    return block


def _read_meta(tape: _TarStream, header: bytes, archive: str) -> dict[str, bytes]:
    """What an extra header says of the entry that follows."""
    size = _size(header)
    if size is None or size > _META_BYTES:
        raise damaged_error(archive)
    content = read_up_to(tape, size)
    tape.skip_to(tape.position + _padded(size) - size, archive)
    if header[156:157] == _LONG_NAME:
        return {"path": content.rstrip(b"\0")}
    return _pax_fields(content, archive) if header[156:157] == _PAX else {}


def _pax_fields(content: bytes, archive: str) -> dict[str, bytes]:
    """Records "length key=value\\n", the length being that of the whole record."""
    fields = {}
    while content.strip(b"\0"):
        digits = content[:20].split(b" ", 1)[0]
        length = _number(digits, 10)
        if not length or not len(digits) + 2 < length <= len(content):
            raise damaged_error(archive)
        key, separator, value = content[len(digits) + 1 : length - 1].partition(b"=")
        if not separator or content[length - 1 : length] != b"\n":
            raise damaged_error(archive)
        fields[key.decode("utf-8", "replace")] = value
        content = content[length:]
    return fields


def _name(header: bytes, meta: dict[str, bytes]) -> str:
    if "path" in meta:
        return decode_name(meta["path"])
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return decode_name(prefix + b"/" + name if prefix else name)


def _size(header: bytes) -> int | None:
    field = header[124:136]
    if field[0] == 0x80:  # GNU: too large for octal digits
        return int.from_bytes(field[1:], "big")
    return _number(field.strip(b" \0") or b"0", 8)


def _number(digits: bytes, radix: int) -> int | None:
    """None for what is no plain number; `int` alone would take a sign and underscores."""
    if not digits.isdigit() or len(digits) > 20:
        return None
    try:
        return int(digits, radix)
    except ValueError:
        return None


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
