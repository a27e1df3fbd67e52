"""Parser of the Range header (RFC 9110, 14.2) with a single byte range."""

import re

from core.errors import RangeNotSatisfiable

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
