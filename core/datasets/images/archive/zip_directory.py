"""The central directory of a zip archive, after PKWARE's APPNOTE 6.3.10, read strictly.

The standard library's zipfile keeps some 600 bytes an entry, which a million images turn into more
than a service can give, and it reads overlapping entries and archives behind other files. Here an
entry is its name and 38 bytes, and one that shares a byte with another is refused.
"""

import os
import stat
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.datasets.images.archive.decompression_limits import (
    too_many_entries_error,
    total_size_error,
)
from core.datasets.images.archive.names import check_duplicates, decode_name, safe_name
from core.datasets.stream import damaged_error
from core.errors import DatasetUnreadable
from core.settings import Limits

LOCAL_HEADER = struct.Struct("<4s5H3L2H")
DEFLATED = 8
ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
ENTRY_DTYPE = np.dtype(
    [
        ("file", "?"),
        ("deflated", "?"),
        ("crc", "<u4"),
        ("packed", "<u8"),
        ("size", "<u8"),
        ("start", "<u8"),  # of the local header
        ("end", "<u8"),  # where something else begins
    ]
)

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s2B5H3L5H2L")
_COMMENT_BYTES = 65_535
_UTF8 = 1 << 11
_FULL = 0xFFFFFFFF
_READABLE = {0, stat.S_IFREG, stat.S_IFDIR}


class _Place(NamedTuple):
    start: int
    size: int
    entries: int


def read_directory(
    file: BinaryIO, *, name: str, limits: Limits
) -> tuple[list[str], "NDArray[np.void]"]:
    """The files' names and their rows (`ENTRY_DTYPE`), in the archive's order, folders left out."""
    place = _find(file, name)
    if place.entries > limits.archive_entries:
        raise too_many_entries_error(name, limits)
    rows = np.zeros(place.entries, ENTRY_DTYPE)
    names = []
    total = 0
    file.seek(place.start)
    for i in range(place.entries):
        entry, folder, values = _read_entry(file, name)
        rows[i] = (not folder, *values, 0)
        total += int(rows["size"][i])
        if total > limits.archive_bytes:
            raise total_size_error(name, limits)
        if not folder:
            names.append(entry)
    if file.tell() != place.start + place.size:
        raise damaged_error(name)
    _give_room(rows, place.start, name)
    check_duplicates(names)
    return names, rows[rows["file"]]


def _find(file: BinaryIO, name: str) -> _Place:
    """Where the directory lies. Nothing may stand between it, its end record and the file's end."""
    size = file.seek(0, os.SEEK_END)
    begin = max(0, size - _END.size - _COMMENT_BYTES)
    file.seek(begin)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0 and not _ends_the_file(tail, at):
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if at < 0:
        raise damaged_error(name)
    _, disk, first_disk, here, count, length, start, _ = _END.unpack_from(tail, at)
    end = begin + at
    locator = _locator(file, end)
    if locator is not None:
        end, (disk, first_disk, here, count, length, start) = _read_end64(file, locator, end, name)
    if disk or first_disk or here != count:
        message = f"{printable(name)} is one of several disks; join them into one zip"
        raise unreadable_error("archive_invalid", message, pointer=file_pointer(name))
    if start + length != end or length < count * _CENTRAL.size:
        raise _misplaced(name)
    return _Place(start, length, count)


def _ends_the_file(tail: bytes, at: int) -> bool:
    if at + _END.size > len(tail):
        return False
    comment: int = _END.unpack_from(tail, at)[-1]
    return at + _END.size + comment == len(tail)


def _locator(file: BinaryIO, end: int) -> int | None:
    """The place of the zip64 end record, where there is one."""
    if end < _LOCATOR.size:
        return None
    file.seek(end - _LOCATOR.size)
    signature, _, place, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    return int(place) if signature == b"PK\x06\x07" else None


