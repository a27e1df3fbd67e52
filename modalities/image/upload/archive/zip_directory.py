"""Strict reader of the central directory of a zip archive (PKWARE APPNOTE 6.3.10).

The standard library's zipfile is not used: it keeps about 600 bytes per entry, too much for a
million images, and it accepts overlapping entries and data before the archive. Here an entry takes
its name and 38 bytes, and entries that overlap are rejected.
"""

import os
import stat
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.stream import damaged_error
from core.errors import DatasetUnreadable
from core.limits import Limits
from modalities.image.upload.archive.decompression_limits import (
    too_many_entries_error,
    total_size_error,
)
from modalities.image.upload.archive.name_encoding import guess_encoding
from modalities.image.upload.archive.names import (
    check_duplicates,
    decode_name,
    is_legacy,
    safe_name,
)

LOCAL_HEADER = struct.Struct("<4s5H3L2H")
DEFLATED = 8
ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
ENTRY_DTYPE = np.dtype(
    [
        ("file", "?"),  # False for folders
        ("deflated", "?"),
        ("crc", "<u4"),
        ("packed", "<u8"),  # compressed size
        ("size", "<u8"),  # decompressed size
        ("start", "<u8"),  # offset of the local header
        ("end", "<u8"),  # offset of the next entry, or of the central directory
    ]
)

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s2B5H3L5H2L")
_MAX_COMMENT_BYTES = 65_535
_UTF8 = 1 << 11
_IN_ZIP64 = 0xFFFFFFFF  # placeholder of a field whose value is in the zip64 extra field
_DISK_IN_ZIP64 = 0xFFFF
_ACCEPTED_FILE_TYPES = {0, stat.S_IFREG, stat.S_IFDIR}  # 0: not recorded


class _Directory(NamedTuple):
    start: int
    size: int
    n_entries: int


class ZipDirectory(NamedTuple):
    """Files of a zip archive, without folders, in the archive's order."""

    names: list[str]
    rows: "NDArray[np.void]"  # ENTRY_DTYPE
    name_encoding: str | None  # of names that are not UTF-8; None if all are


def read_directory(
    file: BinaryIO, *, name: str, limits: Limits, name_encoding: str | None
) -> ZipDirectory:
    """Read the central directory. Guesses the encoding of legacy names if `name_encoding` is None.

    Raises DatasetUnreadable if the directory is damaged or unsafe.
    """
    directory = _find_directory(file, name)
    if directory.n_entries > limits.archive_entries:
        raise too_many_entries_error(name, limits)
    rows = np.zeros(directory.n_entries, ENTRY_DTYPE)
    names: list[str] = []
    unmarked_names: dict[int, bytes] = {}  # by index in `names`
    total = 0
    file.seek(directory.start)
    for i in range(directory.n_entries):
        raw_name, entry, is_folder, values = _read_entry(file, name)
        rows[i] = (not is_folder, *values, 0)
        total += int(rows["size"][i])
        if total > limits.archive_bytes:
            raise total_size_error(name, limits)
        if not is_folder:
            if raw_name is not None:
                unmarked_names[len(names)] = raw_name
            names.append(entry)
    if file.tell() != directory.start + directory.size:
        raise damaged_error(name)
    _set_ends(rows, directory.start, name)
    encoding = None
    # Short names of other encodings may be valid UTF-8: one that is not decides for all.
    if any(map(is_legacy, unmarked_names.values())):
        encoding = name_encoding or guess_encoding(unmarked_names.values())
        for index, raw_name in unmarked_names.items():
            names[index] = safe_name(raw_name.decode(encoding, errors="replace"))
    check_duplicates(names)
    return ZipDirectory(names, rows[rows["file"]], encoding)


def _find_directory(file: BinaryIO, name: str) -> _Directory:
    """Locate the central directory.

    Raises DatasetUnreadable unless the directory, its end records and the end of the file are
    adjacent.
    """
    file_size = file.seek(0, os.SEEK_END)
    tail_start = max(0, file_size - _END.size - _MAX_COMMENT_BYTES)
    file.seek(tail_start)
    tail = file.read()
    # A comment may contain the signature: search backwards for a record that ends the file.
    offset = tail.rfind(b"PK\x05\x06")
    while offset >= 0 and not _ends_file(tail, offset):
        offset = tail.rfind(b"PK\x05\x06", 0, offset)
    if offset < 0:
        raise damaged_error(name)
    end_record = _END.unpack_from(tail, offset)
    _, disk, first_disk, disk_count, count, size, start, _ = end_record
    end = tail_start + offset
    end64 = _find_end64(file, end)
    if end64 is not None:
        end, fields = _read_end64(file, end64, end, name)
        disk, first_disk, disk_count, count, size, start = fields
    if disk or first_disk or disk_count != count:
        message = f"{printable(name)} is one part of a split archive. Join the parts into one zip."
        raise unreadable_error("archive_invalid", message, pointer=file_pointer(name))
    if start + size != end or size < count * _CENTRAL.size:
        raise _misplaced_error(name)
    return _Directory(start, size, count)


def _ends_file(tail: bytes, offset: int) -> bool:
    """Return True if the end record at `offset` and its comment reach to the end of the file."""
    if offset + _END.size > len(tail):
        return False
    comment_bytes: int = _END.unpack_from(tail, offset)[-1]
    return offset + _END.size + comment_bytes == len(tail)


