"""Memory that an Arrow file or stream needs, read from its messages before it is decompressed.

pyarrow does not show the sizes of compressed buffers: each begins with its size, and the header of
its message, a flatbuffer, has its position. https://arrow.apache.org/docs/format/Columnar.html
"""

import struct

import pyarrow as pa

from core.datasets.errors import file_pointer, printable, unreadable_error
from core.limits import MIB

MAX_BATCH_BYTES = 1024 * MIB  # decompressed, of a record batch and of all dictionaries

_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3


def check_message_sizes(source: pa.NativeFile, name: str) -> None:
    """Read all messages from the position of `source` on.

    Raises:
        DatasetUnreadable: A batch, or all dictionaries, decompress to too much.
        ValueError: A header is damaged.
    """
    dictionaries = 0
    for message in pa.ipc.MessageReader.open_stream(source):
        header = memoryview(message.metadata).cast("B")
        try:
            kind, size = _decompressed_bytes(header, message.body)
        except (struct.error, IndexError) as error:
            raise ValueError("damaged message") from error
        if kind == _DICTIONARY_BATCH:
            dictionaries = size = dictionaries + size
        if size > MAX_BATCH_BYTES:
            detail = (
                f"A record batch of {printable(name)} decompresses to more than "
                f"{MAX_BATCH_BYTES // MIB:,} MiB. Write smaller ones."
            )
            raise unreadable_error("table_too_large", detail, pointer=file_pointer(name))


def _decompressed_bytes(header: memoryview, body: pa.Buffer | None) -> tuple[int, int]:
    """Return the kind of a message and the bytes of its compressed buffers, decompressed."""
    message = struct.unpack_from("<I", header)[0]
    kind_at, batch_at = _field(header, message, 1), _field(header, message, 2)
    kind = header[kind_at] if kind_at else 0
    if kind not in {_DICTIONARY_BATCH, _RECORD_BATCH} or not batch_at or body is None:
        return kind, 0
    batch = _follow(header, batch_at)
    if kind == _DICTIONARY_BATCH:
        batch = _follow(header, _field(header, batch, 1))
    buffers_at, compression_at = _field(header, batch, 2), _field(header, batch, 3)
    if not buffers_at or not compression_at:
        return kind, 0  # uncompressed buffers are read in place
    buffers = _follow(header, buffers_at)
    total = 0
    for i in range(struct.unpack_from("<I", header, buffers)[0]):
        offset, length = struct.unpack_from("<qq", header, buffers + 4 + 16 * i)
        if length > 0:
            if not 0 <= offset <= body.size - 8:
                raise IndexError
            total += max(length, struct.unpack_from("<q", body, offset)[0])
    return kind, total


def _field(data: memoryview, table: int, index: int) -> int:
    """Return the position of a field of a flatbuffer's table, 0 if it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 6 + 2 * index > struct.unpack_from("<H", data, vtable)[0]:
        return 0
    offset = int(struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0])
    return table + offset if offset else 0


def _follow(data: memoryview, position: int) -> int:
    return position + int(struct.unpack_from("<I", data, position)[0])