def _read_end64(file: BinaryIO, place: int, end: int, name: str) -> tuple[int, tuple[int, ...]]:
    if place + _END64.size + _LOCATOR.size > end:
        raise damaged_error(name)
    file.seek(place)
    signature, size, _, _, *rest = _END64.unpack(file.read(_END64.size))
    if signature != b"PK\x06\x06" or place + 12 + size + _LOCATOR.size != end:
        raise damaged_error(name)
    return place, tuple(rest)


def _read_entry(file: BinaryIO, archive: str) -> tuple[str, bool, tuple[int, ...]]:
    """Name, whether it is a folder, and (deflated, crc, packed, size, start)."""
    header = file.read(_CENTRAL.size)
    if len(header) < _CENTRAL.size or header[:4] != b"PK\x01\x02":
        raise damaged_error(archive)
    (_, _, _, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes, comment_bytes) = (
        _CENTRAL.unpack(header)[:14]
    )
    disk, _, attributes, start = _CENTRAL.unpack(header)[14:]
    raw = file.read(name_bytes)
    extra = file.read(extra_bytes)
    if len(file.read(comment_bytes)) < comment_bytes:
        raise damaged_error(archive)
    text = decode_name(raw, utf8=bool(flags & _UTF8))
    name = safe_name(text)
    packed, size, start, disk = _widen(extra, [packed, size, start, disk], name)
    folder = text.endswith(("/", "\\")) or not name
    _refuse_unreadable(name, flags, method, attributes >> 16)
    if disk or (method == 0 and packed != size):
        raise damaged_error(name or archive)
    return name, folder, (method == DEFLATED, crc, packed, size, start)


def _refuse_unreadable(name: str, flags: int, method: int, mode: int) -> None:
    if flags & ENCRYPTED:
        code, message = "archive_encrypted", "is encrypted; pack it without a password"
    elif method not in {0, DEFLATED}:
        code, message = "archive_method", f"is packed by method {method}; use stored or deflate"
    elif stat.S_IFMT(mode) not in _READABLE:
        code, message = "unsafe_archive_path", "is a link or a device; pack the files themselves"
    else:
        return
    raise unreadable_error(code, f"{printable(name)} {message}", pointer=file_pointer(name))


def _widen(extra: bytes, fields: list[int], name: str) -> list[int]:
    """(packed, size, start, disk) with those that did not fit taken from the zip64 field."""
    packed, size, start, disk = fields
    if _FULL not in {packed, size, start} and disk != 0xFFFF:
        return fields
    field = _extra_field(extra, 0x0001)
    wide = []
    for value, full, width in (
        (size, _FULL, 8),
        (packed, _FULL, 8),
        (start, _FULL, 8),
        (disk, 0xFFFF, 4),
    ):
        if value != full:
            wide.append(value)
            continue
        if len(field) < width:
            raise damaged_error(name)
        wide.append(int.from_bytes(field[:width], "little"))
        field = field[width:]
    size, packed, start, disk = wide
    return [packed, size, start, disk]


def _extra_field(extra: bytes, wanted: int) -> bytes:
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if kind == wanted:
            return extra[4 : 4 + size]
        extra = extra[4 + size :]
    return b""


def _give_room(rows: "NDArray[np.void]", directory: int, name: str) -> None:
    """Fill in each `end`; nothing lies before the first entry, and none reaches into the next."""
    if not len(rows):
        return
    order = np.argsort(rows["start"], kind="stable")
    starts = rows["start"][order]
    ends = np.append(starts[1:], np.uint64(directory))
    rows["end"][order] = ends
    if starts[0] != 0:
        raise _misplaced(name)
    bodies = rows["packed"][order]
    if (ends < starts + LOCAL_HEADER.size).any() or (
        ends - starts - LOCAL_HEADER.size < bodies
    ).any():
        message = f"entries of {printable(name)} overlap; pack it again"
        raise unreadable_error("archive_bomb", message, pointer=file_pointer(name))


def _misplaced(name: str) -> DatasetUnreadable:
    message = f"{printable(name)} is cut off, or something was put before the zip; pack it again"
    return unreadable_error("archive_invalid", message, pointer=file_pointer(name))