def _find_end64(file: BinaryIO, end: int) -> int | None:
    """Return the offset of the zip64 end record, None if there is none.

    Its locator directly precedes the end record at `end`.
    """
    if end < _LOCATOR.size:
        return None
    file.seek(end - _LOCATOR.size)
    signature, _, offset, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    return int(offset) if signature == b"PK\x06\x07" else None


def _read_end64(file: BinaryIO, offset: int, end: int, name: str) -> tuple[int, tuple[int, ...]]:
    """Return the offset of the record and its fields, which replace those of the end record."""
    if offset + _END64.size + _LOCATOR.size > end:
        raise damaged_error(name)
    file.seek(offset)
    signature, size, _, _, *fields = _END64.unpack(file.read(_END64.size))
    if signature != b"PK\x06\x06" or offset + 12 + size + _LOCATOR.size != end:
        raise damaged_error(name)
    return offset, tuple(fields)


def _read_entry(file: BinaryIO, archive: str) -> tuple[bytes | None, str, bool, tuple[int, ...]]:
    """Return the raw name, the name, True for a folder, and (deflated, crc, packed, size, start).

    The raw name is None if it is ASCII or marked as UTF-8.
    """
    header = file.read(_CENTRAL.size)
    if len(header) < _CENTRAL.size or header[:4] != b"PK\x01\x02":
        raise damaged_error(archive)
    fields = _CENTRAL.unpack(header)
    flags, method, _, _, crc, packed, size, name_bytes, extra_bytes, comment_bytes = fields[4:14]
    disk, _, attributes, start = fields[14:]
    raw_name = file.read(name_bytes)
    extra = file.read(extra_bytes)
    if len(file.read(comment_bytes)) < comment_bytes:
        raise damaged_error(archive)
    decoded_name = decode_name(raw_name, utf8=bool(flags & _UTF8))
    name = safe_name(decoded_name)
    packed, size, start, disk = _apply_zip64(extra, [packed, size, start, disk], name)
    is_folder = decoded_name.endswith(("/", "\\")) or not name
    _check_supported(name, flags, method, attributes >> 16)
    if disk or (method == 0 and packed != size):
        raise damaged_error(name or archive)
    unmarked = None if flags & _UTF8 or raw_name.isascii() else raw_name
    return unmarked, name, is_folder, (method == DEFLATED, crc, packed, size, start)


def _check_supported(name: str, flags: int, method: int, mode: int) -> None:
    """Raise DatasetUnreadable for an encrypted entry, an unknown compression method or a link."""
    if flags & ENCRYPTED:
        code, problem = "archive_encrypted", "is encrypted. Create the zip without a password"
    elif method not in {0, DEFLATED}:
        code = "archive_method"
        problem = f"is compressed with method {method}. Use stored or deflate"
    elif stat.S_IFMT(mode) not in _ACCEPTED_FILE_TYPES:
        code, problem = "unsafe_archive_path", "is a link or a device. Pack the files themselves"
    else:
        return
    raise unreadable_error(code, f"{printable(name)} {problem}.", pointer=file_pointer(name))


def _apply_zip64(extra: bytes, fields: list[int], name: str) -> list[int]:
    """Replace placeholders in (packed, size, start, disk) by values of the zip64 extra field."""
    packed, size, start, disk = fields
    if _IN_ZIP64 not in {packed, size, start} and disk != _DISK_IN_ZIP64:
        return fields
    field = _extra_field(extra, 0x0001)
    values = []
    # The zip64 field holds only the values that are replaced, in this order.
    for value, placeholder, width in (
        (size, _IN_ZIP64, 8),
        (packed, _IN_ZIP64, 8),
        (start, _IN_ZIP64, 8),
        (disk, _DISK_IN_ZIP64, 4),
    ):
        if value != placeholder:
            values.append(value)
            continue
        if len(field) < width:
            raise damaged_error(name)
        values.append(int.from_bytes(field[:width], "little"))
        field = field[width:]
    size, packed, start, disk = values
    return [packed, size, start, disk]


def _extra_field(extra: bytes, header_id: int) -> bytes:
    while len(extra) >= 4:
        field_id, size = struct.unpack_from("<2H", extra)
        if field_id == header_id:
            return extra[4 : 4 + size]
        extra = extra[4 + size :]
    return b""


def _set_ends(rows: "NDArray[np.void]", directory_start: int, name: str) -> None:
    """Set `end` of each row.

    Raises DatasetUnreadable if entries overlap or there are bytes before the first one.
    """
    if not len(rows):
        return
    order = np.argsort(rows["start"], kind="stable")
    starts = rows["start"][order]
    ends = np.append(starts[1:], np.uint64(directory_start))
    rows["end"][order] = ends
    if starts[0] != 0:
        raise _misplaced_error(name)
    packed = rows["packed"][order]
    if (ends < starts + LOCAL_HEADER.size).any() or (
        ends - starts - LOCAL_HEADER.size < packed
    ).any():
        message = f"Entries of {printable(name)} overlap. Create the zip again."
        raise unreadable_error("archive_bomb", message, pointer=file_pointer(name))


def _misplaced_error(name: str) -> DatasetUnreadable:
    message = f"{printable(name)} is truncated or has data before the zip. Create the zip again."
    return unreadable_error("archive_invalid", message, pointer=file_pointer(name))
