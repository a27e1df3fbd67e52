"""Responses with a single byte range (RFC 9110, section 14)."""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Annotated

from fastapi import Header

from app.fairness.route import route_threads
from app.fairness.streaming import FairStreamingResponse
from core.errors import RangeNotSatisfiable

RangeHeader = Annotated[str | None, Header(description="One range of bytes (RFC 9110).")]
IfRangeHeader = Annotated[str | None, Header()]
RANGE_HEADERS = ("ETag", "Accept-Ranges")

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def parse_byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte of the range, both inclusive.

    Returns None for the whole file. As RFC 9110 requires, a header of any other form is ignored.

    Raises:
        RangeNotSatisfiable: The range begins after the end of the file.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":  # `bytes=-N` requests the last N bytes
        suffix_length = int(match[2])
        first, last = (max(0, size - suffix_length) if suffix_length else size), size - 1
    else:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < first:
            return None
    if first >= size:
        raise RangeNotSatisfiable(
            f"The range begins after the end of the file, which has {size} bytes.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return first, last


def applies(range: str | None, if_range: str | None, etag: str) -> bool:
    """Return True unless the client has a part of other content."""
    return range is not None and if_range in (None, etag)


def ranged_response(
    read: Callable[[int, int], Iterator[bytes]],
    size: int,
    range: str | None,
    if_range: str | None,
    *,
    tenant_id: str,
    headers: dict[str, str],
    media_type: str,
) -> FairStreamingResponse:
    """Return the requested part of a content, or the whole.

    Args:
        read: Yields the bytes from its first argument to its second (exclusive).
        size: Number of bytes of the whole.
        range: The header Range.
        if_range: The header If-Range.
        tenant_id: Tenant in whose turns the content is read.
        headers: Headers of the response, with a strong `ETag`.
        media_type: Media type of the content.

    Raises:
        RangeNotSatisfiable: The range begins after the end.
    """
    byte_range = (
        parse_byte_range(range, size) if applies(range, if_range, headers["ETag"]) else None
    )
    first, last = byte_range or (0, size - 1)
    # Ranges count bytes of the content as it is, so it is not compressed.
    headers |= {"Accept-Ranges": "bytes", "Content-Encoding": "identity"}
    headers["Content-Length"] = str(last + 1 - first)
    if byte_range is not None:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        if media_type == "application/json":  # a part of it cannot be parsed
            media_type = "application/octet-stream"
    chunks = read(first, last + 1)
    # Read the first chunk before the response starts, so that a missing file is still an error.
    body = itertools.chain([next(chunks, b"")], chunks)
    return FairStreamingResponse(
        route_threads,
        tenant_id,
        body,
        200 if byte_range is None else 206,
        headers=headers,
        media_type=media_type,
    )


def cut(chunks: Iterator[bytes], start: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from `start` to `end` (exclusive) of the concatenated chunks."""
    offset = 0
    for chunk in chunks:
        if offset + len(chunk) > start:
            yield chunk[max(0, start - offset) : end - offset]
        offset += len(chunk)
        if offset >= end:
            return
